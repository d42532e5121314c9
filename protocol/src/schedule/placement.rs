//! Which worker gets a job, or what the job waits for.
//!
//! A worker must have the job's environment and architecture, be alive, not drain, not rest and have a free slot. Where
//! the job failed by its own fault it does not go again while another could try. Of the rest the one with the fewest
//! attempts is next, then the lowest load, then the one that was given the least.

use std::collections::BTreeMap;

use crate::{
    ids::NodeId,
    machine::Instant,
    names::{Architecture, NodeName},
    schedule::{job::Job, worker::Worker},
};

/// Where a ready job goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// There, in the view of this architecture.
    At(NodeId, Architecture),
    /// No capable worker is in reach.
    Nobody,
    /// All capable workers are silent, or have not told yet what they have.
    Silent,
    /// The one that rests the shortest.
    Resting {
        /// Who.
        name: NodeName,
        /// After what.
        fault: String,
        /// Until when.
        until: Instant,
    },
    /// All slots of so many workers are taken.
    Busy(usize),
}

/// Those who could try `job` now or soon.
pub(crate) fn capable<'a>(
    workers: &'a BTreeMap<NodeId, Worker>,
    job: &'a Job,
) -> impl Iterator<Item = (NodeId, &'a Worker)> {
    workers
        .iter()
        .filter(|(_, worker)| worker.is_open() && worker.can_build(job))
        .map(|(id, worker)| (*id, worker))
}

/// Finds a place for a job that is ready in the views of `arches`; `running` counts the attempts of each worker.
pub(crate) fn place(
    workers: &BTreeMap<NodeId, Worker>,
    running: &BTreeMap<NodeId, u32>,
    job: &Job,
    arches: &[Architecture],
    now: Instant,
) -> Place {
    let fresh = |id: &NodeId| !job.failures.contains_key(id);
    let another = capable(workers, job).any(|(id, worker)| fresh(&id) && worker.is_dependable());
    let offers: Vec<(NodeId, &Worker, &Architecture)> = capable(workers, job)
        .filter(|(id, _)| !another || fresh(id))
        .filter_map(|(id, worker)| Some((id, worker, worker.builds_as(arches)?)))
        .collect();
    let count = |id: &NodeId| running.get(id).copied().unwrap_or(0);
    let best = offers
        .iter()
        .filter(|(id, worker, _)| worker.is_at_hand(now) && count(id) < worker.state.capability.slots)
        .min_by_key(|(id, worker, _)| (count(id), worker.state.load, worker.orders, *id));
    match best {
        Some((id, _, arch)) => Place::At(*id, (*arch).clone()),
        None => obstacle(&offers, now),
    }
}

fn obstacle(offers: &[(NodeId, &Worker, &Architecture)], now: Instant) -> Place {
    if offers.is_empty() {
        return Place::Nobody;
    }
    let busy = offers
        .iter()
        .filter(|(_, worker, _)| worker.is_at_hand(now))
        .count();
    if busy > 0 {
        return Place::Busy(busy);
    }
    let resting = offers
        .iter()
        .map(|(_, worker, _)| worker)
        .filter(|worker| worker.rests_until > now)
        .min_by_key(|worker| worker.rests_until);
    match resting {
        Some(worker) => Place::Resting {
            name: worker.state.name.clone(),
            fault: worker.fault.clone(),
            until: worker.rests_until,
        },
        None => Place::Silent,
    }
}
