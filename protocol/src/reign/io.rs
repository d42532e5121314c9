//! What the machine is told, and what it wants done.
//!
//! A driver obeys the list of outputs strictly in order; the bytes of a [`Output::Persist`] are synced before anything
//! behind it is done. It feeds every node record that it receives ([`Input::Heard`]), not only those that changed.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ballot::KeptBallot,
    document::{Ballot, Document},
    role::Role,
};
use crate::{
    ids::{Digest, Incarnation, MeshId, NodeId, Seat},
    ledger::record::ReignId,
    signed::{Sign, Signed, Verify},
};

/// What a machine starts from.
#[derive(Debug)]
pub struct Setup {
    /// The mesh.
    pub mesh: MeshId,
    /// This node's life, synced before.
    pub incarnation: Incarnation,
    /// This node's key.
    pub key: Arc<dyn Sign>,
    /// Judges the signatures of others.
    pub verifier: Arc<dyn Verify>,
    /// What was kept; the default for a node that never took part.
    pub kept: KeptBallot,
    /// The root of the own ledger's digest tree.
    pub ledger: Digest,
    /// Fixes every random wait.
    pub seed: u64,
}

/// What may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The members that have the role master in the view, with their seats; with this node, if it has it.
    Members(BTreeMap<NodeId, Seat>),
    /// All members that are alive or suspect and in direct reach, with their lives, and nobody beyond. A node that leaves the set is
    /// confirmed lost, or said goodbye.
    Alive(BTreeMap<NodeId, Incarnation>),
    /// A node record arrived: `member` announces that it follows `reign`.
    Heard {
        /// Whose record.
        member: NodeId,
        /// What it says.
        reign: Option<ReignId>,
    },
    /// This node finds itself late or woken (`true`), or has since met another member or lost all (`false`). A machine
    /// starts in doubt; doubt means nothing where nobody else may lead.
    Doubt(bool),
    /// Whether this node wants to lead and can: it reads all that it holds, and does not drain.
    Eligible(bool),
    /// The root of the own ledger changed.
    Ledger(Digest),
    /// Somebody asks; answered by one [`Output::Reply`].
    ClaimReceived {
        /// The authenticated sender.
        from: NodeId,
        /// A [`super::document::Claim`].
        claim: Signed,
    },
    /// Somebody answered a claim of this node.
    BallotReceived {
        /// The authenticated sender.
        from: NodeId,
        /// Which claim: the digest in [`Output::SendClaim`].
        claim: Digest,
        /// The answer.
        ballot: Ballot,
    },
    /// A document arrived.
    DocumentReceived {
        /// The authenticated sender.
        from: NodeId,
        /// Not yet judged.
        document: Document,
    },
    /// The ledger of a granter is merged ([`Output::MergeFrom`]).
    Merged {
        /// Whose.
        granter: NodeId,
    },
    /// It could not be merged now.
    MergeFailed {
        /// Whose.
        granter: NodeId,
    },
    /// This node should lead, if no living master is known (`pacmesh lead`).
    LeadWanted,
    /// This node should lead no longer (`lead`, `drain`, `leave`, a planned stop).
    Abdicate {
        /// Who should lead next; `None`: the most senior one alive.
        to: Option<NodeId>,
    },
    /// The master says that its reign ends and this node should lead next.
    Abdicated {
        /// The authenticated sender.
        from: NodeId,
        /// The reign that ends.
        reign: ReignId,
    },
    /// The moment of [`crate::machine::Machine::next_wakeup`] has come.
    Wake,
    /// [`Input::Alive`] together with those members that are alive by the word of a third only.
    Reach {
        /// In direct reach.
        alive: BTreeMap<NodeId, Incarnation>,
        /// In reach of others.
        relayed: BTreeMap<NodeId, Incarnation>,
    },
}

/// What should be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Sync these bytes ([`KeptBallot`]) before anything behind this in the list.
    Persist(Vec<u8>),
    /// Ask for a grant.
    SendClaim {
        /// Whom.
        to: NodeId,
        /// A signed [`super::document::Claim`].
        claim: Signed,
        /// Names the claim in [`Input::BallotReceived`].
        digest: Digest,
    },
    /// Answer a claim.
    Reply {
        /// The claimant.
        to: NodeId,
        /// Which claim.
        claim: Digest,
        /// The answer.
        ballot: Box<Ballot>,
    },
    /// Exchange ledgers with a granter, then say [`Input::Merged`] or [`Input::MergeFailed`].
    MergeFrom {
        /// Whom.
        granter: NodeId,
    },
    /// Send a document to every member in reach.
    Broadcast(Box<Document>),
    /// Send a document to one member.
    SendDocument {
        /// Whom.
        to: NodeId,
        /// The document.
        document: Box<Document>,
    },
    /// Tell a node that it should lead next.
    SendAbdicate {
        /// Whom.
        to: NodeId,
        /// The reign that ended.
        reign: ReignId,
    },
    /// Order, record and publish nothing more under this reign.
    Relinquish {
        /// Which.
        reign: ReignId,
    },
    /// The role is another one; also what the node's own record should announce ([`Role::reign`]).
    Became(Role),
}
