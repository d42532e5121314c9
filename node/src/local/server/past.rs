//! What is said of jobs behind the horizon: those whose package is still there, and those of this node that the others
//! never knew.

use pacmesh_protocol::{
    ids::JobId,
    ledger::{
        horizon::Overtaken,
        kinds::{PackageKey, ReleaseV1},
        view::View,
    },
};

use super::jobs::PREFIX;
use crate::{clock, local::views::JobView, rooms::Rooms, settings::Settings};

/// A package in force whose job was forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release<'a> {
    key: &'a PackageKey,
    release: &'a ReleaseV1,
}

impl<'a> Release<'a> {
    /// The one that a text means: a package, its base, or the beginning of its job's id.
    pub(super) fn find(view: &'a View, text: &str) -> Option<Self> {
        let is_meant = |key: &PackageKey, release: &ReleaseV1| {
            release.base.as_str() == text || key.name.as_str() == text || begins(&release.job, text)
        };
        view.all_releases()
            .filter(|(_, release)| view.job(&release.job).is_none())
            .find(|(key, release)| is_meant(key, release))
            .map(|(key, release)| Self { key, release })
    }

    /// To somebody who asks for its job.
    pub(super) fn without_job(&self) -> String {
        format!(
            "the job of {0} ({1}) is past the horizon: its log was forgotten, its packages stay; 'pacmesh why {0}' says more",
            self.release.base,
            self.release.job.short()
        )
    }

    /// Where it stands, in sentences.
    pub(super) fn story(&self, view: &View) -> String {
        let release = self.release;
        format!(
            "{} ({}) is published as {} in {}, built {}.\nIts job is past the horizon: after {} days jobs and their logs are forgotten, packages are not.\n'pacmesh build' its directory to make a new release.",
            release.base,
            release.job.short(),
            release.version,
            self.key.repository,
            clock::rfc3339(release.built_at.saturating_mul(1000)),
            Settings(view).horizon_days(),
        )
    }
}

/// What is said of an overtaken job of this node, if a text means one.
pub(super) fn overtaken(rooms: &Rooms, text: &str) -> Option<String> {
    let all = rooms.ledger.overtaken();
    all.iter()
        .rev()
        .find(|old| old.base.as_str() == text || begins(&old.job, text))
        .map(told)
}

/// The fate of an overtaken job.
pub(super) fn told(old: &Overtaken) -> String {
    format!(
        "{} ({}), asked for {}, is too old, build again: while this node was away the others went past its day",
        old.base,
        old.job.short(),
        clock::rfc3339(old.submitted_ms)
    )
}

/// An overtaken job in the list of jobs.
pub(super) fn shown(old: &Overtaken) -> JobView {
    JobView {
        id: old.job.to_string(),
        base: old.base.to_string(),
        version: old.version.to_string(),
        arch: old.arch.to_string(),
        repository: old.repository.to_string(),
        state: "failed".to_owned(),
        worker: None,
        attempts: 0,
        copies: 0,
        waiting_for: None,
        error: Some("too old, build again".to_owned()),
        submitted_at: Some(clock::rfc3339(old.submitted_ms)),
        started_at: None,
        finished_at: None,
    }
}

fn begins(job: &JobId, text: &str) -> bool {
    text.len() >= PREFIX && job.to_string().starts_with(&text.to_ascii_lowercase())
}
