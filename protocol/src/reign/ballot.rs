//! What a node must not forget: the highest term that it granted, the highest that it claimed, the highest document.
//!
//! These bytes are on disk, synced, before any output that follows them in the list is acted upon. A node that forgot
//! them could grant one term twice, or obey a reign that it knew to be over.

use serde::{Deserialize, Serialize};

use super::{
    document::{DOCUMENT_LIMIT, Document},
    judge::TERM_LEAP,
};
use crate::{
    codec::{self, CodecError},
    ids::{NodeId, Term},
};

/// Greatest length of an encoded ballot, in bytes: a document and change.
pub const BALLOT_LIMIT: usize = DOCUMENT_LIMIT + 256;

/// How many terms may have begun since a backup was made: ten elections a day for a year, and well below the leap that
/// others refuse (2^16).
const FORGOTTEN: Term = 4096;
const _: () = assert!(FORGOTTEN < TERM_LEAP);

/// The durable part of the reign.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptBallot {
    /// The highest term granted; 0 for none.
    pub granted: Term,
    /// To whom.
    pub granted_to: Option<NodeId>,
    /// The highest term that this node claimed itself; 0 for none.
    pub claimed: Term,
    /// The highest reign whose document was verified.
    pub highest: Option<Document>,
}

impl KeptBallot {
    /// The bytes to sync.
    ///
    /// Fails only for a document beyond [`DOCUMENT_LIMIT`], which no verified one is.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self, BALLOT_LIMIT)
    }

    /// The ballot of a node that comes back from a backup: it cannot know what it granted since, so every term that it
    /// may have granted counts as granted.
    #[must_use]
    pub fn restored(self) -> Self {
        let known = self.granted.max(self.claimed);
        Self {
            granted: known.saturating_add(FORGOTTEN),
            granted_to: None,
            ..self
        }
    }

    /// Reads what was synced.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, BALLOT_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ballot_comes_back_as_it_was_kept() {
        let kept = KeptBallot {
            granted: 7,
            granted_to: Some(NodeId([3; 32])),
            claimed: 5,
            highest: None,
        };
        assert_eq!(KeptBallot::decode(&kept.encode().unwrap()).unwrap(), kept);
        assert!(KeptBallot::decode(&[0xff; 9]).is_err());
    }

    #[test]
    fn inv1_a_restored_ballot_grants_nothing_that_its_forgotten_life_may_have_granted() {
        let kept = KeptBallot {
            granted: 7,
            granted_to: Some(NodeId([3; 32])),
            claimed: 9,
            highest: None,
        };
        let restored = kept.restored();
        assert_eq!((restored.granted, restored.granted_to), (9 + FORGOTTEN, None));
        assert_eq!(restored.claimed, 9);
    }
}
