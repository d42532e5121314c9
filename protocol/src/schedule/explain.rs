//! Why a job does not run, in words for people.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    ids::{JobId, NodeId},
    machine::Instant,
    names::Architecture,
    schedule::{
        io::Liveness,
        job::{Job, Phase, ProbeState},
        machine::Schedule,
        placement::{Place, place},
        queue::{Obstacle, Queue, Readiness},
        worker::Worker,
    },
};

/// How many jobs that come first are named.
const NAMED: usize = 3;

impl Schedule {
    pub(super) fn explain(&self, now: Instant, id: JobId, job: &Job, queue: &Queue) -> Option<String> {
        let reason = match &job.phase {
            Phase::Building(_) => return None,
            Phase::Verifying(worker, _) => format!("its packages from {} to be verified", self.name(*worker)),
            Phase::Ending { .. } => "its end to be recorded".to_owned(),
            Phase::Waiting if !self.has_gathered() => "the inventories of the workers".to_owned(),
            Phase::Waiting if job.hold.is_some_and(|hold| now < hold.until) => self.for_the_unheard(now, job),
            Phase::Waiting => match &job.probe {
                ProbeState::Asked(worker) => format!("its PKGBUILD to be read by {}", self.name(*worker)),
                ProbeState::Wanted => self.for_a_worker(now, job, &self.arches_of(job)),
                ProbeState::Known(_) => self.for_others(now, id, job, queue),
            },
        };
        Some(reason)
    }

    fn arches_of(&self, job: &Job) -> Vec<Architecture> {
        let seen = self
            .catalogs
            .keys()
            .filter(|(repository, arch)| job.is_seen_from(repository, arch));
        seen.map(|(_, arch)| arch.clone()).collect()
    }

    fn for_others(&self, now: Instant, id: JobId, job: &Job, queue: &Queue) -> String {
        match queue.readiness(id, job) {
            Readiness::NoCatalog => format!("the packages of repository '{}'", job.value.repository),
            Readiness::Waits(others) => self.listed(&others),
            Readiness::Never(Obstacle::Missing(dependency)) => {
                format!("'{dependency}', which nobody provides")
            }
            Readiness::Never(Obstacle::Said(error)) => error,
            Readiness::Ready(_) if self.is_held(now, job) => self.for_the_unheard(now, job),
            Readiness::Ready(arches) => self.for_a_worker(now, job, &arches),
        }
    }

    fn listed(&self, others: &BTreeSet<JobId>) -> String {
        let state = |job: &Job| match &job.phase {
            Phase::Waiting if job.probe().is_none() => "its PKGBUILD is not read yet".to_owned(),
            Phase::Waiting => "queued".to_owned(),
            Phase::Building(attempt) => format!("building on {}", self.name(attempt.worker)),
            Phase::Verifying(..) | Phase::Ending { .. } => "about to end".to_owned(),
        };
        let jobs = others.iter().filter_map(|id| self.jobs.get(id));
        let mut named: Vec<String> = jobs
            .take(NAMED)
            .map(|job| format!("{} ({})", job.value.base, state(job)))
            .collect();
        if others.len() > NAMED {
            named.push(format!("{} more", others.len() - NAMED));
        }
        named.join(", ")
    }

    fn for_the_unheard(&self, now: Instant, job: &Job) -> String {
        match job.hold.filter(|hold| now < hold.until) {
            Some(hold) => format!(
                "{}, which {}, for {} s",
                self.name(hold.worker),
                self.absence(hold.worker),
                seconds(hold.until.since(now))
            ),
            None => "workers that have not told yet what they build".to_owned(),
        }
    }

    fn absence(&self, worker: NodeId) -> &'static str {
        match self.workers.get(&worker) {
            Some(known) if known.state.liveness == Liveness::Away => {
                "stopped by plan and goes on with it if it comes back"
            }
            Some(known) if known.is_in_reach() && known.inventoried => "did not hand over what it built",
            Some(known) if known.is_in_reach() => "is being asked what it builds",
            _ => "may be merely unheard",
        }
    }

    fn for_a_worker(&self, now: Instant, job: &Job, arches: &[Architecture]) -> String {
        match place(&self.workers, &self.running(), job, arches, now) {
            Place::Nobody => self.for_somebody(job),
            Place::Silent => "a worker that answers".to_owned(),
            Place::Resting { name, fault, until } => {
                format!(
                    "{name}, which rests {} s after a fault: {fault}",
                    seconds(until.since(now))
                )
            }
            Place::Busy(1) => "a free slot: the only worker is busy".to_owned(),
            Place::Busy(count) => format!("a free slot: all {count} workers are busy"),
            Place::At(worker, _) => format!("{} to take it", self.name(worker)),
        }
    }

    /// Nobody in reach could take it: those who could if they were there, or allowed to.
    fn for_somebody(&self, job: &Job) -> String {
        let able = || self.workers.values().filter(|worker| worker.can_build(job));
        let drained = names(able().filter(|worker| worker.is_in_reach() && worker.state.draining));
        let absent = names(able().filter(|worker| !worker.is_in_reach()));
        match (drained.is_empty(), absent.is_empty()) {
            (false, _) => format!("a worker that takes new work: {drained} may not ('pacmesh node resume')"),
            (true, false) => format!("a worker: {absent} could build it and is out of reach"),
            (true, true) => format!(
                "a worker: none of environment {} for {} is in reach",
                job.value.environment, job.value.arch
            ),
        }
    }

    fn name(&self, worker: NodeId) -> String {
        match self.workers.get(&worker) {
            Some(known) => known.state.name.to_string(),
            None => worker.short(),
        }
    }
}

/// The names of some workers, the first few.
fn names<'a>(workers: impl Iterator<Item = &'a Worker>) -> String {
    let names: Vec<&str> = workers.map(|worker| worker.state.name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let mut text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Whole seconds, rounded up: "0 s" would be no wait.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
