//! What a node has after a kill -9: only what was synced.

use pacmesh_protocol::{
    ids::{Incarnation, NodeId},
    ledger::record::{Record, ReignId},
    reign::{
        KeptBallot,
        document::{CLAIM_LIMIT, Claim},
    },
};

use super::facts::Facts;

/// Something on its way to the disk.
#[derive(Debug, Clone)]
pub enum Write {
    /// A ballot.
    Ballot(Vec<u8>),
    /// Records of the ledger.
    Records(Vec<Record>),
}

/// The disk of one node.
#[derive(Debug)]
pub struct Disk {
    /// The greatest life.
    pub incarnation: Incarnation,
    /// The reign's durable part.
    pub ballot: KeptBallot,
    /// The ledger.
    pub facts: Facts,
}

impl Disk {
    /// The disk of a member that was never started.
    pub fn new(own: NodeId, nodes: usize) -> Self {
        Self {
            incarnation: 0,
            ballot: KeptBallot::default(),
            facts: Facts::new(own, nodes),
        }
    }
    /// The write is synced.
    pub fn sync(&mut self, write: &Write) {
        match write {
            Write::Ballot(bytes) => {
                if let Ok(ballot) = KeptBallot::decode(bytes) {
                    self.ballot = ballot;
                }
            }
            Write::Records(records) => {
                for record in records {
                    self.facts.merge(record);
                }
            }
        }
    }

    /// The highest reign whose document is on this disk.
    pub fn highest(&self) -> Option<ReignId> {
        let claim: Claim = self.ballot.highest.as_ref()?.claim.peek(CLAIM_LIMIT).ok()?;
        Some(claim.reign())
    }
}
