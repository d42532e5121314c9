//! The leading master for one reign: drives the schedule, and writes what it decides.
//!
//! One loop owns the schedule and is the only writer; everything that waits for others runs beside it and comes back
//! as an event. It ends with its reign. `asks` is what others want of it, `acts` what the schedule wants of others,
//! `cancel` how jobs are stopped, `heal` what a
//! merge left behind.

mod acts;
mod asks;
mod bring;
mod cancel;
mod heal;
mod seals;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    entry::KnockReply,
    ids::{Digest, JobId, NodeId, RequestId},
    ledger::{
        kinds::{GenerationKey, JobState},
        order::Fact,
        record::{Entry, Record, ReignId},
        view::View,
    },
    machine::Machine,
    names::{Architecture, PackageName, PackageVersion},
    schedule::{Input, Output, Schedule, VerifyError, free_pkgrel},
    signed::{Purpose, Signed},
    wire::{AcceptedJob, Carried, CarriedReply, Change, FRAME_LIMIT, LiveJob, ProbeError, Reply, Request},
    work::{FailureClass, Fence, Probe, Report},
};
use pacmesh_signing::Ed25519Verifier;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    catalogs::{Catalogs, workers},
    changes, copies, entrants,
    generations::{self, Pace},
    handle::LeaderMessage,
    horizon, publish,
    repair::{Ask, RepairHandle},
    submit::{self, Probed},
    upload::Judged,
    verify::{self, Verified},
};
use crate::{clock, error::chain, ledger::LedgerError, rooms::Rooms, settings::Settings};

/// How long a worker may take to answer an order or a cancellation.
const ORDER_WAIT: Duration = Duration::from_secs(30);
/// Between two questions to a worker that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How far a deadline may lie from this clock (FORMATS, "Numbers": ± 120 s).
const CLOCK_TOLERANCE_MS: u64 = 120_000;
/// How often old days are looked for; they change once a day, and open jobs that hold them up end at any time.
const HORIZON_PACE: Duration = Duration::from_secs(60);
/// How long a failed write waits before it is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// So many probes are remembered for requests that come again; beyond it only those of open jobs.
const PROBES: usize = 256;

/// What comes back from work beside the loop.
enum Event {
    Input(Input),
    Verified {
        worker: NodeId,
        job: JobId,
        fence: Fence,
        result: Result<Verified, VerifyError>,
    },
    Submission {
        reply: oneshot::Sender<CarriedReply>,
        result: Result<Box<Probed>, String>,
    },
    Upload {
        reply: oneshot::Sender<CarriedReply>,
        result: Result<Box<Judged>, String>,
    },
    /// What notes name is kept.
    Notes {
        reply: oneshot::Sender<CarriedReply>,
        carried: Box<Carried>,
        result: Result<copies::Copies, String>,
    },
    Generation {
        key: GenerationKey,
        result: Result<u64, String>,
    },
    Trees(heal::Trees),
    Nothing,
}

/// The state of one reign.
pub(super) struct Leader {
    rooms: Arc<Rooms>,
    reign: ReignId,
    schedule: Schedule,
    pending: VecDeque<Input>,
    inbox: mpsc::Receiver<LeaderMessage>,
    tasks: JoinSet<Event>,
    catalogs: Catalogs,
    repair: RepairHandle,
    pace: Pace,
    pace_again: Option<pacmesh_protocol::machine::Instant>,
    /// When old days are looked for again.
    horizon_again: pacmesh_protocol::machine::Instant,
    /// Something changed since generations were last looked at.
    changed: bool,
    /// Ends of jobs whose copies are not synced yet; each closes when it is done with.
    copying: Vec<watch::Receiver<()>>,
    healing: heal::Healing,
    sealing: seals::Sealing,
    /// By tree and architecture; the environment is the repository's one.
    probes: BTreeMap<(Digest, Architecture), Probe>,
    prepared: BTreeMap<(JobId, Fence), oneshot::Sender<Reply>>,
    reports: BTreeMap<(NodeId, JobId, Fence), oneshot::Sender<Reply>>,
    verified: BTreeMap<(NodeId, JobId, Fence), Verified>,
    /// Whoever waits for the record that cancels a job.
    cancelling: BTreeMap<JobId, Vec<cancel::Waiting>>,
}

