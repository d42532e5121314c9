//! Names bytes as they pass: BLAKE3 with its hash tree, and SHA-256, in one pass over data of unknown length.

use bao_tree::{BaoTree, iter::BaoChunk};
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use pacmesh_protocol::ids::{Digest, Sha256};
use sha2::Digest as _;

use super::{BLOCK, GROUP, Stored};

/// Takes bytes piece by piece.
#[derive(Debug, Default)]
pub(super) struct Hasher {
    sha256: sha2::Sha256,
    tree: TreeHasher,
}

/// The names of what passed, and the hash tree: pairs in pre-order, empty for a single group.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) stored: Stored,
    pub(super) outboard: Vec<u8>,
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.tree.update(bytes);
    }

    pub(super) fn finish(self) -> Hashed {
        let size = self.tree.size();
        let (digest, outboard) = self.tree.finish();
        let sha256 = Sha256(self.sha256.finalize().into());
        Hashed {
            stored: Stored { digest, sha256, size },
            outboard,
        }
    }
}

/// BLAKE3 alone, for bytes of which nobody wants the SHA-256.
#[derive(Debug, Default)]
pub(super) struct TreeHasher {
    /// The last group, whole or not: whether it is the root is known only at the end.
    group: Vec<u8>,
    /// The chaining values of all groups before.
    groups: Vec<ChainingValue>,
}

impl TreeHasher {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.group.len() == GROUP as usize {
                self.groups
                    .push(group_value(self.groups.len() as u64 * GROUP, &self.group));
                self.group.clear();
            }
            let room = GROUP as usize - self.group.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.group.extend_from_slice(now);
            bytes = later;
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.groups.len() as u64 * GROUP + self.group.len() as u64
    }

    /// The digest and the hash tree.
    pub(super) fn finish(mut self) -> (Digest, Vec<u8>) {
        if self.groups.is_empty() {
            return (Digest::of(&self.group), Vec::new());
        }
        let tree = BaoTree::new(self.size(), BLOCK);
        self.groups
            .push(group_value(self.groups.len() as u64 * GROUP, &self.group));
        let mut outboard = vec![0; tree.outboard_size() as usize];
        let mut groups = self.groups.into_iter();
        let mut stack: Vec<[u8; 32]> = Vec::new();
        for step in tree.post_order_chunks_iter() {
            let value = match step {
                BaoChunk::Leaf { .. } => groups.next(),
                BaoChunk::Parent { node, is_root, .. } => {
                    let right = stack.pop().unwrap_or_default();
                    let left = stack.pop().unwrap_or_default();
                    if let Some(number) = tree.pre_order_offset(node) {
                        let pair = &mut outboard[number as usize * 64..][..64];
                        pair[..32].copy_from_slice(&left);
                        pair[32..].copy_from_slice(&right);
                    }
                    Some(parent_value(&left, &right, is_root))
                }
            };
            stack.extend(value);
        }
        (Digest(stack.pop().unwrap_or_default()), outboard)
    }
}

/// The hash of a subtree of at most one group that begins at byte `offset`.
pub(super) fn subtree_value(offset: u64, bytes: &[u8], is_root: bool) -> [u8; 32] {
    if is_root {
        *blake3::hash(bytes).as_bytes()
    } else {
        group_value(offset, bytes)
    }
}

/// The hash of two subtrees together.
pub(super) fn parent_value(left: &[u8; 32], right: &[u8; 32], is_root: bool) -> [u8; 32] {
    if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

fn group_value(offset: u64, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

#[cfg(test)]
mod tests {
    use bao_tree::io::outboard::PreOrderMemOutboard;

    use super::*;

    #[test]
    fn names_and_trees_are_those_of_blake3_bao_and_sha256_whatever_the_pieces() {
        let group = GROUP as usize;
        for size in [
            0,
            1,
            1024,
            group - 1,
            group,
            group + 1,
            2 * group,
            3 * group,
            5 * group + 7,
            1 << 20,
        ] {
            let data: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
            for piece in [size.max(1), 1000, group] {
                let mut hasher = Hasher::default();
                data.chunks(piece).for_each(|piece| hasher.update(piece));
                let hashed = hasher.finish();
                assert_eq!(hashed.stored.digest, Digest::of(&data), "{size} in {piece}");
                assert_eq!(hashed.stored.sha256.0[..], sha2::Sha256::digest(&data)[..]);
                assert_eq!(hashed.stored.size, size as u64);
                assert_eq!(hashed.outboard, PreOrderMemOutboard::create(&data, BLOCK).data);
            }
        }
    }
}
