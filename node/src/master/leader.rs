//! The leading master for one reign: drives the schedule, and writes what it decides.
//!
//! One loop owns the schedule and is the only writer; everything that waits for others runs beside it and comes back
//! as an event. It ends with its reign.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    entry::KnockReply,
    ids::{Digest, JobId, NodeId, RequestId},
    ledger::{
        kinds::GenerationKey,
        order::Fact,
        record::{Entry, Record, ReignId},
        view::View,
    },
    machine::Machine,
    names::{Architecture, PackageName, PackageVersion},
    schedule::{Input, Output, Schedule, VerifyError, free_pkgrel},
    signed::{Purpose, Signed},
    wire::{AcceptedJob, Carried, CarriedReply, Change, FRAME_LIMIT, LiveJob, ProbeError, Reply, Request},
    work::{Fence, Probe, Report},
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
    publish,
    submit::{self, Probed},
    verify::{self, Verified},
};
use crate::{clock, error::chain, ledger::LedgerError, rooms::Rooms, settings::Settings};

/// How long a worker may take to answer an order or a cancellation.
const ORDER_WAIT: Duration = Duration::from_secs(30);
/// Between two questions to a worker that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How far a deadline may lie from this clock (FORMATS, "Numbers": ± 120 s).
const CLOCK_TOLERANCE_MS: u64 = 120_000;
/// How long a failed write waits before it is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// What comes back from work beside the loop.
enum Event {
    Input(Input),
    Verified {
        job: JobId,
        fence: Fence,
        result: Result<Verified, VerifyError>,
    },
    Submission {
        reply: oneshot::Sender<CarriedReply>,
        result: Result<Box<Probed>, String>,
    },
    Generation {
        key: GenerationKey,
        result: Result<u64, String>,
    },
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
    pace: Pace,
    pace_again: Option<pacmesh_protocol::machine::Instant>,
    /// Something changed since generations were last looked at.
    changed: bool,
    /// By tree and architecture; the environment is the repository's one.
    probes: BTreeMap<(Digest, Architecture), Probe>,
    prepared: BTreeMap<(JobId, Fence), oneshot::Sender<Reply>>,
    reports: BTreeMap<(JobId, Fence), oneshot::Sender<Reply>>,
    verified: BTreeMap<(JobId, Fence), Verified>,
}

impl Leader {
    pub(super) fn new(rooms: Arc<Rooms>, reign: ReignId, inbox: mpsc::Receiver<LeaderMessage>) -> Self {
        Self {
            rooms,
            reign,
            schedule: Schedule::new(),
            pending: VecDeque::new(),
            inbox,
            tasks: JoinSet::new(),
            catalogs: Catalogs::default(),
            pace: Pace::default(),
            pace_again: None,
            changed: true,
            probes: BTreeMap::new(),
            prepared: BTreeMap::new(),
            reports: BTreeMap::new(),
            verified: BTreeMap::new(),
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
            self.publish_generations();
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
            .min();
        next.map_or(Duration::from_secs(60), |next| {
            next.since(clock::now()).max(Duration::from_millis(1))
        })
    }

    /// Feeds the schedule, and does what it wants, until it wants nothing more.
    async fn drain(&mut self) {
        while let Some(input) = self.pending.pop_front() {
            let mut outputs = Vec::new();
            self.schedule.handle(clock::now(), input, &mut outputs);
            for output in outputs {
                self.act(output).await;
            }
        }
    }

    async fn tell_view(&mut self) {
        self.changed = true;
        let view = self.rooms.ledger.view();
        let update = self.catalogs.update(&self.rooms, &view).await;
        if !update.jobs.is_empty() || !update.catalogs.is_empty() {
            self.pending.push_back(Input::View(Box::new(update)));
        }
    }

    fn tell_workers(&mut self) {
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
        for (key, index) in due {
            let (rooms, reign) = (self.rooms.clone(), self.reign);
            self.tasks.spawn(async move {
                let result = generations::publish(rooms, reign, key.clone(), index).await;
                Event::Generation { key, result }
            });
        }
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.pending.push_back(input),
            Event::Verified { job, fence, result } => {
                let result = result.map(|verified| {
                    self.verified.insert((job, fence), verified);
                });
                self.pending.push_back(Input::Verified { job, fence, result });
            }
            Event::Submission { reply, result } => self.accept(reply, result).await,
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
            Event::Nothing => {}
        }
    }
}

