//! The horizon: jobs of days before it are forgotten (FORMATS, "Exchange and retention").
//!
//! It travels as the setting [`HORIZON`], whose version is the day itself: the greatest version is in force, so the day
//! is max-merged like every other fact. It counts by the same rule as any value (said by a master, voided by no verdict);
//! whose word counts follows from admissions and verdicts alone, which no horizon drops. Every value of a job names the
//! job's day, and values of other days are ranked apart (see `state`), so what is kept stays a function of what was seen,
//! whether the horizon came before a job or after it. Only a horizon that a verdict voids again leaves a trace: what fell
//! by it comes back from whoever still holds it.

use serde::{Deserialize, Serialize};

use super::{
    constitution::Constitution,
    kinds::{JobState, JobV1, Kind, SettingV1, Value},
    order::Fact,
    record::{Entry, Record},
    state::Ledger,
    view::View,
};
use crate::{
    codec::CodecError,
    ids::{JobId, NodeId},
    names::{Architecture, PackageName, PackageVersion, RepositoryName},
};

/// The reserved name of the setting that carries the horizon.
pub const HORIZON: &str = "ledger.horizon";

/// The entry that raises the horizon to `day` (days since the founding).
pub fn raise(day: u32) -> Result<Entry, CodecError> {
    let value = SettingV1 {
        version: u64::from(day),
        value: day.to_string(),
    };
    value.entry(&HORIZON.to_owned())
}

/// A job that fell behind the horizon of others before it had ended: they never knew it, or they would have waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overtaken {
    /// Which job.
    pub job: JobId,
    /// Where it would have been published.
    pub repository: RepositoryName,
    /// What it would have built.
    pub base: PackageName,
    /// In which version, as its probe saw it.
    pub version: PackageVersion,
    /// For which architecture.
    pub arch: Architecture,
    /// When it was asked for, milliseconds since 1970; shown only.
    pub submitted_ms: u64,
    /// Where it was asked for.
    pub submitter: NodeId,
}

impl Overtaken {
    pub(super) fn of(job: JobId, value: &JobV1) -> Self {
        Self {
            job,
            repository: value.repository.clone(),
            base: value.base.clone(),
            version: value.version.clone(),
            arch: value.arch.clone(),
            submitted_ms: value.submitted_ms,
            submitter: value.submitter,
        }
    }
}

/// The horizon that the held records say.
pub(super) fn of(ledger: &Ledger) -> u32 {
    let mut said = ledger.said_horizons().peekable();
    if said.peek().is_none() {
        return 0;
    }
    let constitution = Constitution::of(ledger);
    said.filter(|(author, candidate)| constitution.counts(author, &candidate.rank.tail().position))
        .filter_map(|(_, candidate)| day_of(&candidate.fact))
        .max()
        .unwrap_or(0)
}

/// Whether a record may move the horizon: it names one, or tells whose word counts.
pub(super) fn is_moved_by(record: &Record) -> bool {
    let names = |entry: &Entry| entry.kind == Kind::Setting as u16 && day_of(&Fact::read(entry)).is_some();
    Ledger::is_urgent(record) || record.body().entries.iter().any(names)
}

/// The horizon that a fact names. A day beyond all days that a job can have names the last of them.
fn day_of(fact: &Fact) -> Option<u32> {
    match fact {
        Fact::Setting(name, value) if name == HORIZON => {
            Some(u32::try_from(value.version).unwrap_or(u32::MAX))
        }
        _ => None,
    }
}

/// Whether a fact lies before a horizon.
pub(super) fn is_before(fact: &Fact, horizon: u32) -> bool {
    matches!(fact, Fact::Job(_, job) if job.day < horizon)
}

impl View {
    /// The greatest day up to `wished` to which the horizon may rise: no open job falls, and none in part (two sides of
    /// a cut may have accepted one job on two days, and its end must not fall before its beginning). `None` where that
    /// is no rise.
    pub fn horizon_up_to(&self, wished: u32) -> Option<u32> {
        let open = self
            .jobs()
            .filter(|(_, job)| job.state == JobState::Queued)
            .map(|(id, job)| self.job_days(id).map_or(job.day, |(first, _)| first));
        let mut day = open.fold(wished, u32::min);
        while let Some(first) = self
            .split_days()
            .filter(|(first, last)| *first < day && day <= *last)
            .map(|(first, _)| first)
            .min()
        {
            day = first;
        }
        (day > self.horizon()).then_some(day)
    }
}
