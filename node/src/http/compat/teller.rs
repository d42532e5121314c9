//! Tells listeners what happens: what the ledger's new records say, wherever they were written, and log lines that come
//! to this node.

use std::{collections::BTreeSet, sync::Arc};

use pacmesh_protocol::ledger::{
    door::{CompatKey, CompatV1, Topic},
    kinds::{GenerationKey, JobState, JobV1},
    order::Fact,
    record::Record,
};
use tokio::sync::{broadcast, watch};

use super::Door;
use crate::compat::{
    event::Told,
    facts,
    package::Package,
    status::{HoldUpdate, Said},
};

/// Most events that a listener may be behind; it misses what is older.
const QUEUE: usize = 4096;

/// Something that was told, and of which place; of no place for what concerns all.
pub(super) type Word = Arc<(Option<GenerationKey>, Told)>;

/// Where listeners get what they hear.
#[derive(Debug)]
pub(super) struct Teller {
    sender: broadcast::Sender<Word>,
}

impl Default for Teller {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(QUEUE).0,
        }
    }
}

impl Teller {
    /// Tells something of whatever place; nobody has to listen.
    pub(super) fn tell(&self, told: Told) {
        let _ = self.sender.send(Arc::new((None, told)));
    }

    fn tell_of(&self, place: GenerationKey, told: Told) {
        let _ = self.sender.send(Arc::new((Some(place), told)));
    }

    /// Hears what is told from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Word> {
        self.sender.subscribe()
    }
}

/// Follows the ledger until `stop` says so.
pub(super) async fn follow(door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    let mut added = door.rooms.ledger.added();
    loop {
        let records = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            records = added.recv() => records,
        };
        match records {
            Ok(records) => records.iter().for_each(|record| tell_record(&door, record)),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "listeners miss some records");
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn tell_record(door: &Door, record: &Record) {
    let facts: Vec<Fact> = record.body().entries.iter().map(Fact::read).collect();
    // A package that comes together with its status is one event.
    let described: BTreeSet<(Option<&GenerationKey>, &str)> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Compat(key, value) if key.topic == Topic::Package && value.document.is_some() => {
                Some((key.place.as_ref(), key.name.as_str()))
            }
            _ => None,
        })
        .collect();
    for fact in &facts {
        match fact {
            Fact::Compat(key, value) => {
                let is_described = described.contains(&(key.place.as_ref(), key.name.as_str()));
                tell_note(door, key, value, is_described);
            }
            Fact::Job(_, job) => tell_job(door, job),
            Fact::Package(key, package) if package.release.is_none() => {
                let place = GenerationKey {
                    repository: key.repository.clone(),
                    arch: key.arch.clone(),
                };
                door.teller.tell_of(place, Told::removed(key.name.as_str()));
            }
            _ => {}
        }
    }
}

fn tell_note(door: &Door, key: &CompatKey, value: &CompatV1, is_described: bool) {
    let Some(place) = key.place.clone() else { return };
    let name = key.name.as_str();
    let told = match key.topic {
        Topic::Service => facts::read::<Said>(value).map(|said| Told::service(said.status)),
        Topic::Hold => facts::read::<HoldUpdate>(value).map(|said| Told::held(name, said.is_held)),
        Topic::Package if value.document.is_none() => Some(Told::removed(name)),
        Topic::Status => facts::read::<Said>(value).map(|said| {
            let described = is_described.then(|| version_of(door, key)).flatten();
            match described {
                Some(version) => Told::updated(name, said.status, &version),
                None => Told::status(name, said.status),
            }
        }),
        _ => None,
    };
    if let Some(told) = told {
        door.teller.tell_of(place, told);
    }
}

/// The version of the package that came with a status.
fn version_of(door: &Door, key: &CompatKey) -> Option<String> {
    let view = door.rooms.ledger.view();
    let key = CompatKey {
        topic: Topic::Package,
        ..key.clone()
    };
    facts::look_up::<Package>(&view, &key).map(|package| package.version)
}

fn tell_job(door: &Door, job: &JobV1) {
    let version = job
        .end
        .as_ref()
        .and_then(|end| end.version.as_ref())
        .unwrap_or(&job.version);
    let view = door.rooms.ledger.view();
    let places = crate::settings::Settings(&view).places();
    let places = places
        .into_iter()
        .filter(|place| place.repository == job.repository && (job.arch.is_any() || place.arch == job.arch));
    use crate::compat::status::BuildStatus;
    for place in places {
        let base = job.base.as_str();
        let told = match job.state {
            JobState::Queued => Told::status(base, BuildStatus::Pending),
            JobState::Failed { .. } => Told::status(base, BuildStatus::Failed),
            JobState::Cancelled => Told::status(base, BuildStatus::Unknown),
            JobState::Published => Told::updated(base, BuildStatus::Success, version.as_str()),
        };
        door.teller.tell_of(place, told);
    }
}
