//! The memory of the leading master for one reign, and the round that follows every input.
//!
//! An input changes what is known; then one round draws all conclusions: it judges what was found and reported, asks
//! for metadata, fails what can never be built, and gives work away.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    ids::{JobId, NodeId},
    ledger::record::ReignId,
    machine::{Instant, Machine},
    names::{Architecture, RepositoryName},
    schedule::{
        graph::Candidate,
        io::{Input, Liveness, Output},
        job::{Ended, Job, Phase},
        queue::{Catalogs, Queue},
        worker::Worker,
    },
    wire::LiveJob,
    work::{Fence, RunningAttempt},
};

/// How long a new reign waits for inventories before it orders work (FORMATS, "Jobs and attempts").
pub(crate) const INVENTORY_WAIT: Duration = Duration::from_secs(1);
/// How long a job waits for a worker that may be merely unheard before it is ordered anew (same place), and before
/// a record that could not be written is tried again.
pub(crate) const UNHEARD_WAIT: Duration = Duration::from_secs(5);

/// How long a job waits for a worker that stopped by plan, and whose builds outlive it (same place, "SIGTERM grace").
pub(crate) const RETURN_WAIT: Duration = Duration::from_secs(30);

/// Whether work may be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Gathering {
    /// The workers are not known yet.
    #[default]
    Workers,
    /// Inventories are waited for, until then.
    Until(Instant),
    /// It may.
    Done,
}

/// The memory of the leading master for one reign.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    pub(super) reign: Option<ReignId>,
    pub(super) began: Instant,
    pub(super) workers: BTreeMap<NodeId, Worker>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) ended: BTreeMap<JobId, Ended>,
    /// Running attempts of jobs that the view does not know yet.
    pub(super) orphans: BTreeMap<NodeId, Vec<RunningAttempt>>,
    pub(super) catalogs: Catalogs,
    /// Who waits for whom; `None` after jobs, probes or catalogs changed.
    pub(super) queue: Option<Arc<Queue>>,
    gathering: Gathering,
    fences: u64,
    now: Instant,
}

impl Schedule {
    /// Knows nothing; begins with [`Input::Reign`].
    pub fn new() -> Self {
        Self::default()
    }

    /// All open jobs, by id.
    pub fn live_jobs(&self, now: Instant) -> Vec<LiveJob> {
        let queue = self.current_queue();
        let live = |(id, job): (&JobId, &Job)| LiveJob {
            job: *id,
            worker: job.attempt().map(|attempt| attempt.worker),
            attempts: job.attempts,
            waiting_for: self.explain(now, *id, job, &queue),
            started_ms: job.attempt().and_then(|attempt| attempt.started_ms),
        };
        self.jobs.iter().map(live).collect()
    }

    /// Why an open job does not run, for people; `None` if it runs or is not open.
    pub fn waiting_for(&self, now: Instant, job: JobId) -> Option<String> {
        let open = self.jobs.get(&job)?;
        self.explain(now, job, open, &self.current_queue())
    }

    /// The open jobs beside which a submission for (`repository`, `arch`) is judged ([`super::admit()`]).
    pub fn open_candidates<'a>(
        &'a self,
        repository: &'a RepositoryName,
        arch: &'a Architecture,
    ) -> Vec<Candidate<'a>> {
        self.jobs
            .values()
            .filter(|job| job.is_seen_from(repository, arch))
            .filter_map(Job::candidate)
            .collect()
    }

    pub(super) fn next_fence(&mut self, reign: ReignId) -> Fence {
        self.fences += 1;
        Fence {
            reign,
            number: self.fences,
        }
    }

    /// Whether inventories were waited for, so that work may be judged and ordered.
    pub(super) fn has_gathered(&self) -> bool {
        self.gathering == Gathering::Done
    }

    pub(super) fn current_queue(&self) -> Arc<Queue> {
        match &self.queue {
            Some(queue) => Arc::clone(queue),
            None => Arc::new(Queue::of(&self.catalogs, &self.jobs)),
        }
    }

    fn begin(&mut self, now: Instant, reign: ReignId) {
        *self = Self {
            reign: Some(reign),
            began: now,
            ..Self::default()
        };
    }

    fn hear(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Reign(reign) => self.begin(now, reign),
            Input::View(update) => self.on_view(*update, out),
            Input::Workers(workers) => {
                self.on_workers(now, workers, out);
                if self.gathering == Gathering::Workers {
                    self.gathering = Gathering::Until(now + INVENTORY_WAIT);
                }
            }
            Input::Probed { job, result } => self.on_probed(now, job, result, out),
            Input::Inventory { worker, inventory } => self.on_inventory(now, worker, *inventory, out),
            Input::Ordered {
                worker,
                job,
                fence,
                result,
            } => self.on_ordered(now, worker, job, fence, result, out),
            Input::Prepared {
                worker,
                job,
                fence,
                version,
            } => self.on_prepared(worker, job, fence, version, out),
            Input::Report { worker, report } => self.on_report(worker, report, out),
            Input::Verified { job, fence, result } => self.on_verified(now, job, fence, result, out),
            Input::Recorded { job } => self.on_recorded(job, out),
            Input::RecordFailed { job } => self.on_record_failed(now, job),
            Input::Cancel { job } => self.on_cancel(job, out),
            Input::Wake => {}
        }
    }

    fn finish_gathering(&mut self, now: Instant) {
        let Gathering::Until(until) = self.gathering else {
            return;
        };
        let told = |worker: &Worker| worker.inventoried || worker.state.liveness != Liveness::Alive;
        if until <= now || self.workers.values().all(told) {
            self.gathering = Gathering::Done;
        }
    }

    fn round(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(reign) = self.reign else {
            return;
        };
        self.finish_gathering(now);
        self.hand_out_again(now, out);
        if self.has_gathered() {
            self.judge(now, reign, out);
        }
        self.ask_probes(now, out);
        let queue = self.current_queue();
        self.queue = Some(Arc::clone(&queue));
        if self.has_gathered() {
            self.fail_the_impossible(&queue, out);
            self.give_away(now, reign, &queue, out);
        }
    }

    /// Every moment at which something changes by itself.
    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let gathering = match self.gathering {
            Gathering::Until(until) => Some(until),
            Gathering::Workers | Gathering::Done => None,
        };
        let workers = self.workers.values();
        let workers = workers.flat_map(|worker| [worker.rests_until, worker.inventory_by]);
        let jobs = self.jobs.values().flat_map(|job| {
            let again = match &job.phase {
                Phase::Ending { again, .. } => *again,
                Phase::Waiting | Phase::Building(_) | Phase::Verifying(..) => None,
            };
            again.into_iter().chain(job.hold.map(|hold| hold.until))
        });
        let unheard = (!self.jobs.is_empty()).then(|| self.began + UNHEARD_WAIT);
        gathering.into_iter().chain(unheard).chain(workers).chain(jobs)
    }
}

impl Machine for Schedule {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        self.hear(now, input, out);
        self.now = now;
        self.round(now, out);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.deadlines().filter(|deadline| *deadline > self.now).min()
    }
}
