//! Deciding what is done about what was seen, so that it comes to rest: a finding makes one job in all its life, a
//! base has one job of the plan at a time, and what was built against a package waits until that one is healed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Finding, Remedy, find::Sighting};
use crate::{
    ids::{JobId, MeshId, RequestId},
    ledger::{
        kinds::{JobState, JobV1, Origin, PackageKey, SourceKey},
        view::View,
    },
    names::{Architecture, PackageName, RepositoryName},
};

/// Opens what a nonce is the hash of.
const PURPOSE: &str = "pacmesh/heal/1";

type Place<'a> = (&'a RepositoryName, &'a PackageName, &'a Architecture);

pub(super) fn decide(view: &View, mesh: MeshId, sightings: Vec<Sighting>) -> Vec<Finding> {
    if sightings.is_empty() {
        return Vec::new();
    }
    let mut known = Known::of(view);
    let mut findings = Vec::new();
    // What was built against others comes behind them in the order of causes.
    for sighting in sightings {
        let nonce = nonce(&sighting);
        let remedy = known.remedy(view, mesh, &sighting, nonce);
        let in_progress = match &remedy {
            Remedy::Rebuild { id, job } => {
                known.claim(job, *id);
                true
            }
            Remedy::Asked { state, .. } => *state == JobState::Queued,
            Remedy::After { .. } => true,
            _ => false,
        };
        if in_progress && !matches!(sighting.cause, Cause::BuiltAgainst { .. }) {
            known
                .healing
                .insert((sighting.repository.clone(), sighting.base.clone()));
        }
        findings.push(Finding {
            repository: sighting.repository,
            base: sighting.base,
            arch: sighting.arch,
            cause: sighting.cause,
            packages: sighting.packages,
            remedy,
            nonce,
        });
    }
    findings
}

/// What the ledger and the plan so far say of jobs.
struct Known {
    /// By nonce.
    asked: BTreeMap<RequestId, JobId>,
    /// Open jobs by place; those that the plan asks for among them.
    open: BTreeMap<(RepositoryName, PackageName, Architecture), JobId>,
    /// Bases that a job heals, or will.
    healing: BTreeSet<(RepositoryName, PackageName)>,
}

impl Known {
    fn of(view: &View) -> Self {
        let asked = view
            .jobs()
            .filter_map(|(id, job)| Some((job.nonce?, *id)))
            .collect();
        let open = view
            .jobs()
            .filter(|(_, job)| job.state == JobState::Queued)
            .map(|(id, job)| (place(job), *id))
            .collect();
        Self {
            asked,
            open,
            healing: BTreeSet::new(),
        }
    }

    fn claim(&mut self, job: &JobV1, id: JobId) {
        self.open.insert(place(job), id);
    }

    fn remedy(&self, view: &View, mesh: MeshId, sighting: &Sighting, nonce: RequestId) -> Remedy {
        let Some(old) = sighting.job else {
            return Remedy::Report;
        };
        if let Some((id, job)) = self.asked.get(&nonce).and_then(|id| Some((id, view.job(id)?))) {
            return Remedy::Asked {
                id: *id,
                state: job.state.clone(),
            };
        }
        let Some(old) = view.job(&old) else {
            return Remedy::Forgotten;
        };
        if old.origin == Origin::Upload {
            return Remedy::Uploaded;
        }
        let source = view.source(&SourceKey {
            repository: sighting.repository.clone(),
            base: sighting.base.clone(),
        });
        if source.is_some_and(|source| source.hold && !source.removed) {
            return Remedy::Held;
        }
        if let Some(id) = self.open.get(&place(old)) {
            return Remedy::After { id: *id };
        }
        if let Cause::BuiltAgainst { inputs } = &sighting.cause
            && let Some(base) = inputs
                .keys()
                .find_map(|input| self.is_behind(view, sighting, input))
        {
            return Remedy::Behind { base };
        }
        rebuild(mesh, old, nonce).unwrap_or(Remedy::Forgotten)
    }

    /// What must be healed before a package is built against `input` again.
    fn is_behind(&self, view: &View, sighting: &Sighting, input: &PackageName) -> Option<PackageName> {
        let releases: Vec<_> = arches(view, sighting)
            .into_iter()
            .filter_map(|arch| {
                let key = PackageKey {
                    repository: sighting.repository.clone(),
                    arch,
                    name: input.clone(),
                };
                view.package(&key)?.release.clone()
            })
            .collect();
        let Some(release) = releases.first() else {
            return Some(input.clone());
        };
        let base = (sighting.repository.clone(), release.base.clone());
        self.healing.contains(&base).then_some(base.1)
    }
}

/// The databases that show the packages of a finding.
fn arches(view: &View, sighting: &Sighting) -> BTreeSet<Architecture> {
    view.all_releases()
        .filter(|(key, release)| key.repository == sighting.repository && Some(release.job) == sighting.job)
        .map(|(key, _)| key.arch.clone())
        .collect()
}

fn place(job: &JobV1) -> (RepositoryName, PackageName, Architecture) {
    (job.repository.clone(), job.base.clone(), job.arch.clone())
}

/// The job that heals: the tree of the old one under a nonce of its own. Its day and times are its acceptor's to fill.
fn rebuild(mesh: MeshId, old: &JobV1, nonce: RequestId) -> Option<Remedy> {
    let job = JobV1 {
        generation: 0,
        state: JobState::Queued,
        nonce: Some(nonce),
        end: None,
        ..old.clone()
    };
    let id = job.id(mesh).ok()?;
    Some(Remedy::Rebuild {
        id,
        job: Box::new(job),
    })
}

/// BLAKE3 over what names a finding; its parts contain no zero byte.
fn nonce(sighting: &Sighting) -> RequestId {
    let (repository, base, arch): Place<'_> = (&sighting.repository, &sighting.base, &sighting.arch);
    let cause = match sighting.cause {
        Cause::BoundTwice { .. } => "bound-twice",
        Cause::Withdrawn { .. } => "withdrawn",
        Cause::TwoReleases { .. } => "two-releases",
        Cause::BuiltAgainst { .. } => "built-against",
        Cause::Overtaken { .. } => "overtaken",
    };
    let mut hasher = blake3::Hasher::new();
    let head = [PURPOSE, cause, repository.as_str(), base.as_str(), arch.as_str()];
    for part in head.into_iter().chain(sighting.marks.iter().map(String::as_str)) {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    RequestId(bytes)
}