/// What others ask.
impl Leader {
    async fn hear(&mut self, message: LeaderMessage) {
        match message {
            LeaderMessage::Carry { from, carried, reply } => self.carry(from, carried, reply).await,
            LeaderMessage::Knock { knock, reply } => {
                let answer = entrants::admit(&self.rooms, self.reign, *knock).await;
                if let KnockReply::Admitted { record, .. } = &answer {
                    self.spread(record.clone());
                }
                let _ = reply.send(answer);
            }
            LeaderMessage::Prepared {
                worker,
                job,
                fence,
                version,
                reply,
            } => {
                self.prepared.insert((job, fence), reply);
                self.pending.push_back(Input::Prepared {
                    worker,
                    job,
                    fence,
                    version,
                });
            }
            LeaderMessage::Report {
                worker,
                report,
                reply,
            } => {
                self.reports.insert((report.job, report.fence), reply);
                self.pending.push_back(Input::Report { worker, report });
            }
            LeaderMessage::JobStates { jobs, reply } => {
                let _ = reply.send(self.live_jobs(&jobs));
            }
        }
    }

    fn live_jobs(&self, jobs: &[JobId]) -> Vec<LiveJob> {
        let mut live = self.schedule.live_jobs(clock::now());
        if !jobs.is_empty() {
            live.retain(|job| jobs.contains(&job.job));
        }
        live
    }

    /// Judges who asks, and answers a request that was recorded before from the ledger.
    async fn carry(&mut self, from: NodeId, signed: Signed, reply: oneshot::Sender<CarriedReply>) {
        let carried = match self.open(from, &signed) {
            Ok(carried) => carried,
            Err(reason) => return answer(reply, CarriedReply::Refused { reason }),
        };
        let view = self.rooms.ledger.view();
        if let Some((record, jobs)) = recorded(&self.rooms, &view, &carried.request).await {
            self.answer_when_copied(record, jobs, None, reply);
            return;
        }
        if let Err(reason) = changes::check_rights(&view, &carried.origin, &carried.body) {
            return answer(reply, CarriedReply::Refused { reason });
        }
        if matches!(carried.body, Change::Submit { .. }) {
            let (rooms, reign) = (self.rooms.clone(), self.reign);
            self.tasks.spawn(async move {
                let result = submit::probe(rooms, reign, carried).await.map(Box::new);
                Event::Submission { reply, result }
            });
            return;
        }
        match changes::plan(&view, self.rooms.mesh, &carried.body, carried.request) {
            Ok(planned) => {
                for job in planned.cancelled {
                    self.pending.push_back(Input::Cancel { job });
                }
                self.record_change(planned.entries, planned.jobs, carried.request, None, reply)
                    .await;
            }
            Err(reason) => answer(reply, CarriedReply::Refused { reason }),
        }
    }

    fn open(&self, from: NodeId, signed: &Signed) -> Result<Carried, String> {
        let unreadable = |_| "a request that cannot be read: update pacmesh on both machines".to_owned();
        let carried: Carried = signed.peek(FRAME_LIMIT).map_err(unreadable)?;
        signed
            .check(
                Purpose::Carried,
                &self.rooms.mesh,
                carried.origin.as_bytes(),
                &Ed25519Verifier,
            )
            .map_err(|_| {
                format!(
                    "a request whose signature does not fit, brought by {}",
                    from.short()
                )
            })?;
        if carried.deadline_ms.saturating_add(CLOCK_TOLERANCE_MS) < clock::wall_ms() {
            return Err(
                "the request is too old: check the clocks of both machines, and ask again".to_owned(),
            );
        }
        Ok(carried)
    }

