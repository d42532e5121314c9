//! Attempts: what workers say of them. A lower fence changes nothing, except that a finished result for the same
//! generation and inputs is taken while the job is open (FORMATS, "Jobs and attempts").

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{Digest, JobId, NodeId},
    ledger::record::ReignId,
    machine::Instant,
    names::PackageVersion,
    schedule::{
        io::Output,
        job::{Attempt, Job, Phase, ProbeState},
        machine::Schedule,
        promise,
        queue::Catalogs,
    },
    work::{FailureClass, Fence, INPUT_LIMIT, Inventory, Outcome, Report, RunningAttempt},
};

impl Attempt {
    /// Whether it is this one of `worker`, which may not have heard yet that it was adopted.
    fn goes_by(&self, worker: NodeId, fence: Fence) -> bool {
        self.worker == worker && (self.fence == fence || self.adopted_from == Some(fence))
    }

    /// The output that stops it.
    pub(super) const fn stop(&self, job: JobId) -> Output {
        Output::Cancel {
            worker: self.worker,
            job,
            fence: self.fence,
        }
    }
}

impl Job {
    /// Notes that `worker` runs an attempt; of several the one with the greatest fence.
    pub(super) fn find(&mut self, worker: NodeId, attempt: RunningAttempt) {
        let known = self.found.get(&worker).map(|found| found.order.fence);
        if known.is_none_or(|fence| fence < attempt.order.fence) {
            self.found.insert(worker, Box::new(attempt));
        }
    }

    /// Whether an attempt saw just the archives that it would see now, in one of the job's views.
    fn has_inputs(&self, catalogs: &Catalogs, inputs: &[Digest]) -> bool {
        let Some(candidate) = self.candidate() else {
            return false;
        };
        let seen: BTreeSet<Digest> = inputs.iter().copied().collect();
        catalogs.iter().any(|((repository, arch), catalog)| {
            let wanted = || {
                candidate
                    .inputs(catalog)
                    .values()
                    .map(|package| package.archive)
                    .collect()
            };
            self.is_seen_from(repository, arch) && seen == wanted()
        })
    }
}

impl Schedule {
    pub(super) fn on_ordered(
        &mut self,
        now: Instant,
        worker: NodeId,
        id: JobId,
        fence: Fence,
        result: Result<u64, String>,
        out: &mut Vec<Output>,
    ) {
        let stop = Output::Cancel {
            worker,
            job: id,
            fence,
        };
        let Some(job) = self.jobs.get_mut(&id) else {
            out.extend(result.is_ok().then_some(stop));
            return;
        };
        let heard = job.has_heard(worker, fence);
        match (&mut job.phase, result) {
            (Phase::Building(attempt), Ok(started_ms)) if attempt.is(worker, fence) => {
                attempt.taken = true;
                attempt.adopted_from = None;
                attempt.started_ms.get_or_insert(started_ms);
            }
            (Phase::Building(attempt), Err(reason)) if attempt.is(worker, fence) => {
                let adopted = attempt.adopted_from.is_some();
                job.phase = Phase::Waiting;
                job.attempts = job.attempts.saturating_sub(u32::from(!adopted));
                out.push(stop);
                self.blame(now, worker, reason);
            }
            (Phase::Building(_) | Phase::Waiting, Ok(_)) if !heard => out.push(stop),
            _ => {}
        }
    }

    pub(super) fn on_prepared(
        &mut self,
        worker: NodeId,
        id: JobId,
        fence: Fence,
        version: PackageVersion,
        out: &mut Vec<Output>,
    ) {
        let stop = Output::Cancel {
            worker,
            job: id,
            fence,
        };
        let Some(job) = self.jobs.get(&id) else {
            out.extend(self.ended.contains_key(&id).then_some(stop));
            return;
        };
        match (&job.phase, &job.probe) {
            (Phase::Building(attempt), ProbeState::Known(probe)) if attempt.goes_by(worker, fence) => {
                out.push(Output::AnswerPrepared {
                    worker,
                    job: id,
                    fence,
                    version,
                    packages: promise::names(probe, &job.value.arch),
                });
            }
            // The worker may be back before its inventory, which decides whether its attempt goes on.
            (Phase::Waiting, _) => {}
            (Phase::Building(attempt), _) if attempt.goes_by(worker, fence) => {}
            _ => out.push(stop),
        }
    }

