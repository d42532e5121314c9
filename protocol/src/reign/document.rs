//! The papers of a reign: a claim, the grants, and both together (FORMATS, "Reign").

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Digest, Incarnation, NodeId, Term},
    ledger::record::ReignId,
    signed::Signed,
};

/// Greatest length of an encoded claim or grant, in bytes: 256 ids and change.
pub const CLAIM_LIMIT: usize = 16 << 10;
/// Greatest length of an encoded document: a claim and 256 grants.
pub const DOCUMENT_LIMIT: usize = 96 << 10;

/// A node asks to lead (`Purpose::Claim`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The reign that it would begin.
    pub term: Term,
    /// Who asks.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Whom it asks: sorted, with itself.
    pub asked: Vec<NodeId>,
    /// The root of its ledger's digest tree.
    pub ledger: Digest,
}

impl Claim {
    /// The reign that it would begin.
    pub const fn reign(&self) -> ReignId {
        ReignId {
            term: self.term,
            node: self.node,
            incarnation: self.incarnation,
        }
    }
}

/// A node grants a claim (`Purpose::Grant`); synced before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// BLAKE3 of the claim's signed body.
    pub claim: Digest,
    /// Who grants.
    pub granter: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
}

/// Claim and grants of more than half of those asked: proof that a reign began, for any member, offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// A [`Claim`], signed by its node.
    pub claim: Signed,
    /// [`Grant`]s, each signed by its granter; the claimant's own among them.
    pub grants: Vec<Signed>,
}

/// Why a claim was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalCause {
    /// This or a higher term was granted before.
    Granted,
    /// More than 2^16 above the highest verified term.
    TooHigh,
    /// A living master is known.
    MasterAlive,
    /// The asked node doubts itself (late, or woken from sleep).
    Doubt,
    /// The claimant is not a member that may lead.
    NotEntitled,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ballot {
    /// Yes; synced.
    Granted {
        /// A [`Grant`].
        grant: Signed,
        /// The root of the granter's ledger; where it differs the claimant merges before its first order.
        ledger: Digest,
    },
    /// No.
    Refused {
        /// Why.
        cause: RefusalCause,
        /// The highest term that the asked node granted.
        highest: Term,
        /// The reign that it follows, if it knows one.
        master: Option<Document>,
    },
}
