//! What was answered with N copies survives any kill -9 and the loss of N − 1 nodes: from the answer on it stands on
//! the disks of N nodes, or a later word of its author does.

use std::collections::BTreeMap;

use pacmesh_protocol::{ids::RecordHash, ledger::record::Record};

use super::Invariant;
use crate::sim::{Note, World};

/// See the module.
#[derive(Debug, Default)]
pub struct AnsweredSurvives {
    answered: BTreeMap<RecordHash, (Record, usize)>,
    disk_changes: u64,
}

impl Invariant for AnsweredSurvives {
    fn name(&self) -> &'static str {
        "inv2a: what was answered with N copies survives the loss of N - 1"
    }

    fn check(&mut self, world: &mut World, notes: &[Note]) -> Result<(), String> {
        let mut look = self.disk_changes != world.disk_changes;
        self.disk_changes = world.disk_changes;
        for note in notes {
            if let Note::Answered { record, copies } = note {
                self.answered
                    .insert(record.hash(), (record.clone(), copies.len()));
                look = true;
            }
        }
        let disks = || world.nodes.iter().map(|node| &node.disk.facts);
        let copies = |record: &Record| disks().filter(|facts| facts.covers(record)).count();
        let mut answered = self.answered.values().filter(|_| look);
        match answered.find(|(record, told)| copies(record) < *told) {
            Some((record, told)) => {
                let hash = record.hash();
                Err(format!(
                    "{hash:?} was answered with {told} copies and has {}",
                    copies(record)
                ))
            }
            None => Ok(()),
        }
    }
}
