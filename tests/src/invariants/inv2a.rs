//! What was answered with N copies survives any kill -9 and the loss of N − 1 nodes: from the answer on it stands on
//! the disks of N nodes.

use std::collections::BTreeMap;

use pacmesh_protocol::ids::RecordHash;

use super::Invariant;
use crate::sim::{Note, World};

/// See the module.
#[derive(Debug, Default)]
pub struct AnsweredSurvives {
    answered: BTreeMap<RecordHash, usize>,
    disk_changes: u64,
}

impl Invariant for AnsweredSurvives {
    fn name(&self) -> &'static str {
        "inv2a: what was answered with N copies survives the loss of N - 1"
    }

    fn check(&mut self, world: &World, notes: &[Note]) -> Result<(), String> {
        let mut look = self.disk_changes != world.disk_changes;
        self.disk_changes = world.disk_changes;
        for note in notes {
            if let Note::Answered { record, copies } = note {
                self.answered.insert(*record, copies.len());
                look = true;
            }
        }
        let copies = |record| {
            world
                .nodes
                .iter()
                .filter(|node| node.disk.facts.holds(record))
                .count()
        };
        let short = self
            .answered
            .iter()
            .filter(|_| look)
            .find(|(record, told)| copies(record) < **told);
        short.map_or(Ok(()), |(record, told)| {
            Err(format!(
                "{record:?} was answered with {told} copies and has {}",
                copies(record)
            ))
        })
    }
}
