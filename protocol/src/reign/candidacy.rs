//! One claim of this node, until it is granted by more than half of those asked or given up.

use std::collections::BTreeMap;

use super::{
    document::{Claim, Document},
    identity::Identity,
    proof::{VerifiedReign, open_grant},
};
use crate::{
    ids::{Digest, NodeId},
    ledger::record::ReignId,
    machine::Instant,
    signed::Signed,
};

#[derive(Debug)]
struct Granted {
    grant: Signed,
    ledger: Digest,
}

#[derive(Debug)]
pub(super) struct Candidacy {
    claim: Signed,
    digest: Digest,
    reign: ReignId,
    asked: Vec<NodeId>,
    granted: BTreeMap<NodeId, Granted>,
    /// Without a majority by then, another claim is made.
    pub(super) retry_at: Instant,
}

impl Candidacy {
    /// A claim with the claimant's own grant, which was persisted with the term.
    pub(super) fn new(claim: Signed, body: Claim, own: (NodeId, Signed), retry_at: Instant) -> Self {
        let (node, grant) = own;
        Self {
            digest: Digest::of(&claim.body),
            claim,
            reign: body.reign(),
            asked: body.asked,
            granted: BTreeMap::from([(
                node,
                Granted {
                    grant,
                    ledger: body.ledger,
                },
            )]),
            retry_at,
        }
    }

    pub(super) const fn reign(&self) -> ReignId {
        self.reign
    }

    pub(super) const fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) const fn claim(&self) -> &Signed {
        &self.claim
    }

    pub(super) fn asked(&self) -> &[NodeId] {
        &self.asked
    }

    /// Takes a grant if it is one by `from` for this claim.
    pub(super) fn accept(&mut self, identity: &Identity, from: NodeId, grant: Signed, ledger: Digest) {
        let opened = open_grant(&grant, &identity.mesh, &*identity.verifier);
        let fits = opened.is_ok_and(|opened| opened.granter == from && opened.claim == self.digest);
        if fits && self.asked.binary_search(&from).is_ok() {
            self.granted.entry(from).or_insert(Granted { grant, ledger });
        }
    }

    pub(super) fn has_majority(&self) -> bool {
        self.granted.len() * 2 > self.asked.len()
    }

    /// Whether one of those asked was lost before it answered: a new claim leaves it out.
    pub(super) fn waits_for_lost(&self, alive: impl Fn(&NodeId) -> bool) -> bool {
        self.asked
            .iter()
            .any(|node| !self.granted.contains_key(node) && !alive(node))
    }

    /// Granters whose ledger was not `own` when they granted.
    pub(super) fn to_merge(&self, own: Digest, me: NodeId) -> impl Iterator<Item = NodeId> {
        self.granted
            .iter()
            .filter(move |(node, granted)| **node != me && granted.ledger != own)
            .map(|(node, _)| *node)
    }

    pub(super) fn document(&self) -> Document {
        Document {
            claim: self.claim.clone(),
            grants: self
                .granted
                .values()
                .map(|granted| granted.grant.clone())
                .collect(),
        }
    }

    pub(super) fn verified(&self) -> VerifiedReign {
        VerifiedReign {
            reign: self.reign,
            grants: self.granted.len(),
            asked: self.asked.clone(),
        }
    }
}
