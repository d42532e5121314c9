//! What a caller that waits has heard so far: given back to another life of the node, it is told the rest and nothing
//! twice.

use pacmesh_protocol::ids::{JobId, NodeId, Term};
use serde::{Deserialize, Serialize};

/// An attempt, as the master of a reign counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptMark {
    /// Who builds.
    pub worker: NodeId,
    /// Its number.
    pub number: u32,
    /// In whose count: the term of the reign.
    pub term: Term,
}

impl AttemptMark {
    /// Whether `later` is this attempt. Each master counts anew: on the same worker, a number that is not greater under
    /// another reign means the attempt that was adopted.
    pub fn is(&self, later: &Self) -> bool {
        let same_count = self.term == later.term;
        let same_number = self.number == later.number;
        self.worker == later.worker && (same_number || !same_count && later.number < self.number)
    }
}

/// How much of an attempt's log was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// Of which job.
    pub job: JobId,
    /// Of which attempt.
    pub attempt: AttemptMark,
    /// So many bytes.
    pub bytes: u64,
    /// And that was all.
    pub whole: bool,
}

/// A job that has not ended for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenJob {
    /// Which.
    pub job: JobId,
    /// Its base, for people.
    pub base: String,
    /// Its state at this generation or below is of an earlier request, and on its way out.
    pub outdated: Option<u64>,
    /// It was not published already when it was asked for.
    pub queued: bool,
    /// The attempt that was told last.
    pub told: Option<AttemptMark>,
}

/// What a caller has heard of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BuildMark {
    /// What is still to be told.
    pub open: Vec<OpenJob>,
    /// How many jobs were told as published.
    pub published: usize,
    /// How many as failed or cancelled.
    pub failed: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(worker: u8, number: u32, term: Term) -> AttemptMark {
        AttemptMark {
            worker: NodeId([worker; 32]),
            number,
            term,
        }
    }

    #[test]
    fn an_adopted_attempt_is_the_same_and_another_one_is_not() {
        let seen = mark(1, 3, 7);
        assert!(seen.is(&mark(1, 3, 7)));
        assert!(seen.is(&mark(1, 1, 8)), "the next master counts anew");
        assert!(seen.is(&mark(1, 3, 8)));
        assert!(!seen.is(&mark(1, 4, 7)));
        assert!(!seen.is(&mark(1, 2, 7)), "one master does not count backwards");
        assert!(!seen.is(&mark(1, 4, 8)));
        assert!(!seen.is(&mark(2, 1, 8)));
    }
}
