//! The workers: who came, who fell silent, who is gone. Losing one never costs a job more than time (invariant 4).

use std::{collections::BTreeMap, mem, time::Duration};

use crate::{
    ids::NodeId,
    machine::Instant,
    schedule::{
        io::{Liveness, Output, WorkerState},
        job::{Hold, Phase, ProbeState},
        machine::{INVENTORY_WAIT, RETURN_WAIT, Schedule, UNHEARD_WAIT},
        worker::Worker,
    },
};

impl Schedule {
    pub(super) fn on_workers(&mut self, now: Instant, workers: Vec<WorkerState>, out: &mut Vec<Output>) {
        let mut before = mem::take(&mut self.workers);
        let mut lost = Vec::new();
        for state in workers {
            let id = state.capability.node;
            let (worker, change) = match before.remove(&id) {
                Some(known) => known.described(now, state),
                None => (Worker::new(state, now + INVENTORY_WAIT), Change::Came),
            };
            match change {
                Change::Came if worker.is_in_reach() => out.push(Output::AskInventory { worker: id }),
                Change::Silent => lost.push((id, Absence::Unheard)),
                Change::Stopped => lost.push((id, Absence::Planned)),
                Change::Gone => lost.push((id, Absence::Certain)),
                Change::Came | Change::None => {}
            }
            self.workers.insert(id, worker);
        }
        lost.extend(before.into_keys().map(|id| (id, Absence::Certain)));
        for (id, absence) in lost {
            self.lose(now, id, absence);
        }
    }

    /// What `worker` had goes on elsewhere: at once if it is lost for certain, else after a while.
    fn lose(&mut self, now: Instant, worker: NodeId, absence: Absence) {
        self.orphans.remove(&worker);
        let mut had_attempts = false;
        for job in self.jobs.values_mut() {
            job.found.remove(&worker);
            if matches!(job.probe, ProbeState::Asked(asked) if asked == worker) {
                job.probe = ProbeState::Wanted;
            }
            let hold = absence.wait().map(|wait| Hold {
                until: now + wait,
                worker,
            });
            if job.attempt().is_some_and(|attempt| attempt.worker == worker) {
                had_attempts = true;
                job.phase = Phase::Waiting;
                job.hold = hold;
            } else if job.hold.is_some_and(|held| held.worker == worker) {
                job.hold = job.hold.filter(|_| absence != Absence::Certain);
            }
        }
        // Whoever stops by plan has done nothing wrong.
        let at_fault = had_attempts && absence != Absence::Planned;
        if let Some(known) = self.workers.get_mut(&worker).filter(|_| at_fault) {
            known.rest(now, "it was lost".to_owned());
        }
    }

    /// How many attempts each worker has, with those of jobs that the view does not know yet.
    pub(super) fn running(&self) -> BTreeMap<NodeId, u32> {
        let building = self.jobs.values().filter_map(|job| Some(job.attempt()?.worker));
        let orphans = self.orphans.iter();
        let orphans = orphans.flat_map(|(worker, attempts)| attempts.iter().map(|_| *worker));
        let mut running = BTreeMap::new();
        for worker in building.chain(orphans) {
            *running.entry(worker).or_default() += 1;
        }
        running
    }
}

/// How a worker came to be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// It may be merely unheard.
    Unheard,
    /// It said goodbye, and its builds go on.
    Planned,
    /// It is gone.
    Certain,
}

impl Absence {
    /// How long its jobs wait for it.
    const fn wait(self) -> Option<Duration> {
        match self {
            Self::Unheard => Some(UNHEARD_WAIT),
            Self::Planned => Some(RETURN_WAIT),
            Self::Certain => None,
        }
    }
}

/// What a new description of a worker means.
enum Change {
    /// Nothing for its jobs.
    None,
    /// It is back, or has a new life: its inventory is wanted.
    Came,
    /// It may be merely unheard.
    Silent,
    /// It stopped by plan.
    Stopped,
    /// It is lost.
    Gone,
}

impl Worker {
    fn described(mut self, now: Instant, state: WorkerState) -> (Self, Change) {
        let was_in_reach = self.is_in_reach();
        let was = mem::replace(&mut self.state, state);
        let change = match self.state.liveness {
            Liveness::Alive | Liveness::Suspect => {
                let same_life = was.incarnation == self.state.incarnation;
                if was_in_reach && same_life {
                    Change::None
                } else {
                    Change::Came
                }
            }
            Liveness::Unheard if was_in_reach => Change::Silent,
            Liveness::Away if was_in_reach => Change::Stopped,
            Liveness::Lost if was.liveness != Liveness::Lost => Change::Gone,
            Liveness::Unheard | Liveness::Away | Liveness::Lost => Change::None,
        };
        if matches!(change, Change::Came) {
            self.inventoried = false;
            self.inventory_by = now + INVENTORY_WAIT;
        }
        (self, change)
    }
}
