//! What a node must not forget: the highest term that it granted, the highest that it claimed, the highest document.
//!
//! These bytes are on disk, synced, before any output that follows them in the list is acted upon. A node that forgot
//! them could grant one term twice, or obey a reign that it knew to be over.

use serde::{Deserialize, Serialize};

use super::document::{DOCUMENT_LIMIT, Document};
use crate::{
    codec::{self, CodecError},
    ids::{NodeId, Term},
};

/// Greatest length of an encoded ballot, in bytes: a document and change.
pub const BALLOT_LIMIT: usize = DOCUMENT_LIMIT + 256;

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
}
