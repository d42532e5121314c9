//! Which jobs are ready, in which order they are given away, and which can never be.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    ids::JobId,
    ledger::kinds::JobState,
    names::{Architecture, RepositoryName},
    schedule::{
        admit::AdmitError,
        catalog::Catalog,
        depends::Dependency,
        graph::{Candidate, Graph},
        job::{Ended, Job},
    },
};

/// The catalogs of all (repository, architecture).
pub(crate) type Catalogs = BTreeMap<(RepositoryName, Architecture), Catalog>;

/// The open jobs of one (repository, architecture) and who waits for whom.
#[derive(Debug, Clone, Default)]
struct Lane {
    /// In the order of the graph.
    jobs: Vec<JobId>,
    numbers: BTreeMap<JobId, usize>,
    graph: Graph,
    heights: Vec<usize>,
    /// What people read of the circle that a job is in.
    cycles: BTreeMap<usize, String>,
    /// Jobs whose metadata is not known yet: anybody may need them.
    unprobed: BTreeSet<JobId>,
}

/// All lanes, as of the last change of jobs, probes or catalogs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<(RepositoryName, Architecture), Lane>,
}

/// Whether a job can be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// In the views of these architectures all that it needs is published.
    Ready(Vec<Architecture>),
    /// These come first.
    Waits(BTreeSet<JobId>),
    /// The packages of its repository are not known.
    NoCatalog,
    /// Nothing that is open can make it ready.
    Never(Obstacle),
}

/// Why a job can never be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Nobody provides this any more.
    Missing(Dependency),
    /// For people.
    Said(String),
}

impl Queue {
    /// Finds out who waits for whom.
    pub(crate) fn of(catalogs: &Catalogs, jobs: &BTreeMap<JobId, Job>) -> Self {
        let lanes = catalogs
            .iter()
            .map(|(key, catalog)| {
                let seen = jobs.iter().filter(|(_, job)| job.is_seen_from(&key.0, &key.1));
                (
                    key.clone(),
                    Lane::of(catalog, seen.map(|(id, job)| (*id, job)).collect()),
                )
            })
            .collect();
        Self { lanes }
    }

    /// Whether `job` can be ordered. A job of architecture `any` is ready if it is in one of its views.
    pub(crate) fn readiness(&self, id: JobId, job: &Job) -> Readiness {
        let (mut ready, mut waits, mut never) = (Vec::new(), None, None);
        for ((repository, arch), lane) in &self.lanes {
            if !job.is_seen_from(repository, arch) {
                continue;
            }
            match lane.readiness(id) {
                Readiness::Ready(_) => ready.push(arch.clone()),
                Readiness::Waits(jobs) => waits = waits.or(Some(jobs)),
                Readiness::Never(obstacle) => never = never.or(Some(obstacle)),
                Readiness::NoCatalog => {}
            }
        }
        match (ready.is_empty(), waits, never) {
            (false, _, _) => Readiness::Ready(ready),
            (true, Some(jobs), _) => Readiness::Waits(jobs),
            (true, None, Some(obstacle)) => Readiness::Never(obstacle),
            (true, None, None) => Readiness::NoCatalog,
        }
    }

    /// The waiting jobs, the next one first: who holds up the longest chain, then who came first.
    pub(crate) fn waiting(&self, jobs: &BTreeMap<JobId, Job>) -> Vec<JobId> {
        let mut heights: BTreeMap<JobId, usize> = BTreeMap::new();
        for lane in self.lanes.values() {
            for (job, height) in lane.jobs.iter().zip(&lane.heights) {
                let known = heights.entry(*job).or_default();
                *known = (*known).max(*height);
            }
        }
        let mut waiting: Vec<_> = jobs.iter().filter(|(_, job)| job.is_waiting()).collect();
        waiting.sort_by_key(|(id, job)| {
            let height = heights.get(id).copied().unwrap_or(0);
            (Reverse(height), job.value.submitted_ms, &job.value.base, **id)
        });
        waiting.into_iter().map(|(id, _)| *id).collect()
    }
}

impl Lane {
    fn of(catalog: &Catalog, jobs: Vec<(JobId, &Job)>) -> Self {
        let unprobed = jobs
            .iter()
            .filter(|(_, job)| job.probe().is_none() && job.is_undecided());
        let unprobed = unprobed.map(|(id, _)| *id).collect();
        let (jobs, candidates): (Vec<JobId>, Vec<Candidate<'_>>) = jobs
            .into_iter()
            .filter_map(|(id, job)| Some((id, job.candidate()?)))
            .unzip();
        let graph = Graph::of(catalog, &candidates);
        let cycles = graph.cycles.iter().flat_map(|cycle| {
            let path = cycle
                .iter()
                .map(|number| candidates[*number].base().clone())
                .collect();
            let error = AdmitError::Cycle { path }.to_string();
            cycle.iter().map(move |number| (*number, error.clone()))
        });
        Self {
            numbers: jobs
                .iter()
                .enumerate()
                .map(|(number, id)| (*id, number))
                .collect(),
            heights: graph.heights(),
            cycles: cycles.collect(),
            jobs,
            unprobed,
            graph,
        }
    }

    fn readiness(&self, id: JobId) -> Readiness {
        let Some(number) = self.numbers.get(&id) else {
            return Readiness::Waits(BTreeSet::from([id]));
        };
        let waits = &self.graph.waits[*number];
        if let Some(error) = &waits.unreadable {
            let hint = "correct its depends, makedepends or checkdepends";
            return Readiness::Never(Obstacle::Said(format!("{error} ({hint})")));
        }
        if !self.unprobed.is_empty() {
            return Readiness::Waits(self.unprobed.clone());
        }
        if let Some(dependency) = waits.missing.first() {
            return Readiness::Never(Obstacle::Missing(dependency.clone()));
        }
        if let Some(cycle) = self.cycles.get(number) {
            return Readiness::Never(Obstacle::Said(cycle.clone()));
        }
        let others: BTreeSet<JobId> = waits.all().map(|other| self.jobs[other]).collect();
        if others.is_empty() {
            Readiness::Ready(Vec::new())
        } else {
            Readiness::Waits(others)
        }
    }
}

/// What is said of a job that needs what nobody provides any more: the ended job that would have made it, if known.
pub(crate) fn missing(job: &Job, dependency: &Dependency, ended: &BTreeMap<JobId, Ended>) -> String {
    let base = &job.value.base;
    let would_make = |ended: &Ended| match &ended.probe {
        Some(probe) => {
            let maker = Candidate {
                probe,
                nocheck: false,
                delivers: true,
            };
            maker.makes(dependency)
        }
        None => ended.base.as_str() == dependency.name(),
    };
    let related = |ended: &Ended| {
        ended.repository == job.value.repository
            && (ended.arch == job.value.arch || ended.arch.is_any() || job.value.arch.is_any())
    };
    let culprit = ended.iter().find_map(|(id, ended)| {
        let end = match ended.state {
            JobState::Failed { .. } => "failed: fix it",
            JobState::Cancelled => "was cancelled: build it",
            JobState::Queued | JobState::Published => return None,
        };
        (related(ended) && would_make(ended)).then(|| (id.short(), end))
    });
    match culprit {
        Some((id, end)) => {
            format!("needs '{dependency}', whose job {id} {end}, then 'pacmesh retry {base}'")
        }
        None => format!(
            "needs '{dependency}', which nobody provides any more: build {}, then 'pacmesh retry {base}'",
            dependency.name()
        ),
    }
}
