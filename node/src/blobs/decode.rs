//! Verifying what another node sends: every hash pair and every group is checked against the digest as it arrives.

use std::io;

use bao_tree::{
    BaoTree, ChunkNum, ChunkRanges,
    iter::{BaoChunk, ResponseIter},
};
use bytes::Bytes;
use pacmesh_protocol::ids::Digest;

use super::{
    BLOCK, GROUP,
    hasher::{parent_value, subtree_value},
};
use crate::transport::BlobStream;

/// Verified parts of a blob.
#[derive(Debug)]
pub(super) enum Item {
    /// A hash pair, and its place in the hash tree's file.
    Pair {
        /// In bytes.
        offset: u64,
        /// Left, then right.
        pair: [u8; 64],
    },
    /// A group of bytes.
    Group {
        /// Its place in the blob, in bytes.
        offset: u64,
        /// At most 16 KiB.
        bytes: Bytes,
    },
}

/// Why a sender is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// What it sent does not fit the digest.
    #[error("it sent bytes that do not belong to the blob")]
    Mismatch,
    /// It stopped.
    #[error("it stopped sending: {0}")]
    Stream(#[source] io::Error),
}

/// Verifies one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    tree: BaoTree,
    steps: ResponseIter,
    /// Hashes that are proved and whose subtrees are to come, the next one last.
    expected: Vec<[u8; 32]>,
}

impl Decoder {
    /// For a blob of `size` bytes, by the word of the sender, from byte `offset` on.
    pub(super) fn new(digest: Digest, size: u64, offset: u64) -> Self {
        let tree = BaoTree::new(size, BLOCK);
        let ranges = ChunkRanges::from(ChunkNum(offset / 1024)..);
        Self {
            tree,
            steps: ResponseIter::new(tree, ranges),
            expected: vec![digest.0],
        }
    }

    /// The next verified part; `None` when all were.
    pub(super) async fn next(&mut self, stream: &mut BlobStream) -> Result<Option<Item>, DecodeError> {
        let Some(step) = self.steps.next() else {
            return Ok(None);
        };
        let expected = self.expected.pop().ok_or(DecodeError::Mismatch)?;
        match step {
            BaoChunk::Parent {
                node,
                is_root,
                left,
                right,
                ..
            } => {
                let mut pair = [0; 64];
                stream.read_exact(&mut pair).await.map_err(DecodeError::Stream)?;
                let (mut left_hash, mut right_hash) = ([0; 32], [0; 32]);
                left_hash.copy_from_slice(&pair[..32]);
                right_hash.copy_from_slice(&pair[32..]);
                if parent_value(&left_hash, &right_hash, is_root) != expected {
                    return Err(DecodeError::Mismatch);
                }
                self.expected.extend(right.then_some(right_hash));
                self.expected.extend(left.then_some(left_hash));
                let number = self.tree.pre_order_offset(node).ok_or(DecodeError::Mismatch)?;
                Ok(Some(Item::Pair {
                    offset: number * 64,
                    pair,
                }))
            }
            BaoChunk::Leaf {
                start_chunk,
                size,
                is_root,
                ..
            } => {
                // The tree's geometry bounds it: never more than a group.
                let mut bytes = vec![0; size.min(GROUP as usize)];
                stream.read_exact(&mut bytes).await.map_err(DecodeError::Stream)?;
                let offset = start_chunk.0 * 1024;
                if subtree_value(offset, &bytes, is_root) != expected {
                    return Err(DecodeError::Mismatch);
                }
                Ok(Some(Item::Group {
                    offset,
                    bytes: bytes.into(),
                }))
            }
        }
    }
}
