//! What can go wrong with bytes on disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use pacmesh_protocol::ids::Digest;

use super::BLOB_LIMIT;

/// Why bytes were not stored, read or removed. Nothing incomplete has got a name.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file system said no.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The disk is fuller than the reserve allows.
    #[error(
        "no room for {wanted} bytes in {}: {free} bytes are free and {reserve} stay reserved; free some space",
        .path.display()
    )]
    NoSpace {
        /// The store's folder.
        path: PathBuf,
        /// How many bytes were to come.
        wanted: u64,
        /// How many bytes are free.
        free: u64,
        /// How many stay free.
        reserve: u64,
    },
    /// Longer than any blob may be.
    #[error("more than {BLOB_LIMIT} bytes, which is longer than a blob may be")]
    TooLarge,
    /// Longer than the reader wants to hold in memory.
    #[error("blob {digest} has {size} bytes where at most {limit} are wanted")]
    TooLong {
        /// Which.
        digest: Digest,
        /// Its length, in bytes.
        size: u64,
        /// What is wanted, in bytes.
        limit: u64,
    },
    /// Not stored here.
    #[error("blob {0} is not here")]
    Missing(Digest),
    /// What is on disk is not what the name says.
    #[error("blob {0} is damaged on disk; remove it and fetch it from another node")]
    Damaged(Digest),
    /// Something needs it.
    #[error("blob {digest} is needed: {}", .reasons.join(", "))]
    Pinned {
        /// Which.
        digest: Digest,
        /// By whom.
        reasons: Vec<String>,
    },
    /// A reason for a pin that cannot be a file name.
    #[error("'{0}' cannot be the reason of a pin: 1 to 128 letters, digits and - _ : are")]
    Reason(String),
    /// The work was given up half way, because the node stops or the writer failed before.
    #[error("the work on a blob was given up")]
    Aborted,
}

/// Names what was being done with which path.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, BlobError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, BlobError> {
        self.map_err(|source| BlobError::Io {
            doing,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}
