//! The real ledger of a simulated node, with a count of what it must cover.
//!
//! The ledger drops a record that is outranked by its own author, so "is it still there" means: it is held, or a
//! greater value of its author for the same key is. That count is kept here from what the ledger says it dropped,
//! and knows nothing of how it ranks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pacmesh_protocol::{
    ids::{Digest, NodeId, RecordHash, Seat},
    ledger::{
        Ledger, Merged,
        kinds::{SettingV1, Value},
        record::{Record, Tail},
        view::View,
    },
};

use super::{
    genesis,
    keys::{MESH, ToyKey},
};

/// Whose word for which setting.
type Slot = (NodeId, String);

/// The records of one node, in memory or on its disk.
#[derive(Debug)]
pub struct Facts {
    ledger: Ledger,
    root: Digest,
    said: BTreeMap<Slot, BTreeSet<(u64, Tail)>>,
    places: BTreeMap<RecordHash, (Slot, u64, Tail)>,
}

impl Facts {
    /// What every member knows from the beginning: the admissions of `nodes` nodes.
    pub fn new(own: NodeId, nodes: usize) -> Self {
        let mut facts = Self::empty(own);
        for record in genesis::admissions(nodes) {
            facts.merge(&record);
        }
        facts
    }

    /// Reads a disk: the same records, in another order than they came.
    pub fn reload(&self) -> Self {
        let mut facts = Self::empty(self.ledger.own());
        for record in self.ledger.records() {
            facts.merge(record);
        }
        facts
    }

    fn empty(own: NodeId) -> Self {
        Self {
            ledger: Ledger::new(MESH, own, Arc::new(ToyKey(own))),
            root: Digest([0; 32]),
            said: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Merges one record; whether it was new.
    pub fn merge(&mut self, record: &Record) -> bool {
        let Merged::Added { dropped } = self.ledger.merge(record.clone()) else {
            return false;
        };
        if let Some((slot, version)) = said(record) {
            self.said
                .entry(slot.clone())
                .or_default()
                .insert((version, record.tail()));
            self.places.insert(record.hash(), (slot, version, record.tail()));
        }
        for hash in dropped {
            if let Some((slot, version, tail)) = self.places.remove(&hash) {
                self.said.entry(slot).or_default().remove(&(version, tail));
            }
        }
        self.root = self.ledger.tree().root();
        true
    }

    /// Whether the record is held, or outranked by one of its author that is.
    pub fn covers(&self, record: &Record) -> bool {
        let outranked = |(slot, version): (Slot, u64)| {
            let greatest = self.said.get(&slot).and_then(BTreeSet::last);
            greatest.is_some_and(|greatest| *greatest >= (version, record.tail()))
        };
        self.ledger.contains(&record.hash()) || said(record).is_some_and(outranked)
    }

    /// The hashes of all records.
    pub fn hashes(&self) -> BTreeSet<RecordHash> {
        self.ledger.tree().hashes().copied().collect()
    }

    /// The records that are not in `have`.
    pub fn beyond(&self, have: &BTreeSet<RecordHash>) -> Vec<Record> {
        self.ledger
            .records()
            .filter(|record| !have.contains(&record.hash()))
            .cloned()
            .collect()
    }

    /// Those of `hashes` that are held.
    pub fn these<'a>(&self, hashes: impl IntoIterator<Item = &'a RecordHash>) -> Vec<Record> {
        hashes
            .into_iter()
            .filter_map(|hash| self.ledger.get(hash).cloned())
            .collect()
    }

    /// What is in force.
    pub fn view(&mut self) -> Arc<View> {
        self.ledger.view()
    }

    /// Every setting with its version, and every seat: what two views are compared by.
    pub fn in_force(&mut self) -> (BTreeMap<String, u64>, BTreeMap<NodeId, Seat>) {
        let view = self.ledger.view();
        let versions = view
            .settings()
            .map(|(name, _)| (name.to_owned(), view.setting_version(name)));
        (versions.collect(), view.master_capable())
    }

    /// The root of the digest tree.
    pub const fn root(&self) -> Digest {
        self.root
    }
}

fn said(record: &Record) -> Option<(Slot, u64)> {
    let (name, value) = record.body().entries.iter().find_map(|entry| {
        (entry.kind == SettingV1::KIND as u16)
            .then(|| SettingV1::read(entry).ok())
            .flatten()
    })?;
    Some(((record.author(), name), value.version))
}
