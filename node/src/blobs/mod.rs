//! Bytes on disk, named by their BLAKE3 digest.
//!
//! A name appears only when its bytes are complete, verified and synced. What arrives from another node is verified
//! group by group (16 KiB) before it is kept; what was kept survives a crash, so that a transfer goes on where it
//! stopped. Below the disk reserve nothing is taken.
//!
//! On disk, below the store's folder: `ab/<digest>` and `ab/<digest>.obao4` (the hash tree, for blobs of more than one
//! group), `parts/` (transfers that are not complete), `pins/` (what must stay), `damaged/` (what was found wrong and is
//! not here again yet), `scrubbed` (how far the scrubber came), `tmp/` (emptied at start).

mod decode;
mod disk;
mod encode;
mod error;
mod fetch;
pub mod gc;
mod hasher;
mod part;
mod pins;
pub mod scrub;
mod store;
mod writer;

use bao_tree::BlockSize;
use pacmesh_protocol::ids::{Digest, Sha256};

pub use self::{
    disk::Reserve,
    encode::EncodedBlob,
    error::BlobError,
    fetch::{FetchError, Fetcher},
    store::BlobStore,
    writer::BlobWriter,
};

/// Greatest length of a blob, in bytes (FORMATS, "Numbers": archive).
pub const BLOB_LIMIT: u64 = 16 << 30;
/// What is verified at once, in bytes.
pub(crate) const GROUP: u64 = 16 << 10;
/// The same in the words of `bao_tree`: 2^4 chunks of 1 KiB.
const BLOCK: BlockSize = BlockSize::from_chunk_log(4);

/// What is known of bytes that were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Their name.
    pub digest: Digest,
    /// The hash that pacman's databases carry.
    pub sha256: Sha256,
    /// Their length, in bytes.
    pub size: u64,
}

#[cfg(test)]
mod tests;
