//! Looking: one function for each cause.

use std::collections::{BTreeMap, BTreeSet};

use super::Cause;
use crate::{
    ids::{Digest, JobId},
    ledger::{
        kinds::{BindingKey, JobState, PackageKey, ReleaseV1},
        view::View,
    },
    names::{Architecture, PackageName, PackageVersion, RepositoryName},
};

/// A finding before it is known what can be done.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) repository: RepositoryName,
    pub(super) base: PackageName,
    pub(super) arch: Architecture,
    pub(super) cause: Cause,
    pub(super) packages: BTreeSet<PackageName>,
    /// The job whose tree heals it; `None` for what is only reported.
    pub(super) job: Option<JobId>,
    /// What tells it from others of its cause, base and architecture.
    pub(super) marks: Vec<String>,
}

impl Sighting {
    /// About what one release's job brought; the release's package is the first that it names.
    fn of(view: &View, (key, release): (&PackageKey, &ReleaseV1), cause: Cause, marks: Vec<String>) -> Self {
        // That of the database where the job is forgotten.
        let arch = view.job(&release.job).map_or(&key.arch, |job| &job.arch);
        Self {
            repository: key.repository.clone(),
            base: release.base.clone(),
            arch: arch.clone(),
            cause,
            packages: BTreeSet::from([key.name.clone()]),
            job: Some(release.job),
            marks,
        }
    }
}

pub(super) fn all(view: &View) -> Vec<Sighting> {
    let mut found = bound_twice(view);
    found.extend(withdrawn(view));
    found.extend(two_releases(view));
    found.extend(built_against(view));
    found.extend(overtaken(view));
    found.sort_by(|a, b| {
        let place = |of: &Sighting| {
            (
                of.cause.clone(),
                of.repository.clone(),
                of.base.clone(),
                of.arch.clone(),
            )
        };
        (place(a), &a.marks).cmp(&(place(b), &b.marks))
    });
    found
}

/// Names with two archives whose version is still in force. Once a greater one is, nobody asks for the name any more.
fn bound_twice(view: &View) -> Vec<Sighting> {
    let twice: BTreeSet<&BindingKey> = view.bound_twice().map(|(key, _)| key).collect();
    let mut found: BTreeMap<JobId, Sighting> = BTreeMap::new();
    if twice.is_empty() {
        return Vec::new();
    }
    for (key, release) in view.all_releases() {
        let name = binding_of(key, release, &release.version);
        if !twice.contains(&name) {
            continue;
        }
        let sighting = found.entry(release.job).or_insert_with(|| {
            let version = release.version.clone();
            let marks = vec![version.to_string()];
            Sighting::of(view, (key, release), Cause::BoundTwice { version }, marks)
        });
        sighting.packages.insert(key.name.clone());
    }
    found.into_values().collect()
}

fn binding_of(key: &PackageKey, release: &ReleaseV1, version: &PackageVersion) -> BindingKey {
    BindingKey {
        name: key.name.clone(),
        version: version.clone(),
        arch: release.file.arch().clone(),
    }
}

/// What a quarantine withdrew and nothing has replaced.
fn withdrawn(view: &View) -> Vec<Sighting> {
    let mut found: BTreeMap<JobId, Sighting> = BTreeMap::new();
    for (key, withdrawn) in view.withdrawn() {
        let release = &withdrawn.release;
        let sighting = found.entry(release.job).or_insert_with(|| {
            let cause = Cause::Withdrawn {
                version: release.version.clone(),
                member: withdrawn.member,
            };
            Sighting::of(view, (key, release), cause, marks_of(release))
        });
        sighting.packages.insert(key.name.clone());
    }
    found.into_values().collect()
}

/// A release, among all that its base ever had.
fn marks_of(release: &ReleaseV1) -> Vec<String> {
    vec![release.version.to_string(), release.job.to_string()]
}

type Group<'a> = Vec<(&'a PackageKey, &'a ReleaseV1)>;

/// Bases of which the newest release brought a package that is in force at another version. (One that the newest
/// release does not make is merely left from an older one, which is no work of a merge.)
fn two_releases(view: &View) -> Vec<Sighting> {
    let mut bases: BTreeMap<(&RepositoryName, &Architecture, &PackageName), Group<'_>> = BTreeMap::new();
    for (key, release) in view.all_releases() {
        bases
            .entry((&key.repository, &key.arch, &release.base))
            .or_default()
            .push((key, release));
    }
    let mut found: BTreeMap<JobId, Sighting> = BTreeMap::new();
    let bound: BTreeSet<&BindingKey> = view.bindings().map(|(key, _)| key).collect();
    for group in bases.into_values() {
        let Some((lead_key, lead)) = group
            .iter()
            .max_by_key(|(key, release)| (&release.version, &key.name))
        else {
            continue;
        };
        let behind: BTreeMap<PackageName, PackageVersion> = group
            .iter()
            .filter(|(key, release)| {
                release.version != lead.version && bound.contains(&binding_of(key, release, &lead.version))
            })
            .map(|(key, release)| (key.name.clone(), release.version.clone()))
            .collect();
        if behind.is_empty() {
            continue;
        }
        found.entry(lead.job).or_insert_with(|| {
            let packages = behind.keys().cloned().collect();
            let marks = behind
                .iter()
                .flat_map(|(name, version)| [name.to_string(), version.to_string()])
                .collect();
            let newest = lead.version.clone();
            let cause = Cause::TwoReleases { newest, behind };
            Sighting {
                packages,
                ..Sighting::of(view, (lead_key, lead), cause, marks)
            }
        });
    }
    found.into_values().collect()
}

