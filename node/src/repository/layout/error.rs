//! Why the files of the repository stay as they are.

use pacmesh_protocol::codec::CodecError;
use pacmesh_protocol::ids::Digest;
use pacmesh_protocol::names::PackageFileName;

use crate::repository::disk::DiskError;
use crate::repository::index::IndexError;

/// Something about a folder of the repository failed or was refused; readers see what they saw before.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The disk refused.
    #[error("the files of the repository could not be changed")]
    Disk(#[from] DiskError),
    /// With `.sig` the name would be longer than a file system takes (255 bytes).
    #[error("the name {0} is too long for a file; shorten pkgver and build it again")]
    NameTooLong(Box<PackageFileName>),
    /// The name stands for other bytes already; a name and version never means two byte strings.
    #[error("{name} already stands for the archive {known}; build it again, the next pkgrel is free")]
    Bound {
        /// The name.
        name: Box<PackageFileName>,
        /// What it stands for.
        known: Digest,
    },
    /// The blob is not as long as the ledger says.
    #[error("the stored copy of {name} has {found} bytes instead of {wanted}; it must be fetched again")]
    Length {
        /// The archive.
        name: Box<PackageFileName>,
        /// Bytes found.
        found: u64,
        /// Bytes promised.
        wanted: u64,
    },
    /// The generation names archives that were not placed.
    #[error("generation {number} names {count} packages that are not here yet, {first} among them")]
    Missing {
        /// The generation.
        number: u64,
        /// How many archives are missing.
        count: usize,
        /// One of them.
        first: Box<PackageFileName>,
    },
    /// The archives that came with a generation are not those of its index.
    #[error("generation {0} comes with other archives than its index names")]
    Inconsistent(u64),
    /// Number or time would go back, or a package would.
    #[error("generation {number} would take readers of generation {shown} back")]
    Backwards {
        /// The one that is shown.
        shown: u64,
        /// The one that was refused.
        number: u64,
    },
    /// The index cannot be written.
    #[error("the index of generation {0} cannot be stored")]
    Index(u64, #[source] IndexError),
    /// The manifest cannot be written.
    #[error("the manifest of generation {0} cannot be stored")]
    Manifest(u64, #[source] CodecError),
}
