//! What the membership hears and what it wants done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    ids::{Incarnation, NodeId},
    membership::{Heard, MemberHint, MemberState, NodeRecord},
};

/// What may happen.
#[derive(Debug, Clone)]
pub enum Input {
    /// The moment of `next_wakeup` came.
    Tick,
    /// The machine slept: CLOCK_BOOTTIME ran ahead of CLOCK_MONOTONIC by more than a second.
    Slept,
    /// What the ledger says. This node itself and barred ones are left out of `members`.
    Members {
        /// Who may talk.
        members: BTreeMap<NodeId, MemberHint>,
        /// Suspended and revoked: their records are rejected, not merely ignored.
        barred: BTreeSet<NodeId>,
    },
    /// A record whose signature was verified.
    Heard(Heard),
    /// A connection to a member began, or a place was seen where it may be.
    Met {
        /// Which member.
        node: NodeId,
        /// This node dialled, so it opens the exchange of tables.
        dialled: bool,
    },
    /// A ping was acknowledged.
    Ack {
        /// By whom.
        node: NodeId,
        /// The ping's.
        nonce: u64,
    },
    /// Another member asks whether this node reaches `about`.
    Asked {
        /// Names the question in [`Output::Answer`].
        ask: u64,
        /// Who is silent there.
        about: NodeId,
        /// How long it waits for the answer.
        wait: Duration,
    },
    /// A third answered.
    Answered {
        /// Which third.
        via: NodeId,
        /// About whom.
        about: NodeId,
        /// The inquiry's.
        nonce: u64,
        /// It got an acknowledgement.
        reached: bool,
    },
    /// Somebody here got no answer from this member: have it confirmed.
    Confirm(NodeId),
    /// What this node says of itself from now on.
    Own(Box<NodeRecord>),
    /// This node goes.
    Goodbye,
}

/// What should be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ping this member; give its acknowledgement back with the nonce.
    Ping {
        /// Whom.
        node: NodeId,
        /// Names the ping.
        nonce: u64,
    },
    /// Ask `via` to ping `about`.
    AskIndirect {
        /// Who is asked.
        via: NodeId,
        /// About whom.
        about: NodeId,
        /// Names the inquiry.
        nonce: u64,
        /// How long the third may try, so that its answer is here in time.
        wait: Duration,
    },
    /// Answer a question; `None`: drop it, this node cannot tell.
    Answer {
        /// Which.
        ask: u64,
        /// Whether the member acknowledged a ping.
        reached: Option<bool>,
    },
    /// Sign and announce this.
    Publish(Box<NodeRecord>),
    /// Exchange whole tables with this member.
    SendTable {
        /// Which.
        to: NodeId,
    },
    /// A member changed its state.
    Changed {
        /// Which.
        node: NodeId,
        /// How it stands now.
        state: MemberState,
    },
    /// This node began or ceased to doubt itself.
    Doubt(bool),
    /// Another holder of this node's key lives, in a greater life: this one, the lower, must stop.
    Usurped {
        /// The other's life.
        incarnation: Incarnation,
    },
    /// A greater life of this node is over, or an equal one lives elsewhere: begin a life above this one.
    Outlived {
        /// The greatest life to be left behind.
        incarnation: Incarnation,
    },
}

/// What to do with a gossiped record before its signature is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Verify it, take it, pass it on.
    Accept,
    /// Neither take it nor blame who passed it on: unknown author, old, or too many.
    Ignore,
    /// Its author is barred.
    Reject,
}