/// Packages whose build root saw what lost its name or its right, or was outranked before they were published.
fn built_against(view: &View) -> Vec<Sighting> {
    let archives = Archives::of(view);
    let mut found: BTreeMap<JobId, Sighting> = BTreeMap::new();
    for (key, release) in view.all_releases() {
        if let Some(sighting) = found.get_mut(&release.job) {
            sighting.packages.insert(key.name.clone());
            continue;
        }
        let Some(job) = view
            .job(&release.job)
            .filter(|job| job.state == JobState::Published)
        else {
            continue;
        };
        let inputs = job.end.as_ref().map_or(&[][..], |end| &end.inputs);
        let gone: BTreeMap<Digest, &BindingKey> = inputs
            .iter()
            .filter_map(|input| Some((*input, archives.displaced(view, key, input)?)))
            .collect();
        if gone.is_empty() {
            continue;
        }
        let marks = gone.keys().map(Digest::to_string);
        let marks = [release.job.to_string()].into_iter().chain(marks).collect();
        let names = gone.values();
        let inputs = names.map(|input| (input.name.clone(), input.version.clone()));
        let cause = Cause::BuiltAgainst {
            inputs: inputs.collect(),
        };
        let sighting = Sighting::of(view, (key, release), cause, marks);
        found.insert(release.job, sighting);
    }
    found.into_values().collect()
}

/// Which archives are in force, and what every archive was called.
struct Archives<'a> {
    in_force: BTreeSet<Digest>,
    names: BTreeMap<Digest, &'a BindingKey>,
    losers: BTreeSet<Digest>,
}

impl<'a> Archives<'a> {
    fn of(view: &'a View) -> Self {
        let mut names: BTreeMap<Digest, &BindingKey> =
            view.bindings().map(|(key, archive)| (*archive, key)).collect();
        let mut losers = BTreeSet::new();
        for (key, archives) in view.bound_twice() {
            for archive in archives {
                if let std::collections::btree_map::Entry::Vacant(free) = names.entry(*archive) {
                    free.insert(key);
                    losers.insert(*archive);
                }
            }
        }
        Self {
            in_force: view.all_releases().map(|(_, release)| release.archive).collect(),
            names,
            losers,
        }
    }

    /// The name of an input that `package` should not have been built against.
    fn displaced(&self, view: &View, package: &PackageKey, input: &Digest) -> Option<&'a BindingKey> {
        if self.in_force.contains(input) {
            return None;
        }
        let name = *self.names.get(input)?;
        let gone = view.is_voided(input)
            || self.losers.contains(input)
            || was_outranked_unseen(view, package, name).unwrap_or(false);
        gone.then_some(name)
    }
}

/// Whether what is in force of an input's name was published in an earlier reign, by another node, than the package
/// that was built without it: a master learns all that was published before it leads, unless a cut hid it.
fn was_outranked_unseen(view: &View, package: &PackageKey, input: &BindingKey) -> Option<bool> {
    let key = PackageKey {
        name: input.name.clone(),
        ..package.clone()
    };
    view.package(&key)?.release.as_ref()?;
    let (built, newer) = (
        view.package_rank(package)?.tail(),
        view.package_rank(&key)?.tail(),
    );
    Some(newer.author != built.author && newer.reign.term < built.reign.term)
}

fn overtaken(view: &View) -> Vec<Sighting> {
    let mut found: BTreeMap<(JobId, PackageVersion), Sighting> = BTreeMap::new();
    for (key, overtaken) in view.overtaken() {
        let release = &overtaken.release;
        let sighting = found
            .entry((release.job, release.version.clone()))
            .or_insert_with(|| {
                let cause = Cause::Overtaken {
                    version: release.version.clone(),
                    publisher: overtaken.publisher,
                    remover: overtaken.remover,
                };
                Sighting {
                    job: None,
                    ..Sighting::of(view, (key, release), cause, marks_of(release))
                }
            });
        sighting.packages.insert(key.name.clone());
    }
    found.into_values().collect()
}
