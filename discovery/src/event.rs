//! What discovery tells its owner. Events are hints to look: the table is the truth.

use std::net::SocketAddr;

use pacmesh_protocol::{
    ids::{Incarnation, NodeId},
    membership::MemberState,
};

/// Something happened. When the receiver lags behind [`crate::EVENT_QUEUE`] events, further ones are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody was seen by multicast DNS with whom libp2p has no connection: dial its transport at `address`, exchange
    /// credentials, then call `dial` (a member) or `refused`. Strangers come at most eight times a minute.
    Candidate {
        /// Its key, to be expected by the transport.
        node: NodeId,
        /// Where its transport should be: the port after the one that it announced.
        address: SocketAddr,
    },
    /// A member changed its state.
    State {
        /// Which.
        node: NodeId,
        /// How it stands now.
        state: MemberState,
    },
    /// This node began (true) or ceased (false) to doubt itself.
    Doubt(bool),
    /// Another holder of this node's key lives in a greater life and goes on speaking: this one must stop.
    Usurped {
        /// The other's life.
        incarnation: Incarnation,
    },
    /// A greater life of this node is over, as after a restore: start again above it.
    Outlived {
        /// The greatest life to be left behind.
        incarnation: Incarnation,
    },
}
