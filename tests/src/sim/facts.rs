//! The ledger as the world needs it: a set of signed records, its root, and the view of what is in force.
//!
//! The view is kept up record by record, so that two nodes that hold the same set by different ways show whether the
//! order of arrival matters.

use std::collections::{BTreeMap, BTreeSet};

use pacmesh_protocol::{
    ids::{Digest, RecordHash},
    ledger::{
        kinds::{SettingV1, Value},
        record::{Record, Tail},
    },
};

/// What is in force for one key: the greatest version, then the greatest tail.
type InForce = (u64, Tail);

/// Records and the view of them.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    records: BTreeMap<RecordHash, Record>,
    view: BTreeMap<String, InForce>,
    root: [u8; 32],
}

impl Facts {
    /// Merges one record; whether it was new.
    pub fn merge(&mut self, record: &Record) -> bool {
        if self.records.contains_key(&record.hash()) {
            return false;
        }
        for (root, byte) in self.root.iter_mut().zip(record.hash().as_bytes()) {
            *root ^= byte;
        }
        for (key, value) in record
            .body()
            .entries
            .iter()
            .filter_map(|entry| SettingV1::read(entry).ok())
        {
            let stated = (value.version, record.tail());
            let in_force = self.view.entry(key).or_insert(stated);
            *in_force = (*in_force).max(stated);
        }
        self.records.insert(record.hash(), record.clone());
        true
    }

    /// Whether the record is held.
    pub fn holds(&self, hash: &RecordHash) -> bool {
        self.records.contains_key(hash)
    }

    /// The hashes of all records, sorted.
    pub fn hashes(&self) -> BTreeSet<RecordHash> {
        self.records.keys().copied().collect()
    }

    /// The records that are not in `have`.
    pub fn beyond(&self, have: &BTreeSet<RecordHash>) -> Vec<Record> {
        let lacking = self.records.iter().filter(|(hash, _)| !have.contains(*hash));
        lacking.map(|(_, record)| record.clone()).collect()
    }

    /// Those of `hashes` that are held.
    pub fn these(&self, hashes: &[RecordHash]) -> Vec<Record> {
        hashes
            .iter()
            .filter_map(|hash| self.records.get(hash).cloned())
            .collect()
    }

    /// What is in force.
    pub fn view(&self) -> &BTreeMap<String, (u64, Tail)> {
        &self.view
    }

    /// The version of a key that its next edit would take.
    pub fn next_version(&self, key: &str) -> u64 {
        self.view.get(key).map_or(1, |(version, _)| version + 1)
    }

    /// Equal for equal sets of records.
    pub fn root(&self) -> Digest {
        Digest(self.root)
    }

    /// How many records are held.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
