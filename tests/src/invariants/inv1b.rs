//! An order of a lower reign than the highest verified changes nothing. Highest is what stands on the disk, or what
//! the running node says; what a crash took before it was synced never counted.

use std::collections::BTreeMap;

use pacmesh_protocol::ledger::record::ReignId;

use super::Invariant;
use crate::sim::{Note, World};

/// See the module.
#[derive(Debug, Default)]
pub struct LowerOrders {
    synced: BTreeMap<usize, ReignId>,
    disk_changes: u64,
}

impl LowerOrders {
    fn highest(&self, world: &World, node: usize) -> Option<ReignId> {
        let running = world.nodes[node]
            .life
            .as_ref()
            .and_then(|life| life.machine.highest_reign());
        running.max(self.synced.get(&node).copied())
    }
}

impl Invariant for LowerOrders {
    fn name(&self) -> &'static str {
        "inv1b: an order of a lower reign changes nothing"
    }

    fn check(&mut self, world: &mut World, notes: &[Note]) -> Result<(), String> {
        for note in notes {
            let Note::Obeyed { node, reign } = note else {
                continue;
            };
            if let Some(highest) = self.highest(world, *node).filter(|highest| reign < highest) {
                return Err(format!("n{node} obeyed {reign:?} and had verified {highest:?}"));
            }
        }
        if self.disk_changes != world.disk_changes {
            self.disk_changes = world.disk_changes;
            for node in &world.nodes {
                if let Some(highest) = node.disk.highest() {
                    let known = self.synced.entry(node.number).or_insert(highest);
                    *known = (*known).max(highest);
                }
            }
        }
        Ok(())
    }
}
