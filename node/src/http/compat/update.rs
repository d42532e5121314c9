//! A manual update: what was uploaded is published by the master, each base as one batch, and what fails is said in the
//! log, in the audit log and by the status of the package.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pacmesh_protocol::{
    ids::JobId,
    ledger::kinds::{GenerationKey, JobState, JobV1},
    names::PackageName,
    wire::{Change, UPLOADS, Uploaded},
    work::BuiltPackage,
};
use tokio::time::timeout;

use super::{
    Door,
    answer::{Answer, Outcome},
    call::Call,
    incoming::Taken,
    notes::Notebook,
    packages,
};
use crate::{
    clock,
    compat::{
        event::{Event, EventKind},
        status::BuildStatus,
        worker::UpdateRequest,
    },
    master::carry,
};

/// How long the record of a job may take from the master to this node.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long a process waits until this node shows what it published.
const SHOWN: Duration = Duration::from_secs(15);

pub(super) async fn post(mut call: Call) -> Outcome {
    let place = call.place_or_nowhere();
    let request: UpdateRequest = call.body().await?;
    let door = call.door.clone();
    let id = call.door.processes.start(|process| async move {
        if let (true, Some(place)) = (request.manual, place) {
            publish(door, place, process).await;
        }
    })?;
    Ok(Answer::json(&serde_json::json!({"process_id": id})))
}

/// Publishes all that waits at a place.
async fn publish(door: Arc<Door>, place: GenerationKey, process: String) {
    let mut bases: BTreeMap<PackageName, Vec<Taken>> = BTreeMap::new();
    for taken in door.incoming.take(&place) {
        bases.entry(taken.1.base.clone()).or_default().push(taken);
    }
    let overtaken = bases.values_mut().flat_map(split_off_older).collect();
    door.incoming.done(&door.rooms, overtaken).await;
    let run = Run {
        door: &door,
        place: &place,
        process: &process,
    };
    for batch in batches(bases) {
        run.publish(batch).await;
    }
}

/// Of several versions of a base that wait only the newest is published.
fn split_off_older(taken: &mut Vec<Taken>) -> Vec<Taken> {
    let newest = taken
        .iter()
        .map(|(_, waiting)| waiting.file.version())
        .max()
        .cloned();
    let is_older = |taken: &mut Taken| Some(taken.1.file.version()) != newest.as_ref();
    taken.extract_if(.., is_older).collect()
}

/// As many bases as one change takes; one base is never split.
fn batches(bases: BTreeMap<PackageName, Vec<Taken>>) -> Vec<Vec<(PackageName, Vec<Taken>)>> {
    let (mut batches, mut size) = (Vec::<Vec<_>>::new(), UPLOADS);
    for (base, taken) in bases {
        if size + taken.len() > UPLOADS {
            batches.push(Vec::new());
            size = 0;
        }
        size += taken.len();
        if let Some(batch) = batches.last_mut() {
            batch.push((base, taken));
        }
    }
    batches
}

/// One process at one place.
struct Run<'a> {
    door: &'a Arc<Door>,
    place: &'a GenerationKey,
    process: &'a str,
}

impl Run<'_> {
    async fn publish(&self, batch: Vec<(PackageName, Vec<Taken>)>) {
        for (base, taken) in &batch {
            for (_, waiting) in taken {
                let version = waiting.file.version().as_str();
                self.say(base, version, &format!("publishing {}", waiting.file));
            }
        }
        let archives = batch.iter().flat_map(|(_, taken)| taken).map(uploaded).collect();
        let change = Change::Upload {
            repository: Some(self.place.repository.clone()),
            archives,
        };
        match carry(&self.door.rooms, change).await {
            Ok((jobs, _)) => {
                for (base, taken) in batch {
                    let job = jobs.iter().find(|job| job.base == base).map(|job| job.job);
                    self.finish(base, taken, job).await;
                }
            }
            // Nothing was recorded: the next update tries again.
            Err(reason) => {
                for (base, taken) in batch {
                    self.failed(&base, &taken, &reason).await;
                    self.door.incoming.give_back(&taken);
                    self.note_failure(&base).await;
                }
            }
        }
    }

    async fn finish(&self, base: PackageName, taken: Vec<Taken>, job: Option<JobId>) {
        let ended = match job {
            Some(job) => self.wait_for(job).await,
            None => None,
        };
        match ended.map(|job| job.state) {
            Some(JobState::Failed { error, .. }) => self.failed(&base, &taken, &error).await,
            Some(_) => {
                for (_, waiting) in &taken {
                    self.say(
                        &base,
                        waiting.file.version().as_str(),
                        &format!("published {}", waiting.file),
                    );
                }
                self.wait_until_shown(&taken).await;
            }
            None => tracing::warn!(%base, "what became of an upload does not show here yet"),
        }
        self.door.incoming.done(&self.door.rooms, taken).await;
    }

    /// The end of a job, once this node knows it.
    async fn wait_for(&self, id: JobId) -> Option<JobV1> {
        let mut views = self.door.rooms.ledger.subscribe();
        let ended = views.wait_for(|view| view.job(&id).is_some_and(|job| job.state != JobState::Queued));
        let view = timeout(ARRIVAL, ended).await.ok()?.ok()?.clone();
        view.job(&id).cloned()
    }

    /// Whoever asked for the update installs from here next.
    async fn wait_until_shown(&self, taken: &[Taken]) {
        let shown = async {
            while !self.shows(taken) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(SHOWN, shown).await.is_err() {
            tracing::debug!("what was published is not served here yet");
        }
    }

    fn shows(&self, taken: &[Taken]) -> bool {
        let rooms = &self.door.rooms;
        if rooms.discovery.table().borrow().own.repository_port.is_none() {
            return true;
        }
        let Some(shown) = rooms.repository.catalogue().shown(self.place) else {
            return false;
        };
        taken
            .iter()
            .filter(|(_, waiting)| waiting.file.arch().is_any() || *waiting.file.arch() == self.place.arch)
            .all(|(_, waiting)| shown.archives.contains_key(&waiting.file))
    }

    async fn failed(&self, base: &PackageName, taken: &[Taken], reason: &str) {
        let version = taken
            .first()
            .map_or("", |(_, waiting)| waiting.file.version().as_str());
        for line in reason.lines() {
            self.say(base, version, line);
        }
        let event = Event {
            event: EventKind::PackageUpdateFailed.name().to_owned(),
            object_id: base.to_string(),
            created: (clock::wall_ms() / 1000).cast_signed(),
            message: Some(reason.to_owned()),
            data: None,
        };
        if let Err(failure) = self.door.note_event(self.place, event).await {
            tracing::warn!(%base, reason, error = failure.reason, "a failed upload is told in the log only");
        }
    }

    /// Where no job says that it failed, a status does.
    async fn note_failure(&self, base: &PackageName) {
        if !self.door.knows(self.place, base).await {
            return;
        }
        let mut notebook = Notebook::default();
        let noted =
            packages::note_status(self.door, &mut notebook, self.place, base, BuildStatus::Failed).await;
        if noted.is_ok() && self.door.record(notebook).await.is_err() {
            tracing::warn!(%base, "a failed upload does not show in its status");
        }
    }

    fn say(&self, base: &PackageName, version: &str, message: &str) {
        self.door.say(self.place, base, version, self.process, message);
    }
}

fn uploaded((_, waiting): &Taken) -> Uploaded {
    Uploaded {
        base: waiting.base.clone(),
        package: BuiltPackage {
            file: waiting.file.clone(),
            size: waiting.size,
            sha256: waiting.sha256,
            archive: waiting.archive,
            signature: waiting.signature,
        },
    }
}
