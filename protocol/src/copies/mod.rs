//! Who holds a copy of what, and what is to be copied where (DESIGN: "what has fewer is listed in `status` and repaired
//! before new work").
//!
//! A [`Census`] is the memory of the leading master for one reign: it knows the blobs that records name, learns from
//! each replica which of them it holds, counts, and plans errands, few at a time, so that ten thousand blobs that lost
//! a copy at once are no storm.

mod census;
mod errand;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::{
    ids::{Digest, NodeId},
    ledger::named::Need,
};

pub use self::census::{Census, Question};

/// Most errands at once; each moves up to [`BLOBS`].
pub const ERRANDS: usize = 8;
/// Most errands at once towards one replica: what is built and published meanwhile needs it, too.
pub const PER_REPLICA: usize = 2;
/// Most blobs of one errand: few, so that progress shows and an errand that fails costs little.
pub const BLOBS: usize = 16;

/// A replica as the master sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Free disk, in MiB; those with more are asked first.
    pub free_mib: u64,
    /// It is about to go: what only such ones hold is copied first.
    pub leaves: bool,
}

/// Something to be copied: `replica` shall keep `blobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Who keeps them.
    pub replica: NodeId,
    /// How much the most needed of them is needed.
    pub need: Need,
    /// At most [`BLOBS`].
    pub blobs: Vec<Digest>,
}

/// How the copies stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many blobs have fewer copies than wanted.
    pub short: usize,
    /// Of these, how many are on their way.
    pub coming: usize,
    /// Of these, how many no replica in reach holds.
    pub nowhere: BTreeSet<Digest>,
}