    pub(super) fn on_report(&mut self, worker: NodeId, mut report: Box<Report>, out: &mut Vec<Output>) {
        report.inputs.truncate(INPUT_LIMIT);
        let ack = |fence| Output::AckReport {
            worker,
            job: report.job,
            fence,
        };
        let Some(job) = self.jobs.get_mut(&report.job) else {
            // A job that the view does not know may come with the next merge: its result stays with the worker.
            out.extend(self.ended.contains_key(&report.job).then(|| ack(report.fence)));
            return;
        };
        let newest = job.unjudged.get(&worker).map(|unjudged| unjudged.fence);
        if !self.workers.contains_key(&worker) || job.has_heard(worker, report.fence) {
            return;
        }
        if report.generation < job.value.generation {
            out.push(ack(report.fence));
            return;
        }
        // Not even acknowledged: of a later reign it may be true.
        let is_fair = |reign| job.is_fair(reign, worker, report.fence);
        if !self.reign.is_some_and(is_fair) {
            return;
        }
        if newest.is_some_and(|newest| report.fence < newest) {
            out.push(ack(report.fence));
            return;
        }
        out.extend(newest.map(ack));
        job.found
            .retain(|finder, found| *finder != worker || found.order.fence > report.fence);
        job.unjudged.insert(worker, report);
    }

    pub(super) fn on_inventory(
        &mut self,
        now: Instant,
        worker: NodeId,
        inventory: Inventory,
        out: &mut Vec<Output>,
    ) {
        let Some(known) = self.workers.get_mut(&worker) else {
            return;
        };
        known.inventoried = true;
        let life = known.state.incarnation;
        self.orphans.remove(&worker);
        let reported = inventory.reports.iter().map(|report| (report.job, report.fence));
        let running = inventory
            .running
            .iter()
            .map(|attempt| (attempt.order.job, attempt.order.fence));
        let named: BTreeSet<(JobId, Fence)> = running.chain(reported).collect();
        for report in inventory.reports {
            self.on_report(worker, Box::new(report), out);
        }
        for attempt in inventory.running {
            self.on_running(worker, attempt, out);
        }
        // An order of this life that nobody answered yet may still be on its way.
        let vanished = |id: JobId, attempt: &Attempt| {
            let fences = std::iter::once(attempt.fence).chain(attempt.adopted_from);
            attempt.worker == worker
                && (attempt.taken || attempt.life != life)
                && !fences.into_iter().any(|fence| named.contains(&(id, fence)))
        };
        let mut lost = false;
        for (id, job) in &mut self.jobs {
            // What it was waited for is told now: it goes on, or it is gone.
            job.hold = job.hold.filter(|hold| hold.worker != worker);
            if let Some(attempt) = job.attempt().filter(|attempt| vanished(*id, attempt)) {
                out.push(attempt.stop(*id));
                job.phase = Phase::Waiting;
                lost = true;
            }
        }
        if lost {
            self.blame(now, worker, "it lost what it built".to_owned());
        }
    }

    fn on_running(&mut self, worker: NodeId, attempt: RunningAttempt, out: &mut Vec<Output>) {
        let (id, fence) = (attempt.order.job, attempt.order.fence);
        let Some(reign) = self.reign.filter(|reign| fence.reign <= *reign) else {
            return;
        };
        match self.jobs.get_mut(&id) {
            Some(job)
                if attempt.order.generation == job.value.generation && job.is_fair(reign, worker, fence) =>
            {
                job.find(worker, attempt);
            }
            None if !self.ended.contains_key(&id) && fence.reign < reign => {
                self.orphans.entry(worker).or_default().push(attempt);
            }
            _ => out.push(Output::Cancel {
                worker,
                job: id,
                fence,
            }),
        }
    }

    /// Judges the attempts that inventories named, and the reports that wait.
    pub(super) fn judge(&mut self, now: Instant, reign: ReignId, out: &mut Vec<Output>) {
        let ids = |jobs: &BTreeMap<JobId, Job>, has: fn(&Job) -> bool| -> Vec<JobId> {
            jobs.iter()
                .filter(|(_, job)| has(job))
                .map(|(id, _)| *id)
                .collect()
        };
        for id in ids(&self.jobs, |job| {
            !job.unjudged.is_empty() && job.probe().is_some()
        }) {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            let generation = job.value.generation;
            let ready: Vec<_> = job
                .unjudged
                .extract_if(.., |_, r| r.generation == generation)
                .collect();
            for (worker, report) in ready {
                self.judge_report(now, id, worker, report, out);
            }
        }
        for id in ids(&self.jobs, |job| !job.found.is_empty()) {
            self.judge_found(id, reign, out);
        }
    }

