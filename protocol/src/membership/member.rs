//! What the ledger tells the membership about a member, and how a record is named among its author's.

use std::sync::Arc;

use crate::{ids::Incarnation, membership::NodeRecord, signed::Signed};

/// What the ledger says of a member, as far as liveness is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberHint {
    /// It holds the role `master`: pairs of these ping each other often.
    pub master_capable: bool,
}

/// The place of a record among its author's: the greater one is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// In which of the author's lives.
    pub incarnation: Incarnation,
    /// Which record of that life.
    pub sequence: u64,
}

impl NodeRecord {
    /// Its place among its author's records.
    pub const fn version(&self) -> Version {
        Version {
            incarnation: self.incarnation,
            sequence: self.sequence,
        }
    }
}

/// A record whose author's signature was verified, with the bytes as they came, to be passed on unchanged.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What was said.
    pub record: Arc<NodeRecord>,
    /// The bytes and the signature.
    pub signed: Arc<Signed>,
}
