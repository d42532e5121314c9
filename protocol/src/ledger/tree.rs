//! The digest tree: how two nodes find out cheaply which records one of them lacks.
//!
//! Records hang below the first and second byte of their hash (256 × 256). The digest of a node is the BLAKE3 of the
//! concatenated record hashes below it, sorted; all zero where there is none (FORMATS, "Exchange and retention").

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use crate::ids::{Digest, RecordHash};

/// The digest of a node without records.
const EMPTY: Digest = Digest([0; 32]);

/// Hashes of records, with digests over all of them and over each part.
#[derive(Debug, Clone, Default)]
pub struct DigestTree {
    hashes: BTreeSet<RecordHash>,
    top: BTreeMap<u8, Digest>,
    /// Computed when asked for after a change: it covers every hash, and gossip asks far more often than records come.
    root: OnceLock<Digest>,
}

impl DigestTree {
    /// Adds a record.
    pub fn insert(&mut self, hash: RecordHash) {
        if self.hashes.insert(hash) {
            self.refresh(hash.0[0]);
        }
    }

    /// Takes a record out.
    pub fn remove(&mut self, hash: &RecordHash) {
        if self.hashes.remove(hash) {
            self.refresh(hash.0[0]);
        }
    }

    /// Over all records.
    pub fn root(&self) -> Digest {
        *self.root.get_or_init(|| digest(self.hashes.iter()))
    }

    /// The first level: one digest for each first byte.
    pub fn top(&self) -> Vec<Digest> {
        (0..=u8::MAX)
            .map(|first| self.top.get(&first).copied().unwrap_or(EMPTY))
            .collect()
    }

    /// The second level below `first`: one digest for each second byte.
    pub fn branch(&self, first: u8) -> Vec<Digest> {
        (0..=u8::MAX)
            .map(|second| digest(self.below(&[first, second])))
            .collect()
    }

    /// The records below two bytes, sorted.
    pub fn leaf(&self, first: u8, second: u8) -> Vec<RecordHash> {
        self.below(&[first, second]).copied().collect()
    }

    /// All records, sorted.
    pub fn hashes(&self) -> impl Iterator<Item = &RecordHash> {
        self.hashes.iter()
    }

    fn refresh(&mut self, first: u8) {
        self.root.take();
        let digest = digest(self.below(&[first]));
        if digest == EMPTY {
            self.top.remove(&first);
        } else {
            self.top.insert(first, digest);
        }
    }

    fn below(&self, prefix: &[u8]) -> impl Iterator<Item = &RecordHash> {
        let (mut least, mut greatest) = ([0; 32], [0xff; 32]);
        least[..prefix.len()].copy_from_slice(prefix);
        greatest[..prefix.len()].copy_from_slice(prefix);
        self.hashes.range(RecordHash(least)..=RecordHash(greatest))
    }
}

fn digest<'a>(hashes: impl Iterator<Item = &'a RecordHash>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut any = false;
    for hash in hashes {
        any = true;
        hasher.update(&hash.0);
    }
    if any {
        Digest(*hasher.finalize().as_bytes())
    } else {
        EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_equal_digests_and_different_ones_differ_on_the_way_to_the_difference() {
        let (mut a, mut b) = (DigestTree::default(), DigestTree::default());
        let hashes: Vec<_> = (0..200_u32).map(|n| RecordHash::of(&n.to_le_bytes())).collect();
        hashes.iter().for_each(|hash| a.insert(*hash));
        hashes.iter().rev().for_each(|hash| b.insert(*hash));
        assert_eq!((a.root(), a.top()), (b.root(), b.top()));
        let gone = hashes[77];
        b.remove(&gone);
        let [first, second, ..] = gone.0;
        assert_ne!(a.root(), b.root());
        let differing: Vec<_> = (0..256).filter(|n| a.top()[*n] != b.top()[*n]).collect();
        assert_eq!(differing, [usize::from(first)]);
        assert_ne!(
            a.branch(first)[usize::from(second)],
            b.branch(first)[usize::from(second)]
        );
        assert!(!b.leaf(first, second).contains(&gone));
    }
}
