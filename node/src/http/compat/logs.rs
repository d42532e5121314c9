//! Log lines over HTTP.

use super::{
    answer::{Answer, Failure, Outcome},
    call::Call,
};
use crate::compat::{
    event::Told,
    log::{self, LogFilter, LogRecord, LogsV1},
};

pub(super) async fn post(mut call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let line: LogRecord = call.body().await?;
    let line = line.bounded();
    call.door.teller.tell(Told::log(base.as_str(), &line));
    match call.door.journal.add(&place, &base, line) {
        Ok(()) => Ok(Answer::nothing()),
        Err(_) => Err(Failure::unavailable(
            "lines come faster than they are written: try again",
        )),
    }
}

pub(super) async fn get_v1(call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let shelf = call.door.shelf(&place).await;
    let Some(package) = shelf.bases.get(base.as_str()) else {
        return Err(Failure::unknown_package(base.as_str()));
    };
    let logs = log::text(&call.door.journal.of(&place, &base));
    Ok(Answer::json(&LogsV1 {
        package_base: base,
        status: package.status,
        logs,
    }))
}

pub(super) async fn get_v2(call: Call) -> Outcome {
    let (place, base, window) = (call.place()?, call.base()?, call.window()?);
    let lines = call.door.journal.of(&place, &base);
    if lines.is_empty() && !call.door.knows(&place, &base).await {
        return Err(Failure::unknown_package(base.as_str()));
    }
    let filter = LogFilter {
        version: call.parameter("version").map(str::to_owned),
        process_id: call.parameter("process_id").map(str::to_owned),
    };
    let taken = lines.iter().filter(|line| filter.takes(line));
    if call
        .parameter("head")
        .is_some_and(|head| head == "true" || head == "1")
    {
        return Ok(Answer::json(&window.of_newest(log::heads(taken).into_iter())));
    }
    Ok(Answer::json(&window.of_newest(taken)))
}

pub(super) fn delete(call: Call) -> Outcome {
    let place = call.place()?;
    if let Ok(base) = call.base() {
        call.door.journal.forget(&place, &base, call.parameter("version"));
    }
    Ok(Answer::nothing())
}

pub(super) async fn rotate(call: Call) -> Outcome {
    let place = call.place()?;
    let keep = call.number("keep_last_records")?.unwrap_or(0);
    let keep = usize::try_from(keep).map_err(|_| Failure::bad("keep_last_records is negative"))?;
    let door = call.door.clone();
    let rotated = tokio::task::spawn_blocking(move || door.journal.rotate(&place, keep)).await;
    rotated.map_err(|error| Failure::unavailable(error.to_string()))?;
    Ok(Answer::nothing())
}
