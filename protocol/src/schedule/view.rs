//! What the ledger says: which jobs are open, which ended, and what is published.

use crate::{
    ids::JobId,
    ledger::kinds::{JobState, JobV1},
    schedule::{
        io::{Output, ViewUpdate},
        job::{Ended, Job, Phase, ProbeState},
        machine::Schedule,
    },
};

impl Schedule {
    pub(super) fn on_view(&mut self, update: ViewUpdate, out: &mut Vec<Output>) {
        self.queue = None;
        for (repository, arch, catalog) in update.catalogs {
            self.catalogs.insert((repository, arch), catalog);
        }
        for (id, value) in update.jobs {
            match value.state {
                JobState::Queued => self.on_queued(id, value, out),
                JobState::Failed { .. } | JobState::Cancelled | JobState::Published => {
                    self.on_ended(id, value, out);
                }
            }
        }
        for id in update.forgotten {
            self.let_go(id, out);
            self.jobs.remove(&id);
            self.ended.remove(&id);
        }
    }

    fn on_queued(&mut self, id: JobId, value: JobV1, out: &mut Vec<Output>) {
        self.ended.remove(&id);
        let known = match self.jobs.get_mut(&id) {
            Some(job) if value.generation < job.value.generation => return,
            Some(job) if value.generation == job.value.generation => {
                job.value = value;
                return;
            }
            known => known.is_some(),
        };
        let mut job = Job::new(value, !self.has_gathered());
        if known {
            let same = |old: &Job| old.value.environment == job.value.environment;
            let probe = self
                .jobs
                .get(&id)
                .filter(|old| same(old))
                .map(|old| old.probe.clone());
            job.probe = probe.unwrap_or(ProbeState::Wanted);
            self.let_go(id, out);
        }
        self.adopt_orphans(id, &mut job);
        self.jobs.insert(id, job);
    }

    /// Attempts that an inventory named before the view knew their job.
    fn adopt_orphans(&mut self, id: JobId, job: &mut Job) {
        for (worker, attempts) in &mut self.orphans {
            for attempt in attempts.extract_if(.., |attempt| attempt.order.job == id) {
                job.find(*worker, attempt);
            }
        }
    }

    fn on_ended(&mut self, id: JobId, value: JobV1, out: &mut Vec<Output>) {
        let probe = match self.jobs.get(&id) {
            Some(job) if value.generation < job.value.generation && value.state != JobState::Published => {
                return;
            }
            Some(job) if value.state != JobState::Published => job.probe().cloned().map(Box::new),
            _ => None,
        };
        self.let_go(id, out);
        self.jobs.remove(&id);
        let ended = Ended {
            state: value.state,
            repository: value.repository,
            arch: value.arch,
            base: value.base,
            probe,
        };
        self.ended.insert(id, ended);
    }

    /// Nothing that this memory knows of a job's attempts is wanted any longer.
    fn let_go(&mut self, id: JobId, out: &mut Vec<Output>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if let Some(attempt) = job.attempt() {
            out.push(attempt.stop(id));
        }
        let found = std::mem::take(&mut job.found);
        out.extend(found.into_iter().map(|(worker, attempt)| Output::Cancel {
            worker,
            job: id,
            fence: attempt.order.fence,
        }));
        let unjudged = std::mem::take(&mut job.unjudged);
        let unjudged = unjudged
            .into_iter()
            .map(|(worker, report)| (worker, report.fence));
        let reports = std::mem::take(&mut job.reports).into_iter().chain(unjudged);
        out.extend(reports.map(|(worker, fence)| Output::AckReport {
            worker,
            job: id,
            fence,
        }));
        job.phase = Phase::Waiting;
    }
}
