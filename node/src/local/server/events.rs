//! What is told of a build, one event at a time.

use pacmesh_protocol::{
    ids::{JobId, NodeId},
    ledger::kinds::{JobState, JobV1},
};

use super::jobs::state_word;
use crate::{local::views::BuildEvent, rooms::Rooms};

fn of(event: &str, job: String, base: &str) -> BuildEvent {
    BuildEvent {
        event: event.to_owned(),
        job,
        base: base.to_owned(),
        worker: None,
        worker_name: None,
        attempt: 0,
        version: None,
        copies: 0,
        error: None,
        published: 0,
        failed: 0,
    }
}

/// It waits for its turn.
pub(super) fn queued(job: &JobId, base: &str) -> BuildEvent {
    of("queued", job.to_string(), base)
}

/// An attempt began.
pub(super) fn started(rooms: &Rooms, job: &JobId, base: &str, worker: NodeId, attempt: u32) -> BuildEvent {
    BuildEvent {
        worker: Some(worker.to_string()),
        worker_name: Some(rooms.name_of(&worker)),
        attempt,
        ..of("started", job.to_string(), base)
    }
}

/// It ended, in whatever way.
pub(super) fn ended(rooms: &Rooms, id: &JobId, job: &JobV1, copies: u32) -> BuildEvent {
    let end = job.end.as_ref();
    let worker = end.and_then(|end| end.worker);
    let error = match &job.state {
        JobState::Failed { error, .. } => Some(error.clone()),
        _ => None,
    };
    let version = end.and_then(|end| end.version.as_ref()).unwrap_or(&job.version);
    BuildEvent {
        worker: worker.map(|worker| worker.to_string()),
        worker_name: worker.map(|worker| rooms.name_of(&worker)),
        attempt: end.map_or(0, |end| end.attempts),
        version: (job.state == JobState::Published).then(|| version.to_string()),
        copies,
        error,
        ..of(state_word(job, None), id.to_string(), job.base.as_str())
    }
}

/// All have ended.
pub(super) fn finished(published: usize, failed: usize) -> BuildEvent {
    BuildEvent {
        published,
        failed,
        ..of("finished", String::new(), "")
    }
}
