//! What one generation shows of each package, and whether a reader may go from one generation to another.
//!
//! Both are pure: replicas that hold the same two indexes and the same verdicts decide alike (FORMATS,
//! "Generations").

use std::collections::BTreeMap;

use pacmesh_protocol::codec::{self, CodecError};
use pacmesh_protocol::ids::Digest;
use pacmesh_protocol::names::{PackageName, PackageVersion};
use serde::{Deserialize, Serialize};

/// Most bytes of an encoded index: about 400,000 packages, thirty times what Arch has.
pub const INDEX_MAX: usize = 64 << 20;

/// What a generation says about one package. The order is that of the ledger: generation, tombstone, version,
/// version bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The package generation (not the repository's), raised by removal, rollback and downgrade.
    pub generation: u64,
    /// What is shown, or `None` for a tombstone.
    pub release: Option<IndexRelease>,
}

/// A release that a generation shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRelease {
    /// The full version.
    pub version: PackageVersion,
    /// BLAKE3 of the archive.
    pub archive: Digest,
}

impl IndexEntry {
    /// The place in the order; of two entries of one package the greater is in force.
    fn rank(&self) -> (u64, bool, Option<&PackageVersion>) {
        let version = self.release.as_ref().map(|release| &release.version);
        (self.generation, version.is_none(), version)
    }

    /// Whether a reader who saw `self` may see `next` instead.
    fn may_become(&self, next: &Self) -> bool {
        // Two archives of one version come from two sides of a cut; such a name waits for its next pkgrel.
        next.release.is_none() || next.rank() > self.rank() || next == self
    }
}

/// All that a generation shows, by package name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// One entry per package that the ledger knows, tombstones included.
    pub entries: BTreeMap<PackageName, IndexEntry>,
}

/// Bytes that are no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// They are not in the encoding of an index.
    #[error("the bytes are no index of a generation")]
    Codec(#[from] CodecError),
    /// The names are not strictly ascending, so two nodes could read two things.
    #[error("the index of a generation is not sorted at '{0}'")]
    Unsorted(PackageName),
}

/// The blob as it travels; later forms are appended.
#[derive(Debug, Serialize, Deserialize)]
enum Encoded {
    V1(Vec<(PackageName, IndexEntry)>),
}

impl Index {
    /// The blob of this index: equal indexes give equal bytes.
    ///
    /// # Errors
    ///
    /// Fails above [`INDEX_MAX`] bytes.
    pub fn encode(&self) -> Result<Vec<u8>, IndexError> {
        let entries = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        Ok(codec::encode(&Encoded::V1(entries), INDEX_MAX)?)
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    ///
    /// # Errors
    ///
    /// [`IndexError`]; no memory beyond a small multiple of `bytes` is taken.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let Encoded::V1(list) = codec::decode_large(bytes, INDEX_MAX)?;
        let mut entries = BTreeMap::new();
        for (name, entry) in list {
            if entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(IndexError::Unsorted(name));
            }
            entries.insert(name, entry);
        }
        Ok(Self { entries })
    }

    /// The releases that a reader sees, by package name.
    pub fn releases(&self) -> impl Iterator<Item = (&PackageName, &IndexRelease)> {
        self.entries
            .iter()
            .filter_map(|(name, entry)| Some((name, entry.release.as_ref()?)))
    }
}