    async fn accept(&mut self, reply: oneshot::Sender<CarriedReply>, result: Result<Box<Probed>, String>) {
        let probed = match result {
            Ok(probed) => probed,
            Err(reason) => return answer(reply, CarriedReply::Refused { reason }),
        };
        self.tell_view().await;
        self.drain().await;
        let view = self.rooms.ledger.view();
        let mut catalogs = BTreeMap::new();
        for arch in Settings(&view).arches(&probed.repository) {
            let catalog = self
                .catalogs
                .catalog(&self.rooms, &view, &probed.repository, &arch)
                .await;
            catalogs.insert(arch, catalog);
        }
        match submit::accept(&self.rooms, &view, &self.schedule, &probed, &catalogs) {
            Ok(accepted) => {
                let Change::Submit { sources, .. } = &probed.carried.body else {
                    return;
                };
                for (source, probes) in sources.iter().zip(&probed.probes) {
                    for (arch, probe) in probes {
                        self.probes.insert((source.tree, arch.clone()), probe.clone());
                    }
                }
                let request = probed.carried.request;
                self.record_change(
                    accepted.entries,
                    accepted.jobs,
                    request,
                    Some(probed.copies),
                    reply,
                )
                .await;
            }
            Err(reason) => answer(reply, CarriedReply::Refused { reason }),
        }
    }

    /// Writes what a change brings, and answers when enough replicas have it.
    async fn record_change(
        &mut self,
        entries: Vec<Entry>,
        jobs: Vec<AcceptedJob>,
        request: RequestId,
        holders: Option<copies::Copies>,
        reply: oneshot::Sender<CarriedReply>,
    ) {
        if entries.is_empty() {
            let copies = holders.map_or(0, |holders| holders.holders.len() as u32);
            return answer(reply, CarriedReply::Accepted { jobs, copies });
        }
        let record = match self.write(entries, Some(request)).await {
            Ok(record) => record,
            Err(error) => {
                return answer(
                    reply,
                    CarriedReply::Refused {
                        reason: chain(&error),
                    },
                );
            }
        };
        self.answer_when_copied(record, jobs, holders, reply);
    }

