//! How a job ends: exactly once, by the record that the driver writes. Once an end was handed out the job has no other.

use crate::{
    ids::{JobId, NodeId},
    machine::Instant,
    schedule::{
        io::{Output, VerifyError},
        job::{End, Hold, Job, Phase, ProbeState},
        machine::{Schedule, UNHEARD_WAIT},
        placement::capable,
        queue::{Obstacle, Queue, Readiness, missing},
        retry,
    },
    work::{FailureClass, Fence, Report},
};

/// Greatest length of the line that says why a job failed, in characters (as in reports).
const ERROR_LENGTH: usize = 500;

impl Schedule {
    pub(super) fn on_verified(
        &mut self,
        now: Instant,
        id: JobId,
        fence: Fence,
        result: Result<(), VerifyError>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (worker, report) = match &job.phase {
            Phase::Verifying(worker, report) if report.fence == fence => (*worker, report.clone()),
            _ => return,
        };
        job.phase = Phase::Waiting;
        match result {
            Ok(()) => job.end(id, End::Publish(worker, report), out),
            Err(VerifyError::Mismatch(error)) => {
                self.fail_attempt(id, worker, FailureClass::Mismatch, error, report, out);
            }
            // The worker keeps its report: when it is heard again, the result may still be taken.
            Err(VerifyError::Unreachable(error)) => {
                job.reports.remove(&worker);
                job.hold = Some(Hold {
                    until: now + UNHEARD_WAIT,
                    worker,
                });
                self.blame(now, worker, error);
            }
        }
    }

    /// An attempt failed by the job's own fault: the job is tried elsewhere, or fails with this attempt's log.
    pub(super) fn fail_attempt(
        &mut self,
        id: JobId,
        worker: NodeId,
        class: FailureClass,
        error: String,
        report: Box<Report>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.failures.entry(worker).or_default().insert(class);
        out.extend(job.keep(id, worker, report.fence));
        let others = capable(&self.workers, job).filter(|(_, worker)| worker.is_dependable());
        if retry::is_final(&job.failures, class, others.map(|(id, _)| id)) {
            let end = End::Fail {
                class,
                error,
                report: Some((worker, report)),
            };
            job.end(id, end, out);
        }
    }

    /// Fails the waiting jobs that nothing can make ready any more, so that every accepted job ends.
    pub(super) fn fail_the_impossible(&mut self, queue: &Queue, out: &mut Vec<Output>) {
        for (id, job) in &mut self.jobs {
            if !job.is_waiting() || matches!(job.probe, ProbeState::Wanted | ProbeState::Asked(_)) {
                continue;
            }
            let Readiness::Never(obstacle) = queue.readiness(*id, job) else {
                continue;
            };
            let error = match obstacle {
                Obstacle::Missing(dependency) => missing(job, &dependency, &self.ended),
                Obstacle::Said(error) => error,
            };
            job.end(*id, End::hopeless(error), out);
        }
    }

    /// What is about to be recorded of an open job, so that it can no longer be stopped; for people.
    pub fn ending(&self, id: JobId) -> Option<&'static str> {
        match &self.jobs.get(&id)?.phase {
            Phase::Ending { end, .. } => Some(match end {
                End::Publish(..) => "being published",
                End::Fail { .. } => "failing",
                End::Cancel => "being cancelled",
            }),
            Phase::Waiting | Phase::Building(_) | Phase::Verifying(..) => None,
        }
    }

    pub(super) fn on_cancel(&mut self, id: JobId, out: &mut Vec<Output>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if matches!(job.phase, Phase::Ending { .. }) {
            return;
        }
        if let Some(attempt) = job.attempt() {
            out.push(attempt.stop(id));
        }
        job.end(id, End::Cancel, out);
        // Nobody waits any longer to learn what it would make.
        self.queue = None;
    }

    pub(super) fn on_recorded(&mut self, id: JobId, out: &mut Vec<Output>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Phase::Ending { again, .. } = &mut job.phase {
            *again = None;
            let reports = std::mem::take(&mut job.reports);
            out.extend(reports.into_iter().map(|(worker, fence)| Output::AckReport {
                worker,
                job: id,
                fence,
            }));
        }
    }

    pub(super) fn on_record_failed(&mut self, now: Instant, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id)
            && let Phase::Ending { again, .. } = &mut job.phase
        {
            *again = Some(now + UNHEARD_WAIT);
        }
    }

    /// Hands out again the ends whose record could not be written.
    pub(super) fn hand_out_again(&mut self, now: Instant, out: &mut Vec<Output>) {
        for (id, job) in &mut self.jobs {
            if let Phase::Ending {
                end,
                again: Some(again),
            } = &job.phase
                && *again <= now
            {
                let end = end.clone();
                job.end(*id, end, out);
            }
        }
    }
}

impl End {
    /// No attempt could mend it: what the source needs is not there.
    pub(super) fn hopeless(error: String) -> Self {
        Self::Fail {
            class: FailureClass::Source,
            error,
            report: None,
        }
    }
}

impl Job {
    /// Hands out the job's end.
    pub(super) fn end(&mut self, id: JobId, end: End, out: &mut Vec<Output>) {
        let attempts = self.attempts;
        match (&end, &self.probe) {
            (End::Publish(worker, report), ProbeState::Known(probe)) => out.push(Output::Publish {
                job: id,
                worker: *worker,
                attempts,
                report: report.clone(),
                probe: probe.clone(),
            }),
            // A result is looked at only beside its probe.
            (End::Publish(..), ProbeState::Wanted | ProbeState::Asked(_)) => {}
            (End::Fail { class, error, report }, _) => out.push(Output::Fail {
                job: id,
                class: *class,
                error: error.chars().take(ERROR_LENGTH).collect(),
                attempts,
                report: report.clone(),
            }),
            (End::Cancel, _) => out.push(Output::CancelRecord { job: id }),
        }
        self.phase = Phase::Ending { end, again: None };
    }
}
