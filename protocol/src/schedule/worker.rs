//! A worker in the schedule's memory: whether it may be given something, and how long it rests after a fault.

use std::time::Duration;

use crate::{
    machine::Instant,
    names::Architecture,
    schedule::{
        io::{Liveness, WorkerState},
        job::Job,
    },
};

/// The first rest after a fault (FORMATS, "Numbers": 5 s × 2^n ≤ 5 min).
const REST: Duration = Duration::from_secs(5);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// After so many faults in a row no job waits for this worker's opinion.
const DEPENDABLE_FAULTS: u32 = 3;

/// A worker.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    /// As described last.
    pub(crate) state: WorkerState,
    /// It told what it has, in this reign and since it last was lost or started.
    pub(crate) inventoried: bool,
    /// Until when an inventory is waited for before it is given something.
    pub(crate) inventory_by: Instant,
    /// Faults in a row.
    faults: u32,
    /// When it may be given something again.
    pub(crate) rests_until: Instant,
    /// What its last fault was, for people.
    pub(crate) fault: String,
    /// Orders so far: of equals, the one with fewer is next.
    pub(crate) orders: u64,
}

impl Worker {
    /// A worker that was not known before; its inventory is waited for until `inventory_by`.
    pub(crate) const fn new(state: WorkerState, inventory_by: Instant) -> Self {
        Self {
            state,
            inventoried: false,
            inventory_by,
            faults: 0,
            rests_until: Instant::at(Duration::ZERO),
            fault: String::new(),
            orders: 0,
        }
    }

    /// It is at fault: it rests, each time twice as long.
    pub(crate) fn rest(&mut self, now: Instant, fault: String) {
        let rest = REST.saturating_mul(1 << self.faults.min(16)).min(LONGEST_REST);
        self.faults = self.faults.saturating_add(1);
        self.rests_until = self.rests_until.max(now + rest);
        self.fault = fault;
    }

    /// It did its part.
    pub(crate) fn did_well(&mut self) {
        self.faults = 0;
    }

    /// Whether it is there, or may be.
    pub(crate) const fn is_in_reach(&self) -> bool {
        matches!(self.state.liveness, Liveness::Alive | Liveness::Suspect)
    }

    /// Whether jobs may still be meant for it: it is in reach and does not drain.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_in_reach() && !self.state.draining
    }

    /// Whether a job waits for it rather than be judged without it.
    pub(crate) const fn is_dependable(&self) -> bool {
        self.is_open() && self.faults < DEPENDABLE_FAULTS
    }

    /// Whether it can be given something at `now`, but for its slots.
    pub(crate) fn is_at_hand(&self, now: Instant) -> bool {
        self.state.liveness == Liveness::Alive
            && !self.state.draining
            && self.rests_until <= now
            && (self.inventoried || self.inventory_by <= now)
    }

    /// Whether it has the environment and architecture for `job`.
    pub(crate) fn can_build(&self, job: &Job) -> bool {
        let capability = &self.state.capability;
        capability.environment == job.value.environment
            && (job.value.arch.is_any() || capability.arches.contains(&job.value.arch))
    }

    /// In the view of which of these architectures it would build; its own first is preferred.
    pub(crate) fn builds_as<'a>(&self, arches: &'a [Architecture]) -> Option<&'a Architecture> {
        let own = &self.state.capability.arches;
        own.iter()
            .find_map(|arch| arches.iter().find(|offered| *offered == arch))
    }
}