    fn answer_when_copied(
        &mut self,
        record: Record,
        jobs: Vec<AcceptedJob>,
        holders: Option<copies::Copies>,
        reply: oneshot::Sender<CarriedReply>,
    ) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let holders = match holders {
                Some(holders) => holders,
                // Nothing but the record itself needs keeping: every replica will do.
                None => copies::keep(&rooms, Vec::new(), Vec::new()).await,
            };
            let copies = copies::replicate(&rooms, &record, &holders).await;
            answer(reply, CarriedReply::Accepted { jobs, copies });
            Event::Nothing
        });
    }

    fn spread(&mut self, record: Signed) {
        for peer in self.rooms.transport.connected() {
            let (rooms, record) = (self.rooms.clone(), record.clone());
            self.tasks.spawn(async move {
                let push = Request::Push {
                    records: vec![record],
                };
                if let Err(error) = rooms.ask(peer, push, ORDER_WAIT).await {
                    tracing::debug!(peer = %peer.short(), error, "a push was not acknowledged");
                }
                Event::Nothing
            });
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

/// The record of a request that some master wrote before, with the jobs that it is about.
async fn recorded(rooms: &Rooms, view: &View, request: &RequestId) -> Option<(Record, Vec<AcceptedJob>)> {
    let hash = *view.request(request)?;
    let signed = rooms.ledger.pull(vec![hash]).await.ok()?.into_iter().next()?;
    let record = Record::trusted(signed).ok()?;
    let about = |entry: &Entry| match Fact::read(entry) {
        Fact::Job(job, value) => Some(AcceptedJob {
            job,
            base: value.base,
            known: true,
        }),
        _ => None,
    };
    let jobs = record.body().entries.iter().filter_map(about).collect();
    Some((record, jobs))
}

/// What the schedule wants.
impl Leader {
    async fn act(&mut self, output: Output) {
        match output {
            Output::AskInventory { worker } => self.ask_inventory(worker),
            Output::Probe {
                job,
                tree,
                arch,
                environment,
                ..
            } => {
                if let Some(probe) = self.probes.get(&(tree, arch.clone())) {
                    let result = Ok(Box::new(probe.clone()));
                    self.pending.push_back(Input::Probed { job, result });
                    return;
                }
                let (rooms, reign) = (self.rooms.clone(), self.reign);
                self.tasks.spawn(async move {
                    let probed = submit::probe_one(&rooms, reign, tree, &arch, &environment).await;
                    let result = probed.map(Box::new).map_err(ProbeError::Worker);
                    Event::Input(Input::Probed { job, result })
                });
            }
            Output::Order { worker, order } => {
                let (job, fence) = (order.job, order.fence);
                let request = Request::Order { order };
                self.order(worker, job, fence, request);
            }
            Output::Adopt {
                worker,
                job,
                old,
                new,
            } => {
                self.order(worker, job, new, Request::Adopt { job, old, new });
            }
            Output::Cancel { worker, job, fence } => {
                if let Some(reply) = self.prepared.remove(&(job, fence)) {
                    answer(
                        reply,
                        Reply::Refused {
                            reason: "the attempt is no longer wanted".to_owned(),
                        },
                    );
                }
                let rooms = self.rooms.clone();
                self.tasks.spawn(async move {
                    let _ = rooms
                        .ask(worker, Request::Cancel { job, fence }, ORDER_WAIT)
                        .await;
                    Event::Nothing
                });
            }
            Output::AnswerPrepared {
                job,
                fence,
                version,
                packages,
                ..
            } => {
                self.answer_prepared(job, fence, &version, &packages);
            }
            Output::Verify {
                worker,
                report,
                probe,
            } => self.verify(worker, *report, *probe),
            Output::Publish {
                job,
                worker,
                attempts,
                report,
                probe: _,
            } => {
                self.publish(job, worker, attempts, &report).await;
            }
            Output::Fail {
                job,
                class,
                error,
                attempts,
                report,
            } => {
                let view = self.rooms.ledger.view();
                let Some(value) = view.job(&job) else { return };
                tracing::info!(job = %job.short(), base = %value.base, error, "job failed");
                let entries = publish::failure(job, value, class, &error, attempts, report.as_ref());
                if let Some((worker, log)) = report.and_then(|(worker, report)| Some((worker, report.log?))) {
                    self.keep_log(worker, log);
                }
                self.end(job, entries.map_err(|error| error.to_string()), None)
                    .await;
            }
            Output::CancelRecord { job } => {
                let view = self.rooms.ledger.view();
                let Some(value) = view.job(&job) else { return };
                let entries = publish::cancellation(job, value).map_err(|error| error.to_string());
                self.end(job, entries, None).await;
            }
            Output::AckReport { job, fence, .. } => {
                self.verified.remove(&(job, fence));
                if let Some(reply) = self.reports.remove(&(job, fence)) {
                    answer(reply, Reply::Done);
                }
            }
        }
    }

    /// The log of a failure is kept like any blob, but the failure does not wait for it.
    fn keep_log(&mut self, worker: NodeId, log: Digest) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            rooms.obtain(&[log], &[worker]).await;
            copies::keep(&rooms, vec![log], vec![worker]).await;
            Event::Nothing
        });
    }

    fn ask_inventory(&mut self, worker: NodeId) {
        let (rooms, reign) = (self.rooms.clone(), self.reign);
        self.tasks.spawn(async move {
            // Bounded: whoever stays silent is soon lost, and is asked again when it returns.
            for _ in 0..20 {
                let answer = rooms.ask(worker, Request::Inventory { reign }, ORDER_WAIT).await;
                if let Ok(Reply::Inventory(inventory)) = answer {
                    return Event::Input(Input::Inventory { worker, inventory });
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Event::Nothing
        });
    }

    fn order(&mut self, worker: NodeId, job: JobId, fence: Fence, request: Request) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let result = match rooms.ask(worker, request, ORDER_WAIT).await {
                Ok(Reply::Done) => Ok(clock::wall_ms()),
                Ok(Reply::Refused { reason }) => Err(reason),
                Ok(_) => Err("it answered something else".to_owned()),
                Err(error) => Err(error),
            };
            Event::Input(Input::Ordered {
                worker,
                job,
                fence,
                result,
            })
        });
    }

    fn answer_prepared(
        &mut self,
        job: JobId,
        fence: Fence,
        version: &PackageVersion,
        packages: &[(PackageName, Architecture)],
    ) {
        let Some(reply) = self.prepared.remove(&(job, fence)) else {
            return;
        };
        let view = self.rooms.ledger.view();
        let mixed = packages.iter().any(|(_, arch)| !arch.is_any());
        let free = free_pkgrel(version, packages, |name, version, arch| {
            // The `any` half of a mixed base may be bound by the other architecture's job already (FORMATS).
            let shared = mixed && arch.is_any() && is_bound_by_sibling(&view, job, name, version);
            view.binding(name, version, arch).is_some() && !shared
        });
        answer(
            reply,
            match free {
                Ok(version) => Reply::Build { version },
                Err(error) => Reply::Refused {
                    reason: error.to_string(),
                },
            },
        );
    }

    fn verify(&mut self, worker: NodeId, report: Report, probe: Probe) {
        let (job, fence) = (report.job, report.fence);
        let view = self.rooms.ledger.view();
        let Some(tree) = view.job(&job).map(|value| value.tree) else {
            return;
        };
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let result = verify::verify(&rooms, worker, &report, &probe, tree).await;
            Event::Verified { job, fence, result }
        });
    }

    async fn publish(&mut self, job: JobId, worker: NodeId, attempts: u32, report: &Report) {
        let view = self.rooms.ledger.view();
        let (Some(value), Some(verified)) =
            (view.job(&job), self.verified.get(&(job, report.fence)).cloned())
        else {
            self.pending.push_back(Input::RecordFailed { job });
            return;
        };
        let entries = publish::publication(&view, job, value, worker, attempts, report, &verified);
        if entries.is_ok() {
            tracing::info!(job = %job.short(), base = %value.base, worker = %self.rooms.name_of(&worker), "publishing");
        }
        self.end(
            job,
            entries.map_err(|error| error.to_string()),
            Some(verified.copies),
        )
        .await;
    }

    /// Writes the record that ends a job, and tells the schedule when its copies are synced.
    async fn end(
        &mut self,
        job: JobId,
        entries: Result<Vec<Entry>, String>,
        holders: Option<copies::Copies>,
    ) {
        let written = match entries {
            Ok(entries) => self.write(entries, None).await.map_err(|error| chain(&error)),
            Err(error) => Err(error),
        };
        let rooms = self.rooms.clone();
        match written {
            Ok(record) => {
                self.tasks.spawn(async move {
                    let holders = match holders {
                        Some(holders) => holders,
                        None => copies::keep(&rooms, Vec::new(), Vec::new()).await,
                    };
                    copies::replicate(&rooms, &record, &holders).await;
                    Event::Input(Input::Recorded { job })
                });
            }
            Err(error) => {
                tracing::warn!(job = %job.short(), error, "the end of a job could not be recorded");
                self.tasks.spawn(async move {
                    tokio::time::sleep(WRITE_AGAIN).await;
                    Event::Input(Input::RecordFailed { job })
                });
            }
        }
    }
}

/// Whether the name is bound by a published job of the same base and tree.
fn is_bound_by_sibling(view: &View, job: JobId, name: &PackageName, version: &PackageVersion) -> bool {
    let Some(own) = view.job(&job) else { return false };
    view.all_releases().any(|(key, release)| {
        key.name == *name
            && release.version == *version
            && release.job != job
            && view
                .job(&release.job)
                .is_some_and(|other| other.base == own.base && other.tree == own.tree)
    })
}
