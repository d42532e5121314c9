//! `logs`: what a job's attempts print, from wherever they run or ran.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use pacmesh_protocol::{
    ids::{JobId, NodeId},
    ledger::kinds::{JobState, JobV1},
};
use tokio::time::sleep;

use super::{
    caller::{Caller, End, Log},
    jobs::{self, live_one},
};
use crate::{
    error::chain,
    local::{
        marks::{AttemptMark, LogMark},
        request::LocalReply,
    },
    master::{is_in_reach, log_beyond},
    rooms::Rooms,
};

/// Between two looks at a job that does not run.
const PAUSE: Duration = Duration::from_millis(300);

/// Opens the log of an attempt on `worker`, this node among them.
pub(super) async fn open(
    rooms: &Arc<Rooms>,
    worker: NodeId,
    job: JobId,
    offset: u64,
    follow: bool,
) -> Result<Log, String> {
    if worker == rooms.node {
        return rooms.worker.log(rooms, job, offset, follow).await;
    }
    if !is_in_reach(rooms, &worker)
        && let Ok(log) = log_beyond(rooms, worker, (job, offset, follow)).await
    {
        return Ok(log);
    }
    rooms
        .transport
        .open_log(worker, job, offset, follow)
        .await
        .map_err(|error| chain(&error))
}

pub(super) async fn logs(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    text: &str,
    follow: bool,
) -> Result<(), End> {
    let id = jobs::resolve(rooms, &rooms.ledger.view(), text)?;
    show(rooms, caller, id, follow, None).await
}

/// Goes on where an earlier life of this node broke off.
pub(super) async fn resume(rooms: &Arc<Rooms>, caller: &mut Caller, passed: LogMark) -> Result<(), End> {
    show(rooms, caller, passed.job, true, Some(passed)).await
}

async fn show(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    id: JobId,
    follow: bool,
    mut passed: Option<LogMark>,
) -> Result<(), End> {
    loop {
        let view = rooms.ledger.view();
        let job = view
            .job(&id)
            .ok_or("this job is past the horizon: its log was forgotten")?;
        if job.state != JobState::Queued {
            return ended(rooms, caller, id, job, passed).await;
        }
        let term = rooms.master.leadership().term();
        let live = live_one(rooms, id).await;
        let running = live.and_then(|live| {
            Some(AttemptMark {
                worker: live.worker?,
                number: live.attempts,
                term,
            })
        });
        match running {
            Some(attempt) => match attempt_log(rooms, caller, id, attempt, follow, &mut passed).await? {
                Some(error) if !follow => return Err(not_readable(rooms, attempt.worker, &error).into()),
                _ => {}
            },
            None if !follow => return not_running(rooms, caller, id, job).await,
            None => {}
        }
        if !follow {
            return caller.done("").await;
        }
        sleep(PAUSE).await;
    }
}

/// Passes on what an attempt prints; with `follow` until it ends. Gives the reason where nothing can be had.
async fn attempt_log(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    id: JobId,
    attempt: AttemptMark,
    follow: bool,
    passed: &mut Option<LogMark>,
) -> Result<Option<String>, End> {
    let seen = passed.filter(|seen| seen.attempt.is(&attempt));
    let mut mark = LogMark {
        job: id,
        attempt,
        bytes: seen.map_or(0, |seen| seen.bytes),
        whole: seen.is_some_and(|seen| seen.whole),
    };
    *passed = Some(mark);
    if mark.whole {
        return Ok(None);
    }
    let mut log = match open(rooms, attempt.worker, id, mark.bytes, follow).await {
        Ok(log) => log,
        Err(error) => return Ok(Some(error)),
    };
    while let Some(piece) = log.next().await {
        let Ok(piece) = piece else {
            return Ok(None);
        };
        caller.bytes(&piece).await?;
        mark.bytes += piece.len() as u64;
        *passed = Some(mark);
        caller.say(LocalReply::LogMark(mark)).await?;
    }
    mark.whole = true;
    *passed = Some(mark);
    Ok(None)
}

/// The job has ended: what was not passed on of its last attempt follows from the log that was kept.
async fn ended(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    id: JobId,
    job: &JobV1,
    passed: Option<LogMark>,
) -> Result<(), End> {
    let end = job.end.as_ref();
    let last = passed.filter(|seen| end.is_some_and(|end| is_last(seen, end.worker, end.attempts)));
    if last.is_some_and(|seen| seen.whole) {
        return caller.done("").await;
    }
    if end.is_none_or(|end| end.log.is_none()) {
        if passed.is_some() {
            return caller.done("").await;
        }
        return Err(format!(
            "{} ({}) has no log: see 'pacmesh why {}'",
            job.base,
            id.short(),
            id.short()
        )
        .into());
    }
    let log = rooms
        .worker
        .log(rooms, id, last.map_or(0, |seen| seen.bytes), false)
        .await?;
    match caller.log(log).await? {
        (_, true) => caller.done("").await,
        (_, false) => Err("the log broke off: ask again".into()),
    }
}

/// Attempts are counted by each master: after a change of masters the count may be lower than what was seen.
fn is_last(seen: &LogMark, worker: Option<NodeId>, attempts: u32) -> bool {
    worker == Some(seen.attempt.worker) && attempts <= seen.attempt.number
}

/// Queued, or nobody in reach knows better; this node may have built it.
async fn not_running(rooms: &Arc<Rooms>, caller: &mut Caller, id: JobId, job: &JobV1) -> Result<(), End> {
    match rooms.worker.log(rooms, id, 0, false).await {
        Ok(log) => {
            caller.log(log).await?;
            caller.done("").await
        }
        Err(_) => Err(format!(
            "{0} ({1}) does not run yet: 'pacmesh why {1}' says what it waits for, 'pacmesh logs -f {1}' waits with it",
            job.base,
            id.short()
        )
        .into()),
    }
}

fn not_readable(rooms: &Rooms, worker: NodeId, error: &str) -> String {
    format!(
        "the log is on {}, which does not show it: {error}: try again",
        rooms.name_of(&worker)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_passed_on_whole_is_not_shown_twice_after_a_change_of_masters() {
        let worker = NodeId([1; 32]);
        let seen = LogMark {
            job: JobId([1; 32]),
            attempt: AttemptMark {
                worker,
                number: 3,
                term: 1,
            },
            bytes: 10,
            whole: true,
        };
        assert!(is_last(&seen, Some(worker), 3));
        assert!(is_last(&seen, Some(worker), 1));
        assert!(
            !is_last(&seen, Some(worker), 4),
            "a later attempt has a log of its own"
        );
        assert!(!is_last(&seen, Some(NodeId([2; 32])), 3));
    }
}
