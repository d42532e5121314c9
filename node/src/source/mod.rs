//! Source trees: what a PKGBUILD names, as one blob, and back again.
//!
//! Packing trusts the directory (it is the caller's own) and never runs the PKGBUILD. Unpacking trusts nothing: a
//! tree comes from another node, so every path, length and hash is checked before it touches memory or disk.

mod epoch;
mod fetched;
mod pack;
mod select;
mod tree;
mod unpack;

pub use pack::{PackOptions, Packed, pack};
pub use tree::{TreeError, TreeLimits};
pub use unpack::{Unpacked, unpack};

use std::path::PathBuf;

/// Why a directory is not a source tree, or a blob not one.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The directory has no PKGBUILD; nothing was written.
    #[error(
        "{} has no PKGBUILD: name a directory that holds one, or change into it and type 'pacmesh build'",
        .0.display()
    )]
    NoPkgbuild(PathBuf),
    /// A path that cannot be part of a tree; nothing was written.
    #[error("{} cannot be packed: {reason}", .path.display())]
    Unpackable {
        /// What stands in the way.
        path: PathBuf,
        /// Why, and what to do about it.
        reason: String,
    },
    /// More than the caller agreed to, but not more than is possible.
    #[error(
        "{} holds {mebibytes} MiB of sources, more than the usual {limit} MiB: repeat with --force, or leave files \
         out by moving them elsewhere",
        .directory.display()
    )]
    Large {
        /// The source directory.
        directory: PathBuf,
        /// What it holds, in MiB.
        mebibytes: u64,
        /// What passes without asking, in MiB.
        limit: u64,
    },
    /// A file changed between the two passes over it.
    #[error("{} changed while it was packed: try again", .0.display())]
    Changed(PathBuf),
    /// The blob is not a source tree; what was written of it has to be removed by the caller.
    #[error("not a source tree")]
    Tree(#[from] TreeError),
    /// The disk or the file system refused; what was written has to be removed by the caller.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl SourceError {
    /// An adapter for `map_err`: what was tried on which path.
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

#[cfg(test)]
mod tests;
