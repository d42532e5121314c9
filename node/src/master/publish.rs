//! Ends of jobs as records: a publication with its bindings and packages, a failure, a cancellation.

use pacmesh_protocol::{
    codec::CodecError,
    ids::{JobId, NodeId},
    ledger::{
        kinds::{BindingKey, BindingV1, JobEnd, JobState, JobV1, PackageKey, PackageV1, ReleaseV1, Value},
        record::Entry,
        view::View,
    },
    names::Architecture,
    work::{FailureClass, Report},
};

use super::verify::{Verified, VerifiedPackage};
use crate::settings::Settings;

/// Longest error text that is recorded, in characters.
const ERROR_LENGTH: usize = 500;

/// Why a verified attempt is not published after all.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// Another archive has the name, for ever.
    #[error("{name} is bound to other bytes: raise pkgrel, and build again")]
    Bound {
        /// Package, version, architecture.
        name: String,
    },
    /// It does not fit into a record.
    #[error("its publication is too long to be recorded")]
    Codec(#[from] CodecError),
}

/// The publication of a job: its success, its bindings and all its packages, in one record.
pub(super) fn publication(
    view: &View,
    id: JobId,
    job: &JobV1,
    worker: NodeId,
    attempts: u32,
    report: &Report,
    verified: &Verified,
) -> Result<Vec<Entry>, PublishError> {
    let mut ended = job.clone();
    ended.state = JobState::Published;
    ended.end = Some(end_of(worker, attempts, report));
    let mut entries = vec![ended.entry(&id)?];
    for package in &verified.packages {
        if let Some(package) = with_bound_bytes(view, package)? {
            entries.extend(release(view, id, job, worker, &package)?);
        }
    }
    Ok(entries)
}

/// A package enters: its name is bound, and it stands in every database that it is for.
pub(super) fn release(
    view: &View,
    id: JobId,
    job: &JobV1,
    worker: NodeId,
    package: &VerifiedPackage,
) -> Result<Vec<Entry>, CodecError> {
    let file = &package.built.file;
    let binding = BindingKey {
        name: file.name().clone(),
        version: file.version().clone(),
        arch: file.arch().clone(),
    };
    let bound = BindingV1 {
        archive: package.built.archive,
    };
    let mut entries = vec![bound.entry(&binding)?];
    let places: Vec<Architecture> = if file.arch().is_any() {
        Settings(view).arches(&job.repository)
    } else {
        vec![file.arch().clone()]
    };
    for arch in places {
        let key = PackageKey {
            repository: job.repository.clone(),
            arch,
            name: file.name().clone(),
        };
        entries.push(package_value(view, &key, id, job, worker, package).entry(&key)?);
    }
    Ok(entries)
}

/// A name that is free, or bound to these very bytes, is taken as it is; other bytes under a bound name are refused.
fn with_bound_bytes(view: &View, package: &VerifiedPackage) -> Result<Option<VerifiedPackage>, PublishError> {
    let file = &package.built.file;
    match view.binding(file.name(), file.version(), file.arch()) {
        Some(archive) if archive != package.built.archive => {
            // The `any` half of a mixed base: the later job drops its own bytes, the bound ones stay in force.
            if file.arch().is_any() {
                return Ok(None);
            }
            Err(PublishError::Bound {
                name: file.to_string(),
            })
        }
        _ => Ok(Some(package.clone())),
    }
}

fn package_value(
    view: &View,
    key: &PackageKey,
    id: JobId,
    job: &JobV1,
    worker: NodeId,
    package: &VerifiedPackage,
) -> PackageV1 {
    let built = &package.built;
    PackageV1 {
        generation: view.publication_generation(key),
        release: Some(ReleaseV1 {
            version: built.file.version().clone(),
            base: job.base.clone(),
            file: built.file.clone(),
            size: built.size,
            sha256: built.sha256,
            archive: built.archive,
            signature: built.signature,
            signer: package.signer,
            meta: package.meta,
            job: id,
            worker,
            built_at: package.built_at,
        }),
    }
}

fn end_of(worker: NodeId, attempts: u32, report: &Report) -> JobEnd {
    JobEnd {
        worker: Some(worker),
        attempts,
        version: report.version.clone(),
        log: report.log,
        inputs: report.inputs.clone(),
        started_ms: Some(report.started_ms),
    }
}

/// The failure of a job.
pub(super) fn failure(
    id: JobId,
    job: &JobV1,
    class: FailureClass,
    error: &str,
    attempts: u32,
    report: Option<&(NodeId, Box<Report>)>,
) -> Result<Vec<Entry>, CodecError> {
    let mut ended = job.clone();
    ended.state = JobState::Failed {
        class,
        error: error.chars().take(ERROR_LENGTH).collect(),
    };
    ended.end = report.map(|(worker, report)| end_of(*worker, attempts, report));
    Ok(vec![ended.entry(&id)?])
}

/// The cancellation of a job.
pub(super) fn cancellation(id: JobId, job: &JobV1) -> Result<Vec<Entry>, CodecError> {
    let mut ended = job.clone();
    ended.state = JobState::Cancelled;
    Ok(vec![ended.entry(&id)?])
}

/// The tombstones of packages, above all that is known of them.
pub(super) fn removal(view: &View, keys: &[PackageKey]) -> Result<Vec<Entry>, CodecError> {
    keys.iter()
        .map(|key| {
            PackageV1 {
                generation: view.publication_generation(key) + 1,
                release: None,
            }
            .entry(key)
        })
        .collect()
}
