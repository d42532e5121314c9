//! What a node says of itself by gossip.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Digest, Incarnation, NodeId},
    ledger::record::ReignId,
    names::{Architecture, EnvironmentName, NodeName},
    roles::Roles,
};

/// Greatest length of an encoded, signed node record, in bytes (FORMATS, "Numbers").
pub const NODE_RECORD_LIMIT: usize = 2 << 10;
/// Most addresses that a node announces.
pub const ADDRESS_LIMIT: usize = 8;
/// Most members of a mesh.
pub const MEMBER_LIMIT: usize = 256;

/// A node's description of itself; the newest (incarnation, sequence) counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Who, and whose signature (`Purpose::NodeRecord`).
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Counts the records of that life.
    pub sequence: u64,
    /// The name it would like to be shown by.
    pub name: NodeName,
    /// Where its transport listens (QUIC); discovery is one port below. At most [`ADDRESS_LIMIT`].
    pub addresses: Vec<SocketAddr>,
    /// Where its repository is served over HTTP, if it is: a port on the same addresses.
    pub repository_port: Option<u16>,
    /// What it is willing to do; never more than its admission allows.
    pub roles: Roles,
    /// What its build roots are made of.
    pub environment: EnvironmentName,
    /// What it can build for.
    pub arches: Vec<Architecture>,
    /// How many attempts at once.
    pub slots: u32,
    /// How many run.
    pub running: u32,
    /// Load average of one minute, in hundredths.
    pub load: u32,
    /// Free disk below its home, in MiB.
    pub free_mib: u64,
    /// `CARGO_PKG_VERSION` of its binary.
    pub version: String,
    /// The reign that it follows.
    pub reign: Option<ReignId>,
    /// The root of its ledger's digest tree.
    pub ledger: Digest,
    /// It takes no new work (`node drain`).
    pub draining: bool,
    /// It says goodbye: from now on it is gone until a newer record.
    pub goodbye: bool,
}
