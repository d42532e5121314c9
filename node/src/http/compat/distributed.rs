//! Workers that register themselves.

use std::sync::{MutexGuard, PoisonError};

use super::{
    Door,
    answer::{Answer, Failure, Outcome},
    call::Call,
};
use crate::{
    clock,
    compat::worker::{Registry, Worker},
};

/// Longest address or name, in characters.
const WORD: usize = 512;

impl Door {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn list(call: Call) -> Outcome {
    let workers = call.door.registry().alive(clock::now());
    Ok(Answer::json(&workers))
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let worker: Worker = call.body().await?;
    let is_word = |text: &str| !text.is_empty() && text.chars().count() <= WORD;
    if !is_word(&worker.address) || !is_word(&worker.identifier) {
        return Err(Failure::bad("a worker has an address and an identifier"));
    }
    let registered = call.door.registry().register(worker, clock::now());
    registered.map_err(Failure::unavailable)?;
    Ok(Answer::nothing())
}

pub(super) fn delete(call: Call) -> Outcome {
    call.door.registry().clear();
    Ok(Answer::nothing())
}
