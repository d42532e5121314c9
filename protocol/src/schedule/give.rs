//! Giving work away: probes at once, attempts when a job is ready and a worker has room.

use std::collections::BTreeMap;

use crate::{
    ids::{JobId, NodeId},
    ledger::record::ReignId,
    machine::Instant,
    names::Architecture,
    schedule::{
        io::{Liveness, Output},
        job::{Attempt, End, Job, Phase, ProbeState},
        machine::{Schedule, UNHEARD_WAIT},
        placement::{Place, capable, place},
        queue::{Queue, Readiness},
        worker::Worker,
    },
    wire::ProbeError,
    work::{Fence, Input, Order, Probe},
};

/// How many probes one worker is asked for at a time: each may take 60 s and 1 GiB.
const PROBES_PER_WORKER: usize = 4;

impl Schedule {
    pub(super) fn on_probed(
        &mut self,
        now: Instant,
        id: JobId,
        result: Result<Box<Probe>, ProbeError>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.probe().is_none()) else {
            return;
        };
        let asked = match job.probe {
            ProbeState::Asked(worker) => Some(worker),
            ProbeState::Wanted | ProbeState::Known(_) => None,
        };
        self.queue = None;
        match (result, asked) {
            (Ok(probe), _) => job.probe = ProbeState::Known(probe),
            (Err(ProbeError::Source(error)), _) => {
                job.probe = ProbeState::Wanted;
                if let Some(attempt) = job.attempt() {
                    out.push(attempt.stop(id));
                }
                if job.is_undecided() {
                    job.end(id, End::hopeless(error), out);
                }
            }
            (Err(ProbeError::Worker(error)), Some(worker)) => {
                job.probe = ProbeState::Wanted;
                self.blame(now, worker, error);
            }
            (Err(ProbeError::Worker(_)), None) => {}
        }
    }

    /// Asks for the metadata of every job that has none, of the capable workers with the fewest probes.
    pub(super) fn ask_probes(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut asked: BTreeMap<NodeId, usize> = BTreeMap::new();
        for job in self.jobs.values() {
            if let ProbeState::Asked(worker) = job.probe {
                *asked.entry(worker).or_default() += 1;
            }
        }
        for (id, job) in &mut self.jobs {
            if !matches!(job.probe, ProbeState::Wanted) || !job.is_undecided() {
                continue;
            }
            let probes = |worker: &NodeId| asked.get(worker).copied().unwrap_or(0);
            let best = capable(&self.workers, job)
                .filter(|(id, worker)| worker.can_probe(now) && probes(id) < PROBES_PER_WORKER)
                .min_by_key(|(id, worker)| (probes(id), worker.state.load, *id));
            let Some((worker, _)) = best else { continue };
            *asked.entry(worker).or_default() += 1;
            job.probe = ProbeState::Asked(worker);
            out.push(Output::Probe {
                job: *id,
                worker,
                tree: job.value.tree,
                arch: job.value.arch.clone(),
                environment: job.value.environment.clone(),
            });
        }
    }

    /// Whether somebody who may have this job's attempt has not been heard yet: then it is not ordered anew.
    pub(super) fn is_held(&self, now: Instant, job: &Job) -> bool {
        let unheard = |worker: &Worker| {
            worker.can_build(job) && worker.state.liveness != Liveness::Lost && !worker.inventoried
        };
        let since_reign = job.inherited && now < self.began + UNHEARD_WAIT;
        job.hold.is_some_and(|hold| now < hold.until) || since_reign && self.workers.values().any(unheard)
    }

    /// Orders attempts of ready jobs, the most urgent first; what finds no worker lets others pass.
    pub(super) fn give_away(&mut self, now: Instant, reign: ReignId, queue: &Queue, out: &mut Vec<Output>) {
        let mut running = self.running();
        for id in queue.waiting(&self.jobs) {
            let Some(job) = self.jobs.get(&id).filter(|job| !self.is_held(now, job)) else {
                continue;
            };
            let Readiness::Ready(arches) = queue.readiness(id, job) else {
                continue;
            };
            let Place::At(worker, arch) = place(&self.workers, &running, job, &arches, now) else {
                continue;
            };
            *running.entry(worker).or_default() += 1;
            self.order(reign, id, worker, &arch, out);
        }
    }

    fn order(
        &mut self,
        reign: ReignId,
        id: JobId,
        worker: NodeId,
        arch: &Architecture,
        out: &mut Vec<Output>,
    ) {
        let fence = self.next_fence(reign);
        let Some(known) = self.workers.get_mut(&worker) else {
            return;
        };
        known.orders += 1;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let catalog = self.catalogs.get(&(job.value.repository.clone(), arch.clone()));
        let inputs = job.candidate().zip(catalog).map(|(candidate, catalog)| {
            let packages = candidate.inputs(catalog);
            let input = |package: &super::CatalogPackage| Input {
                file: package.file.clone(),
                archive: package.archive,
            };
            packages.into_values().map(input).collect()
        });
        let ProbeState::Known(probe) = &job.probe else {
            return;
        };
        let order = job.value_as_order(id, fence, probe, inputs.unwrap_or_default());
        job.attempts += 1;
        job.latest = Some(fence);
        job.given.insert(fence, worker);
        job.hold = None;
        job.phase = Phase::Building(Attempt {
            worker,
            life: known.state.incarnation,
            fence,
            adopted_from: None,
            taken: false,
            started_ms: None,
        });
        out.push(Output::Order {
            worker,
            order: Box::new(order),
        });
    }
}

impl Job {
    fn value_as_order(&self, id: JobId, fence: Fence, probe: &Probe, inputs: Vec<Input>) -> Order {
        let value = &self.value;
        Order {
            job: id,
            generation: value.generation,
            fence,
            repository: value.repository.clone(),
            arch: value.arch.clone(),
            environment: value.environment.clone(),
            tree: value.tree,
            options: value.options,
            makepkg_conf: value.makepkg_conf,
            snapshot: value.snapshot,
            epoch: value.epoch,
            probe: probe.clone(),
            inputs,
        }
    }
}

impl Worker {
    fn can_probe(&self, now: Instant) -> bool {
        self.state.liveness == Liveness::Alive && self.rests_until <= now
    }
}
