//! Entering a mesh: founding one, inviting, joining, and judging who stands at the door.

mod authority;
mod backup;
mod found;
mod gate;
mod invite;
mod join;
mod seat;

pub use authority::authority;
pub use backup::{back_up, back_up_from, backup_kept, has_backup, note_backup, restore};
pub use found::found;
pub use gate::DoorKeeper;
pub use invite::{Invited, invite};
pub use join::join;
pub use seat::{Keys, Seat, Standing};

use std::path::PathBuf;

use pacmesh_protocol::{codec::CodecError, ledger::record::RecordError};
use pacmesh_signing::{
    SecretError,
    backup::BackupError,
    membership::{RecoveryError, TokenError},
    openpgp::SignError,
};

use crate::{blobs::BlobError, home::HomeError, ledger::LedgerError};

/// Why a node could not found, enter or open its mesh; nothing that it had before is lost.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// It belongs to one already.
    #[error(
        "this node is in the mesh '{mesh}' already: 'pacmesh leave' first, or pass another --home for a second node"
    )]
    Already {
        /// Its display name.
        mesh: String,
    },
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key cannot be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The package key cannot be read or written.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The ledger cannot be opened or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A blob cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// What was to be recorded has no encoding.
    #[error("what was to be recorded is too long: choose shorter names")]
    Codec(#[from] CodecError),
    /// A record of one's own cannot be read back.
    #[error("a record that this node wrote cannot be read: restore a backup of {path}")]
    Record {
        /// Of the ledger.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// A file of the home cannot be used.
    #[error("cannot use {path}: make it readable and writable for this user")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what this binary writes.
    #[error("{path} is not readable by this pacmesh: restore a backup of it, or update pacmesh")]
    Standing {
        /// Which.
        path: PathBuf,
    },
    /// The token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The authority key is not in this home.
    #[error(
        "the authority key is not in this home: type this where 'pacmesh init' was typed, or pass --authority FILE with the key or the recovery code"
    )]
    NoAuthority,
    /// What was brought along is no recovery code.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A key that was brought along is another mesh's.
    #[error("that authority key is another mesh's: bring the key of this one")]
    OtherAuthority,
    /// Nobody at the addresses of the token let this node in.
    #[error("{0}")]
    NotAdmitted(String),
    /// There is nothing to back up yet.
    #[error(
        "this node belongs to no mesh yet and has nothing to back up: type 'pacmesh init' or 'pacmesh join' first"
    )]
    NoMesh,
    /// A backup cannot be made or opened.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What stands beside the keys is of another version.
    #[error("the backup holds what this pacmesh does not read: update pacmesh")]
    NoRestore,
    /// The work was given up because the process ends.
    #[error("the work was cut short: try again")]
    CutShort,
    /// Another process holds the home.
    #[error("another pacmesh runs with the home {path}: stop it, or pass another --home")]
    Busy {
        /// Which.
        path: PathBuf,
    },
}
