//! Who speaks: a node's id, its life and its key, and the papers that it signs.

use std::sync::Arc;

use super::document::{CLAIM_LIMIT, Claim, Grant};
use crate::{
    codec::CodecError,
    ids::{Digest, Incarnation, MeshId, NodeId, Term},
    signed::{Purpose, Sign, Signed, Verify},
};

/// A node in one of its lives.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) mesh: MeshId,
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) key: Arc<dyn Sign>,
    pub(super) verifier: Arc<dyn Verify>,
}

impl Identity {
    pub(super) fn claim(&self, term: Term, asked: Vec<NodeId>, ledger: Digest) -> Result<Signed, CodecError> {
        let claim = Claim {
            term,
            node: self.node,
            incarnation: self.incarnation,
            asked,
            ledger,
        };
        Signed::seal(&claim, Purpose::Claim, &self.mesh, &*self.key, CLAIM_LIMIT)
    }

    pub(super) fn grant(&self, claim: Digest) -> Result<Signed, CodecError> {
        let grant = Grant {
            claim,
            granter: self.node,
            incarnation: self.incarnation,
        };
        Signed::seal(&grant, Purpose::Grant, &self.mesh, &*self.key, CLAIM_LIMIT)
    }
}