    /// Of a waiting job the attempt with the greatest fence goes on under a fence of this reign; all others stop.
    fn judge_found(&mut self, id: JobId, reign: ReignId, out: &mut Vec<Output>) {
        let fence = self.next_fence(reign);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let mut found: Vec<_> = std::mem::take(&mut job.found).into_iter().collect();
        found.sort_by_key(|(_, attempt)| attempt.order.fence);
        if job.is_waiting()
            && let Some((worker, attempt)) = found.pop()
        {
            let old = attempt.order.fence;
            job.latest = job.latest.max(Some(fence));
            job.given.insert(fence, worker);
            job.attempts = job.attempts.max(1);
            job.hold = None;
            job.phase = Phase::Building(Attempt {
                worker,
                life: self
                    .workers
                    .get(&worker)
                    .map_or(0, |worker| worker.state.incarnation),
                fence,
                adopted_from: Some(old),
                taken: false,
                started_ms: Some(attempt.started_ms),
            });
            out.push(Output::Adopt {
                worker,
                job: id,
                old,
                new: fence,
            });
        }
        let current = |worker, fence| job.attempt().is_some_and(|attempt| attempt.is(worker, fence));
        for (worker, attempt) in found {
            if !current(worker, attempt.order.fence) {
                out.push(Output::Cancel {
                    worker,
                    job: id,
                    fence: attempt.order.fence,
                });
            }
        }
    }

    fn judge_report(
        &mut self,
        now: Instant,
        id: JobId,
        worker: NodeId,
        report: Box<Report>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let fence = report.fence;
        if !job.is_undecided() {
            out.extend(job.keep(id, worker, fence));
            return;
        }
        let current = job.attempt().is_some_and(|attempt| attempt.is(worker, fence));
        let stale = !current && (job.latest.is_some_and(|latest| fence < latest) || job.over == Some(fence));
        let taken = match report.outcome {
            Outcome::Built(_) => current || job.has_inputs(&self.catalogs, &report.inputs),
            // Whoever failed stops nobody else.
            Outcome::Failed { .. } | Outcome::Cancelled => !stale && (current || job.attempt().is_none()),
        };
        if !taken {
            out.push(Output::AckReport {
                worker,
                job: id,
                fence,
            });
            return;
        }
        job.take_over(id, current, fence, out);
        self.conclude(now, id, worker, report, out);
    }

    /// Draws the conclusion from a report that counts; the job waits.
    fn conclude(
        &mut self,
        now: Instant,
        id: JobId,
        worker: NodeId,
        report: Box<Report>,
        out: &mut Vec<Output>,
    ) {
        let ack = Output::AckReport {
            worker,
            job: id,
            fence: report.fence,
        };
        match &report.outcome {
            Outcome::Cancelled => {
                out.push(ack);
                self.blame(now, worker, "it stopped an attempt".to_owned());
            }
            Outcome::Failed { class, error } if class.is_workers_fault() => {
                out.push(ack);
                self.blame(now, worker, format!("{}: {error}", class.name()));
            }
            Outcome::Failed { class, error } => {
                let (class, error) = (*class, error.clone());
                self.well_done(worker);
                self.fail_attempt(id, worker, class, error, report, out);
            }
            Outcome::Built(_) => {
                self.well_done(worker);
                self.check_result(id, worker, report, out);
            }
        }
    }

    fn check_result(&mut self, id: JobId, worker: NodeId, report: Box<Report>, out: &mut Vec<Output>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (ProbeState::Known(probe), Outcome::Built(built)) = (&job.probe, &report.outcome) else {
            return;
        };
        if let Err(error) = promise::check(&job.value, probe, &report, built) {
            self.fail_attempt(id, worker, FailureClass::Mismatch, error, report, out);
            return;
        }
        out.push(Output::Verify {
            worker,
            report: report.clone(),
            probe: probe.clone(),
        });
        let fence = report.fence;
        job.phase = Phase::Verifying(worker, report);
        out.extend(job.keep(id, worker, fence));
    }

    /// The worker is at fault: it rests.
    pub(super) fn blame(&mut self, now: Instant, worker: NodeId, fault: String) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.rest(now, fault);
        }
    }

    fn well_done(&mut self, worker: NodeId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.did_well();
        }
    }
}

impl Job {
    /// Keeps a report until the job has ended; an older one of the same worker need not be kept.
    pub(super) fn keep(&mut self, id: JobId, worker: NodeId, fence: Fence) -> Option<Output> {
        let older = match self.reports.insert(worker, fence) {
            Some(known) if known > fence => {
                self.reports.insert(worker, known);
                Some(fence)
            }
            known => known.filter(|known| *known != fence),
        };
        older.map(|fence| Output::AckReport {
            worker,
            job: id,
            fence,
        })
    }

    /// A report counts: its attempt is over, and any other one is stopped.
    fn take_over(&mut self, id: JobId, current: bool, fence: Fence, out: &mut Vec<Output>) {
        if let Some(attempt) = self.attempt().filter(|_| !current) {
            out.push(attempt.stop(id));
        }
        self.attempts = self.attempts.max(1);
        self.latest = self.latest.max(Some(fence));
        self.over = Some(fence);
        self.hold = None;
        self.phase = Phase::Waiting;
    }
}
