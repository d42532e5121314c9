//! The proof of a reign, judged offline: a claim by its node, and grants by more than half of those it asked.

use std::collections::BTreeSet;

use super::document::{CLAIM_LIMIT, Claim, Document, Grant};
use crate::{
    codec::CodecError,
    ids::{Digest, MeshId, NodeId},
    ledger::record::ReignId,
    membership::record::MEMBER_LIMIT,
    signed::{Purpose, Signed, SignedError, Verify},
};

/// A reign whose document was judged right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReign {
    /// Which.
    pub reign: ReignId,
    /// How many granted it, its own node among them.
    pub grants: usize,
    /// Whom it asked, sorted.
    pub asked: Vec<NodeId>,
}

/// Why a document proves nothing; whoever judged it is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A claim or grant cannot be read, or is too long.
    #[error("a claim or grant that cannot be read")]
    Codec(#[from] CodecError),
    /// A signature is not that of the node that it should be.
    #[error("a signature in it is not that of {node}")]
    Signature {
        /// Who was said to have signed.
        node: NodeId,
    },
    /// Those asked are unsorted, without the claimant, or more than 256.
    #[error("the claim of {node} asks an impossible set of members")]
    Asked {
        /// Who claimed.
        node: NodeId,
    },
    /// A grant is for something else, by somebody who was not asked, or there twice.
    #[error("a grant of {node} does not belong to the claim")]
    Grant {
        /// Who granted.
        node: NodeId,
    },
    /// Somebody in it may not lead.
    #[error("{node} is not a member that may lead")]
    NotEntitled {
        /// Who.
        node: NodeId,
    },
    /// Too few grants, or not the claimant's own.
    #[error("{grants} grants of {asked} asked are no majority with the claimant's own")]
    NoMajority {
        /// How many granted.
        grants: usize,
        /// How many were asked.
        asked: usize,
    },
}

/// Judges a document. `entitled`: whether a node has the role master in the judge's view; asked of the claimant and of
/// each granter (an unknown member among those asked only raises the number of grants that are needed).
pub fn verify_document(
    document: &Document,
    mesh: &MeshId,
    verifier: &dyn Verify,
    entitled: impl Fn(&NodeId) -> bool,
) -> Result<VerifiedReign, DocumentError> {
    let claim = open_claim(&document.claim, mesh, verifier)?;
    if document.grants.len() > claim.asked.len() {
        return Err(DocumentError::Asked { node: claim.node });
    }
    let digest = Digest::of(&document.claim.body);
    let mut granters = BTreeSet::new();
    for signed in &document.grants {
        let grant = open_grant(signed, mesh, verifier)?;
        let node = grant.granter;
        if grant.claim != digest || claim.asked.binary_search(&node).is_err() || !granters.insert(node) {
            return Err(DocumentError::Grant { node });
        }
    }
    if let Some(node) = granters.iter().find(|node| !entitled(node)) {
        return Err(DocumentError::NotEntitled { node: *node });
    }
    if granters.len() * 2 <= claim.asked.len() || !granters.contains(&claim.node) {
        return Err(DocumentError::NoMajority {
            grants: granters.len(),
            asked: claim.asked.len(),
        });
    }
    Ok(VerifiedReign {
        reign: claim.reign(),
        grants: granters.len(),
        asked: claim.asked,
    })
}

/// Reads a claim, with the signature of its node and a possible set of asked.
pub fn open_claim(signed: &Signed, mesh: &MeshId, verifier: &dyn Verify) -> Result<Claim, DocumentError> {
    let claim: Claim = signed.peek(CLAIM_LIMIT)?;
    check(signed, Purpose::Claim, mesh, claim.node, verifier)?;
    let sorted = claim.asked.windows(2).all(|pair| pair[0] < pair[1]);
    if !sorted || claim.asked.len() > MEMBER_LIMIT || claim.asked.binary_search(&claim.node).is_err() {
        return Err(DocumentError::Asked { node: claim.node });
    }
    Ok(claim)
}

/// Reads a grant, with the signature of its granter.
pub fn open_grant(signed: &Signed, mesh: &MeshId, verifier: &dyn Verify) -> Result<Grant, DocumentError> {
    let grant: Grant = signed.peek(CLAIM_LIMIT)?;
    check(signed, Purpose::Grant, mesh, grant.granter, verifier)?;
    Ok(grant)
}

fn check(
    signed: &Signed,
    purpose: Purpose,
    mesh: &MeshId,
    node: NodeId,
    verifier: &dyn Verify,
) -> Result<(), DocumentError> {
    signed
        .check(purpose, mesh, node.as_bytes(), verifier)
        .map_err(|error| match error {
            SignedError::Signature => DocumentError::Signature { node },
            SignedError::Body(error) => DocumentError::Codec(error),
        })
}
