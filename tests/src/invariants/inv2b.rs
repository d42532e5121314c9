//! Ledgers that met are equal: after an exchange both disks hold all that either held when it was asked. And equal
//! sets of records give equal views, in whatever order they came.

use super::Invariant;
use crate::sim::{Note, World, facts::Facts};

/// See the module.
#[derive(Debug, Default)]
pub struct MetAreEqual {
    disk_changes: u64,
}

impl Invariant for MetAreEqual {
    fn name(&self) -> &'static str {
        "inv2b: ledgers that met are equal, and so are their views"
    }

    fn check(&mut self, world: &World, notes: &[Note]) -> Result<(), String> {
        for note in notes {
            let Note::Met { nodes, records } = note else {
                continue;
            };
            for node in nodes {
                let held = &world.nodes[*node].disk.facts;
                if let Some(record) = records.iter().find(|record| !held.holds(record)) {
                    return Err(format!(
                        "n{} and n{} met, and n{node} lacks {record:?}",
                        nodes[0], nodes[1]
                    ));
                }
            }
        }
        if self.disk_changes == world.disk_changes {
            return Ok(());
        }
        self.disk_changes = world.disk_changes;
        world.nodes.windows(2).try_for_each(|pair| {
            let (one, other) = (&pair[0].disk.facts, &pair[1].disk.facts);
            same_view(one, other).map_err(|seen| format!("n{}, n{}: {seen}", pair[0].number, pair[1].number))
        })
    }
}

fn same_view(one: &Facts, other: &Facts) -> Result<(), String> {
    if one.root() != other.root() || one.view() == other.view() {
        return Ok(());
    }
    let differs = one
        .view()
        .iter()
        .find(|(key, value)| other.view().get(*key) != Some(value));
    Err(format!("equal records, but other views: {differs:?}"))
}
