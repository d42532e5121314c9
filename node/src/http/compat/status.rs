//! How the service stands.

use super::{
    answer::{Answer, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::{
    clock,
    compat::{
        facts,
        status::{InternalStatus, Said, StatusUpdate},
    },
};

pub(super) async fn get(call: Call) -> Outcome {
    let place = call.place()?;
    let shelf = call.door.shelf(&place).await;
    let said: Option<Said> = facts::look_up(&call.view(), &facts::of_service(&place));
    Ok(Answer::json(&InternalStatus {
        status: Said::latest(said, None),
        architecture: place.arch.to_string(),
        repository: place.repository.to_string(),
        packages: shelf
            .bases
            .values()
            .map(|package| package.status.status)
            .collect(),
        stats: shelf.stats,
        version: super::info::VERSION.to_owned(),
    }))
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let place = call.place()?;
    let update: StatusUpdate = call.body().await?;
    let said = Said {
        status: update.status,
        at_ms: clock::wall_ms(),
    };
    let mut notebook = Notebook::default();
    notebook.set(&call.door, facts::of_service(&place), &said).await?;
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}