impl Leader {
    pub(super) fn new(rooms: Arc<Rooms>, reign: ReignId, inbox: mpsc::Receiver<LeaderMessage>) -> Self {
        let mut tasks = JoinSet::new();
        let (repair, repairing) = RepairHandle::start(rooms.clone());
        tasks.spawn(async move {
            repairing.await;
            Event::Nothing
        });
        Self {
            rooms,
            reign,
            schedule: Schedule::new(),
            pending: VecDeque::new(),
            inbox,
            tasks,
            repair,
            catalogs: Catalogs::default(),
            pace: Pace::default(),
            pace_again: None,
            horizon_again: clock::now(),
            changed: true,
            copying: Vec::new(),
            healing: heal::Healing::default(),
            sealing: seals::Sealing::default(),
            probes: BTreeMap::new(),
            prepared: BTreeMap::new(),
            reports: BTreeMap::new(),
            verified: BTreeMap::new(),
            cancelling: BTreeMap::new(),
        }
    }

    /// Leads until `ended` says so; work beside the loop ends with it.
    pub(super) async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let mut views = self.rooms.ledger.subscribe();
        let mut table = self.rooms.discovery.table();
        self.pending.push_back(Input::Reign(self.reign));
        self.tell_view().await;
        self.tell_workers();
        loop {
            self.drain().await;
            self.heal();
            self.renew_seals().await;
            self.publish_generations();
            self.raise_horizon().await;
            let wake = self.sleep_for();
            tokio::select! {
                _ = ended.changed() => break,
                message = self.inbox.recv() => match message {
                    Some(message) => self.hear(message).await,
                    None => break,
                },
                Some(event) = self.tasks.join_next() => match event {
                    Ok(event) => self.take(event).await,
                    Err(error) => tracing::error!(%error, "work of the master ended badly"),
                },
                Ok(()) = views.changed() => self.tell_view().await,
                Ok(()) = table.changed() => self.tell_workers(),
                () = tokio::time::sleep(wake) => self.pending.push_back(Input::Wake),
            }
        }
        self.tasks.shutdown().await;
    }

    fn sleep_for(&self) -> Duration {
        let next = self
            .schedule
            .next_wakeup()
            .into_iter()
            .chain(self.pace_again)
            .chain(self.healing.next())
            .chain([self.horizon_again])
            .min();
        next.map_or(Duration::from_secs(60), |next| {
            next.since(clock::now()).max(Duration::from_millis(1))
        })
    }

    /// Feeds the schedule, and does what it wants, until it wants nothing more.
    async fn drain(&mut self) {
        while let Some(input) = self.pending.pop_front() {
            let asked = match &input {
                Input::Prepared { job, fence, .. } => Some((*job, *fence)),
                _ => None,
            };
            let mut outputs = Vec::new();
            self.schedule.handle(clock::now(), input, &mut outputs);
            for output in outputs {
                self.act(output).await;
            }
            // Nothing that is decided later would reach a worker that waits here; it asks again, by its fence of then.
            if let Some(reply) = asked.and_then(|asked| self.prepared.remove(&asked)) {
                let reason = "whether this attempt goes on is not decided yet".to_owned();
                answer(reply, Reply::Refused { reason });
            }
        }
    }

    async fn tell_view(&mut self) {
        self.changed = true;
        self.healing.look();
        let view = self.rooms.ledger.view();
        self.forget_ended(&view);
        let update = self.catalogs.update(&self.rooms, &view).await;
        if !update.jobs.is_empty() || !update.catalogs.is_empty() || !update.forgotten.is_empty() {
            self.pending.push_back(Input::View(Box::new(update)));
        }
    }

    /// What was learnt for jobs goes with them, so that a long reign costs no more memory than a short one.
    fn forget_ended(&mut self, view: &View) {
        let open: BTreeSet<JobId> = view
            .jobs()
            .filter(|(_, job)| job.state == JobState::Queued)
            .map(|(id, _)| *id)
            .collect();
        self.verified.retain(|(_, job, _), _| open.contains(job));
        if self.probes.len() > PROBES {
            let trees: BTreeSet<Digest> = open.iter().filter_map(|id| Some(view.job(id)?.tree)).collect();
            self.probes.retain(|(tree, _), _| trees.contains(tree));
        }
    }

    fn tell_workers(&mut self) {
        self.healing.look_if_stuck();
        self.pending.push_back(Input::Workers(workers(&self.rooms)));
    }

    fn publish_generations(&mut self) {
        let waited = self.pace_again.is_some_and(|again| again <= clock::now());
        if !self.changed && !waited {
            return;
        }
        self.changed = false;
        let view = self.rooms.ledger.view();
        let (due, again) = self.pace.due(&view, clock::now());
        self.pace_again = again;
        self.copying.retain(|copying| copying.has_changed().is_ok());
        for (key, index) in due {
            let (rooms, reign, view) = (self.rooms.clone(), self.reign, view.clone());
            let copying = self.copying.clone();
            self.tasks.spawn(async move {
                // What a reader has seen must survive this node: a successor would know nothing of it, and might give
                // its name to other bytes.
                for mut copies in copying {
                    while copies.changed().await.is_ok() {}
                }
                let result = generations::publish(rooms, reign, &view, key.clone(), index).await;
                Event::Generation { key, result }
            });
        }
    }

    /// Forgets the days that are old enough and have no open job.
    async fn raise_horizon(&mut self) {
        let now = clock::now();
        if now < self.horizon_again {
            return;
        }
        self.horizon_again = now + HORIZON_PACE;
        let Some(day) = horizon::due(&self.rooms.ledger.view(), clock::wall_ms()) else {
            return;
        };
        let written = match pacmesh_protocol::ledger::horizon::raise(day) {
            Ok(entry) => self.write(vec![entry], None).await.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(_) => tracing::info!(day, "jobs of earlier days are forgotten"),
            Err(error) => tracing::warn!(error, "the horizon could not be raised"),
        }
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.pending.push_back(input),
            Event::Verified {
                worker,
                job,
                fence,
                result,
            } => {
                let result = result.map(|verified| {
                    self.verified.insert((worker, job, fence), verified);
                });
                self.pending.push_back(Input::Verified { job, fence, result });
            }
            Event::Submission { reply, result } => self.accept(reply, result).await,
            Event::Upload { reply, result } => self.accept_upload(reply, result).await,
            Event::Notes {
                reply,
                carried,
                result,
            } => self.accept_notes(reply, *carried, result).await,
            Event::Generation { key, result } => {
                self.pace.ended(&key);
                self.changed = true;
                match result {
                    Ok(number) => {
                        tracing::info!(repository = %key.repository, arch = %key.arch, number, "generation published");
                    }
                    Err(error) => {
                        tracing::warn!(repository = %key.repository, arch = %key.arch, error, "no generation");
                    }
                }
            }
            Event::Trees(trees) => self.queue_rebuilds(trees).await,
            Event::Nothing => {}
        }
    }

    async fn write(
        &mut self,
        entries: Vec<Entry>,
        request: Option<RequestId>,
    ) -> Result<Record, LedgerError> {
        let record = self.rooms.ledger.append(entries, self.reign, request).await?;
        self.tell_view().await;
        Ok(record)
    }
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    // Whoever asked may have gone; what was recorded stays recorded.
    let _ = reply.send(value);
}
