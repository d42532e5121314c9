//! What entries mean, and which of two values of one key is greater (FORMATS, "Kinds, keys and orders").
//!
//! Every order ends in the tail, so it is total; none uses a clock.

use std::cmp::Reverse;

use crate::{
    ids::{Fingerprint, Incarnation, InvitationId, JobId, NodeId},
    ledger::{
        door::{CompatKey, CompatV1, SealedV1},
        kinds::{
            AdmissionV1, BindingKey, BindingV1, GenerationKey, GenerationV1, InvitationV1, JobState, JobV1,
            Kind, MemberV1, PackageKey, PackageV1, Ruling, SettingV1, SignerV1, SourceKey, SourceV1, Value,
            VerdictV1,
        },
        record::{Entry, Position, Tail},
    },
    names::PackageVersion,
    roles::Roles,
};

/// An entry as this binary understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Kind 1.
    Admission(NodeId, AdmissionV1),
    /// Kind 2.
    Member(NodeId, MemberV1),
    /// Kind 3.
    Verdict(NodeId, VerdictV1),
    /// Kind 4.
    Invitation(InvitationId, InvitationV1),
    /// Kind 5.
    Signer(Fingerprint, SignerV1),
    /// Kind 6.
    Setting(String, SettingV1),
    /// Kind 7.
    Source(SourceKey, SourceV1),
    /// Kind 8.
    Job(JobId, Box<JobV1>),
    /// Kind 9.
    Package(PackageKey, Box<PackageV1>),
    /// Kind 10.
    Binding(BindingKey, BindingV1),
    /// Kind 11.
    Generation(GenerationKey, GenerationV1),
    /// Kind 13.
    Sealed(String, SealedV1),
    /// Kind 15.
    Compat(CompatKey, CompatV1),
    /// A kind, a version or a form that this binary does not read; kept and passed on.
    Unread,
}

impl Fact {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Self {
        fn of<V: Value>(entry: &Entry, fact: impl FnOnce(V::Key, V) -> Fact) -> Fact {
            V::read(entry).map_or(Fact::Unread, |(key, value)| fact(key, value))
        }
        if entry.version != 1 {
            return Self::Unread;
        }
        match entry.kind {
            k if k == Kind::Admission as u16 => of(entry, Self::Admission),
            k if k == Kind::Member as u16 => of(entry, Self::Member),
            k if k == Kind::Verdict as u16 => of(entry, Self::Verdict),
            k if k == Kind::Invitation as u16 => of(entry, Self::Invitation),
            k if k == Kind::Signer as u16 => of(entry, Self::Signer),
            k if k == Kind::Setting as u16 => of(entry, Self::Setting),
            k if k == Kind::Source as u16 => of(entry, Self::Source),
            k if k == Kind::Job as u16 => of(entry, |key, value| Self::Job(key, Box::new(value))),
            k if k == Kind::Package as u16 => of(entry, |key, value| Self::Package(key, Box::new(value))),
            k if k == Kind::Binding as u16 => of(entry, Self::Binding),
            k if k == Kind::Generation as u16 => of(entry, Self::Generation),
            k if k == Kind::Sealed as u16 => of(entry, Self::Sealed),
            k if k == Kind::Compat as u16 => of(entry, Self::Compat),
            _ => Self::Unread,
        }
    }

    /// How many of the greatest values of each author are kept; part of the format.
    ///
    /// Verdicts are all kept: each names a cut that decides which other records are kept, and if one could fall, what
    /// is kept would depend on the order in which records came.
    pub(super) const fn kept(&self) -> usize {
        match self {
            Self::Package(..) => 3,
            Self::Verdict(..) | Self::Unread => usize::MAX,
            _ => 1,
        }
    }

    /// The place of this value in the order of its key.
    pub fn rank(&self, tail: Tail) -> Rank {
        Rank {
            merit: self.merit(&tail.position),
            tail,
        }
    }

    fn merit(&self, position: &Position) -> Merit {
        match self {
            Self::Admission(..) => Merit::First(Reverse((position.incarnation, position.sequence))),
            Self::Member(_, value) => Merit::Member(
                value.edit,
                value.left,
                Reverse(value.roles.count()),
                Reverse(value.roles),
            ),
            Self::Verdict(_, value) => verdict(value),
            Self::Invitation(_, value) => Merit::Flag(0, value.closed),
            Self::Signer(_, value) => Merit::Flag(value.generation, value.distrusted),
            Self::Setting(name, value) => Merit::Setting(value.version, strictness(name, &value.value)),
            Self::Source(_, value) => Merit::Flag(value.version, value.removed),
            Self::Job(_, value) => job(value),
            Self::Package(_, value) => Merit::Package(
                value.generation,
                value.release.is_none(),
                value.release.as_ref().map(|release| release.version.clone()),
            ),
            Self::Generation(_, value) => Merit::Flag(value.number, false),
            Self::Sealed(_, value) => Merit::Flag(value.version, value.secret.is_none()),
            Self::Compat(_, value) => Merit::Flag(value.version, value.document.is_none()),
            Self::Binding(..) => Merit::Flag(0, false),
            Self::Unread => Merit::Unread,
        }
    }
}

/// Revoked with the lower cut; else the generation, suspended over reinstated, the lower cut.
fn verdict(value: &VerdictV1) -> Merit {
    let cut = Reverse(value.cut);
    match &value.ruling {
        Ruling::Revoked { .. } => Merit::Verdict(true, 0, true, cut),
        Ruling::Suspended { generation } => Merit::Verdict(false, *generation, true, cut),
        Ruling::Reinstated { generation, .. } => Merit::Verdict(false, *generation, false, cut),
    }
}

/// Published; else the generation, cancelled over failed over queued.
fn job(value: &JobV1) -> Merit {
    match value.state {
        JobState::Published => Merit::Job(true, 0, 0),
        JobState::Cancelled => Merit::Job(false, value.generation, 2),
        JobState::Failed { .. } => Merit::Job(false, value.generation, 1),
        JobState::Queued => Merit::Job(false, value.generation, 0),
    }
}

/// Of two edits of a setting of trust at one version, the stricter counts.
fn strictness(name: &str, value: &str) -> u8 {
    match (name, value) {
        ("sign.verify", "copy") => 0,
        ("sign.verify", "present") => 1,
        ("sign.verify", _) => 2,
        _ => 0,
    }
}

/// What makes a value greater, before the tail decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Merit {
    /// Below all that can be read, so that a later form of a value never pushes out one that this binary understands.
    Unread,
    First(Reverse<(Incarnation, u64)>),
    Member(u64, bool, Reverse<usize>, Reverse<Roles>),
    Verdict(bool, u64, bool, Reverse<Option<Position>>),
    Flag(u64, bool),
    Setting(u64, u8),
    Job(bool, u64, u8),
    Package(u64, bool, Option<PackageVersion>),
}

/// The place of a value in the total order of its key: the greatest is in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    merit: Merit,
    tail: Tail,
}

impl Rank {
    /// The record that said it.
    pub const fn tail(&self) -> &Tail {
        &self.tail
    }
}