/// Whether a reader of `old` may be given `new`: every package that `old` shows, unless a verdict voids its
/// archive, is matched in `new` by the same one, a greater one or a tombstone.
pub fn covers(new: &Index, old: &Index, voided: impl Fn(&Digest) -> bool) -> bool {
    old.entries.iter().all(|(name, before)| match &before.release {
        None => true,
        Some(release) if voided(&release.archive) => true,
        Some(_) => new
            .entries
            .get(name)
            .is_some_and(|after| before.may_become(after)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(generation: u64, version: Option<&str>) -> IndexEntry {
        let release = version.map(|version| IndexRelease {
            version: version.parse().unwrap(),
            archive: Digest::of(version.as_bytes()),
        });
        IndexEntry { generation, release }
    }

    fn index(entries: &[(&str, IndexEntry)]) -> Index {
        let entries = entries
            .iter()
            .map(|(name, entry)| (name.parse().unwrap(), entry.clone()))
            .collect();
        Index { entries }
    }

    fn never(_: &Digest) -> bool {
        false
    }

    #[test]
    fn inv3_only_the_same_a_greater_or_a_tombstone_follows() {
        let shown = entry(1, Some("1:1.0-2"));
        let other_bytes = IndexEntry {
            release: shown.release.clone().map(|release| IndexRelease {
                archive: Digest([9; 32]),
                ..release
            }),
            ..shown.clone()
        };
        for (after, allowed) in [
            (shown.clone(), true),
            (entry(1, Some("1:1.0-2.1")), true),
            (entry(1, Some("2:0.1-1")), true),
            (entry(2, Some("0.1-1")), true),
            (entry(1, None), true),
            (entry(0, None), true),
            (entry(1, Some("1:1.0-1")), false),
            (entry(1, Some("9.0-1")), false),
            (entry(0, Some("3:1.0-1")), false),
            (other_bytes, false),
        ] {
            let (new, old) = (index(&[("a", after)]), index(&[("a", shown.clone())]));
            assert_eq!(covers(&new, &old, never), allowed, "{new:?}");
        }
    }

    #[test]
    fn inv3_a_package_vanishes_only_by_a_tombstone_or_a_verdict() {
        let old = index(&[("a", entry(0, Some("1-1"))), ("b", entry(0, Some("2-1")))]);
        let new = index(&[("a", entry(0, Some("1-1")))]);
        assert!(!covers(&new, &old, never));
        assert!(covers(&new, &old, |archive| *archive == Digest::of(b"2-1")));
        assert!(covers(&old, &new, never));
    }

    #[test]
    fn a_tombstone_in_the_old_one_asks_for_nothing() {
        let old = index(&[("a", entry(3, None))]);
        assert!(covers(&Index::default(), &old, never));
    }

    #[test]
    fn an_index_that_is_not_sorted_is_refused() {
        for names in [["b", "a"], ["a", "a"]] {
            let list = names.map(|name| (name.parse().unwrap(), entry(0, None))).to_vec();
            let bytes = codec::encode(&Encoded::V1(list), INDEX_MAX).unwrap();
            assert!(matches!(Index::decode(&bytes), Err(IndexError::Unsorted(name)) if name.as_str() == "a"));
        }
    }

    fn entries() -> impl Strategy<Value = IndexEntry> {
        let version =
            (0_u8..2, 0_u8..3, 1_u8..3).prop_map(|(epoch, pkgver, rel)| format!("{epoch}:{pkgver}-{rel}"));
        (0_u64..3, prop::option::of(version))
            .prop_map(|(generation, version)| entry(generation, version.as_deref()))
    }

    fn indexes() -> impl Strategy<Value = Index> {
        let names = prop::sample::select(vec!["a", "b", "c", "lib32-d"]);
        prop::collection::btree_map(names.prop_map(|name| name.parse().unwrap()), entries(), 0..4)
            .prop_map(|entries| Index { entries })
    }

    proptest! {
        #[test]
        fn an_index_survives_its_encoding(index in indexes()) {
            prop_assert_eq!(Index::decode(&index.encode().unwrap()).unwrap(), index);
        }

        #[test]
        fn inv5_any_bytes_give_an_index_or_an_error(bytes: Vec<u8>) {
            if let Ok(index) = Index::decode(&bytes) {
                prop_assert_eq!(index.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn inv3_covering_is_reflexive(index in indexes()) {
            prop_assert!(covers(&index, &index, never));
        }

        #[test]
        fn inv3_no_chain_of_covers_goes_back_while_a_package_is_shown(
            first in indexes(), second in indexes(), third in indexes()
        ) {
            if covers(&second, &first, never) && covers(&third, &second, never) {
                for (name, before) in first.releases() {
                    if second.entries[name].release.is_some() {
                        let after = &third.entries[name];
                        let version = after.release.as_ref().map(|release| &release.version);
                        prop_assert!(after.rank() >= first.entries[name].rank() || version.is_none(), "{before:?}");
                    }
                }
            }
        }

        #[test]
        fn a_verdict_only_ever_allows_more(new in indexes(), old in indexes()) {
            prop_assert!(!covers(&new, &old, never) || covers(&new, &old, |_| true));
            prop_assert!(covers(&new, &old, |_| true));
        }
    }
}
