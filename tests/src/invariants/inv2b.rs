//! Ledgers that met are equal: after an exchange both disks hold all that either held when it was asked, or later words
//! of the same authors. And equal sets of records give equal views, in whatever order they came.

use super::Invariant;
use crate::sim::{Note, World};

/// See the module.
#[derive(Debug, Default)]
pub struct MetAreEqual;

impl Invariant for MetAreEqual {
    fn name(&self) -> &'static str {
        "inv2b: ledgers that met are equal, and so are their views"
    }

    fn check(&mut self, world: &mut World, notes: &[Note]) -> Result<(), String> {
        for note in notes {
            let Note::Met { nodes, records } = note else {
                continue;
            };
            for node in nodes {
                let held = &world.nodes[*node].disk.facts;
                if let Some(record) = records.iter().find(|record| !held.covers(record)) {
                    let lost = record.hash();
                    return Err(format!(
                        "n{} and n{} met, and n{node} lacks {lost:?}",
                        nodes[0], nodes[1]
                    ));
                }
            }
            same_view(world, *nodes)?;
        }
        Ok(())
    }
}

fn same_view(world: &mut World, nodes: [usize; 2]) -> Result<(), String> {
    let [one, other] = nodes.map(|node| world.nodes[node].disk.facts.root());
    if one != other {
        return Ok(());
    }
    let [one, other] = nodes.map(|node| world.nodes[node].disk.facts.in_force());
    if one == other {
        return Ok(());
    }
    Err(format!(
        "n{} and n{}: equal records, but {one:?} and {other:?}",
        nodes[0], nodes[1]
    ))
}
