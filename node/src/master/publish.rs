//! Ends of jobs as records: a publication with its bindings and packages, a failure, a cancellation.

use std::collections::BTreeSet;

use pacmesh_protocol::{
    codec::CodecError,
    ids::{Digest, JobId, NodeId},
    ledger::{
        kinds::{BindingKey, BindingV1, JobEnd, JobState, JobV1, PackageKey, PackageV1, ReleaseV1, Value},
        record::{Entry, VALUE_LIMIT},
        view::View,
    },
    names::Architecture,
    work::{FailureClass, Report},
};

use super::verify::{Verified, VerifiedPackage};
use crate::settings::Settings;

/// What the length of a list may need more once it is not empty (bincode writes up to 250 as one byte).
const COUNT_BYTES: usize = 8;
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
    let mut entries = vec![fitting(id, ended)?];
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
    Ok(vec![fitting(id, ended)?])
}

/// The entry of an ended job. A build root may see more packages than a value has room for (32 bytes each): then those
/// with the least digests are named, so that two masters say the same.
fn fitting(id: JobId, mut job: JobV1) -> Result<Entry, CodecError> {
    let whole = job.entry(&id);
    let Some(end) = &mut job.end else { return whole };
    if !matches!(whole, Err(CodecError::TooLong { .. })) {
        return whole;
    }
    let inputs: BTreeSet<Digest> = end.inputs.drain(..).collect();
    let all = inputs.len();
    let room = VALUE_LIMIT.saturating_sub(job.entry(&id)?.value.len() + COUNT_BYTES);
    if let Some(end) = &mut job.end {
        end.inputs = inputs.into_iter().take(room / size_of::<Digest>()).collect();
        tracing::warn!(
            job = %id.short(), base = %job.base, all, named = end.inputs.len(),
            "the record names only a part of what was in the build root: a change of the rest is not seen to concern it"
        );
    }
    job.entry(&id)
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

#[cfg(test)]
mod tests {
    use pacmesh_protocol::{
        ledger::{
            kinds::{BuildOptions, Deliver, Origin},
            record::ReignId,
        },
        work::{Fence, Outcome, Stage},
    };

    use super::*;

    fn job() -> JobV1 {
        JobV1 {
            generation: 0,
            state: JobState::Queued,
            repository: "farm".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
            base: "foo".parse().unwrap(),
            version: "1-1".parse().unwrap(),
            tree: Digest([1; 32]),
            origin: Origin::Directory,
            options: BuildOptions::default(),
            nonce: None,
            makepkg_conf: Digest([2; 32]),
            snapshot: None,
            environment: "arch:clean".parse().unwrap(),
            epoch: 1,
            day: 0,
            submitter: NodeId([1; 32]),
            submitted_ms: 1,
            deliver: Deliver::Repository,
            end: None,
        }
    }

    fn digests(count: u32) -> Vec<Digest> {
        (0..count)
            .map(|number| Digest::of(&number.to_be_bytes()))
            .collect()
    }

    /// The end that is recorded of an attempt whose build root saw `inputs`.
    fn recorded(inputs: Vec<Digest>) -> JobEnd {
        let report = Report {
            job: JobId([1; 32]),
            generation: 0,
            fence: Fence {
                reign: ReignId {
                    term: 1,
                    node: NodeId([1; 32]),
                    incarnation: 1,
                },
                number: 1,
            },
            stage: Stage::Done,
            version: None,
            srcinfo: None,
            outcome: Outcome::Cancelled,
            log: Some(Digest([3; 32])),
            inputs,
            environment: "arch:clean".parse().unwrap(),
            started_ms: 1,
        };
        let verified = Verified {
            packages: Vec::new(),
            copies: crate::master::Copies::default(),
        };
        let worker = NodeId([2; 32]);
        let entries = publication(
            &View::default(),
            report.job,
            &job(),
            worker,
            1,
            &report,
            &verified,
        );
        let (_, published) = JobV1::read(&entries.unwrap()[0]).unwrap();
        let error = "x".repeat(ERROR_LENGTH);
        let report = (worker, Box::new(report));
        let class = FailureClass::Build;
        failure(report.1.job, &job(), class, &error, 1, Some(&report)).unwrap();
        published.end.unwrap()
    }

    #[test]
    fn inv4_a_build_root_with_more_packages_than_a_record_holds_ends_its_job_all_the_same() {
        let mut backwards = digests(600);
        backwards.reverse();
        let end = recorded(digests(600));
        assert_eq!(end, recorded(backwards));
        assert!((450..600).contains(&end.inputs.len()), "{}", end.inputs.len());
        assert_eq!(end.log, Some(Digest([3; 32])));
        let mut least = digests(600);
        least.sort();
        assert_eq!(end.inputs, least[..end.inputs.len()]);
    }

    #[test]
    fn inputs_that_fit_are_all_recorded_as_they_were_told() {
        assert_eq!(recorded(digests(300)).inputs, digests(300));
    }
}
