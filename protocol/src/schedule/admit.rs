//! Whether a submission can be built, and in which order: before a job is recorded, what it needs must have a way.

use std::collections::BTreeMap;

use crate::{
    names::{EnvironmentName, PackageName, RepositoryName},
    schedule::{
        catalog::Catalog,
        depends::{Dependency, DependencyError},
        graph::{Candidate, Graph},
    },
};

/// Where a submission is to be built and published, for one architecture.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Where its packages go.
    pub repository: &'a RepositoryName,
    /// What its build roots are made of.
    pub environment: &'a EnvironmentName,
    /// What is provided there.
    pub catalog: &'a Catalog,
}

/// Why a submission is refused; nothing was accepted. One line for the person who submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// Nobody makes what a source needs.
    #[error(
        "{base} needs '{dependency}', which neither repository '{repository}' nor the build environment \
         {environment} nor this submission provides: build {} first or in the same command", .dependency.name()
    )]
    Missing {
        /// Who needs it.
        base: PackageName,
        /// What.
        dependency: Dependency,
        /// Where it was looked for.
        repository: RepositoryName,
        /// Where else.
        environment: EnvironmentName,
    },
    /// Each waits for the next, and the last is the first.
    #[error(
        "a dependency cycle: {}: break it by building one of them without the other (leave the dependency out of \
         its PKGBUILD once, then build both again)", shown(.path)
    )]
    Cycle {
        /// Bases; the last is the first.
        path: Vec<PackageName>,
    },
    /// A PKGBUILD names something that is no dependency.
    #[error("{base}: {error} (correct its depends, makedepends or checkdepends)")]
    Unreadable {
        /// Whose.
        base: PackageName,
        /// What is wrong with it.
        error: DependencyError,
    },
}

/// The bases of a circle as people read it: `a -> b -> a`.
pub(crate) fn shown(bases: &[PackageName]) -> String {
    let bases: Vec<&str> = bases.iter().map(PackageName::as_str).collect();
    bases.join(" -> ")
}

/// Judges a submission for one architecture, beside the open jobs of the same (repository, architecture) and those of
/// architecture `any`. Returns the bases of `batch` in levels: each level needs only what is before it (`plan`).
pub fn admit(
    place: &Place<'_>,
    batch: &[Candidate<'_>],
    open: &[Candidate<'_>],
) -> Result<Vec<Vec<PackageName>>, Vec<AdmitError>> {
    let candidates: Vec<Candidate<'_>> = batch.iter().chain(open).copied().collect();
    let graph = Graph::of(place.catalog, &candidates);
    let errors = refusals(place, &candidates, batch.len(), &graph);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut levels: BTreeMap<usize, Vec<PackageName>> = BTreeMap::new();
    for (candidate, level) in batch.iter().zip(graph.levels()) {
        levels.entry(level).or_default().push(candidate.base().clone());
    }
    Ok(levels
        .into_values()
        .map(|mut level| {
            level.sort();
            level.dedup();
            level
        })
        .collect())
}

fn refusals(place: &Place<'_>, candidates: &[Candidate<'_>], batch: usize, graph: &Graph) -> Vec<AdmitError> {
    let mut errors = Vec::new();
    for (candidate, waits) in candidates.iter().zip(&graph.waits).take(batch) {
        let base = candidate.base();
        errors.extend(waits.unreadable.iter().map(|error| AdmitError::Unreadable {
            base: base.clone(),
            error: error.clone(),
        }));
        errors.extend(waits.missing.iter().map(|dependency| AdmitError::Missing {
            base: base.clone(),
            dependency: dependency.clone(),
            repository: place.repository.clone(),
            environment: place.environment.clone(),
        }));
    }
    let new = graph
        .cycles
        .iter()
        .filter(|cycle| cycle.iter().any(|number| *number < batch));
    errors.extend(new.map(|cycle| {
        AdmitError::Cycle {
            path: cycle
                .iter()
                .map(|number| candidates[*number].base().clone())
                .collect(),
        }
    }));
    errors
}
