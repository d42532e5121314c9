//! All keys of a node in one file, sealed with a passphrase, and what else the node needs to come back.
//!
//! The file is a plain head (what it is, how its key is made from the passphrase), then one AES-256-GCM message whose
//! associated data is that head. Argon2id makes the key, and beside it a few bytes that tell a wrong passphrase from a
//! damaged file. What the keys belong to ([`Opened::about`]) is bytes to this crate: the node reads and writes them.

mod envelope;
mod passphrase;

use std::path::PathBuf;

use pacmesh_protocol::ids::{MeshId, NodeId};
use zeroize::Zeroizing;

pub use self::passphrase::{Passphrase, PassphraseError};
use crate::{
    key_file::KeyFile,
    membership::{AUTHORITY_FILE, Authority},
    node_key::{self, NodeKey},
    openpgp::PACKAGE_KEY_FILE,
    secret::{SecretError, SecretsDir},
};

/// Greatest length of what a backup holds besides keys, in bytes: the ledger of years.
pub const ABOUT_LIMIT: usize = 64 << 20;
/// Greatest length of a backup, in bytes.
pub const BACKUP_LIMIT: usize = ABOUT_LIMIT + (64 << 10);

/// The keys that a backup may hold, in the order in which they stand there.
const KEYS: [KeyFile; 3] = [node_key::FILE, PACKAGE_KEY_FILE, AUTHORITY_FILE];
/// How many of [`KEYS`] every node has; the authority is on few.
const COMMON: usize = 2;

/// Why a backup was not made or not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A key of this home cannot be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Something else.
    #[error("it is no backup of pacmesh: name the file that 'pacmesh backup' wrote")]
    Foreign,
    /// A later pacmesh wrote it.
    #[error("the backup has version {0}, which this pacmesh does not read: update pacmesh")]
    Version(u16),
    /// Bytes are missing, too many, or not those that were written.
    #[error("the backup is damaged ({0}): use another copy of it")]
    Damaged(&'static str),
    /// The passphrase does not open it.
    #[error("the passphrase is not the one that this backup was made with: try again")]
    Passphrase,
    /// There is more to keep than a backup holds.
    #[error(
        "the backup would have {length} bytes and may have {BACKUP_LIMIT}: this is a fault of pacmesh, report it"
    )]
    TooLong {
        /// How long it would be.
        length: usize,
    },
    /// The cipher refused.
    #[error("the backup cannot be sealed ({0}): is there memory left on this machine?")]
    Cipher(String),
}

/// Seals the keys in `dir` and `about` with `passphrase`; the result is the file.
///
/// # Errors
/// When a key is missing, loose or damaged, or there is too much to keep.
pub fn seal(dir: &SecretsDir, about: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, BackupError> {
    let mut parts = Vec::with_capacity(KEYS.len() + 1);
    for (place, key) in KEYS.iter().enumerate() {
        match key.load_text(dir)? {
            Some(text) => parts.push(text),
            None if place < COMMON => {
                return Err(BackupError::Secret(SecretError::Missing {
                    path: dir.path_of(key.name),
                    kind: key.kind,
                }));
            }
            None => parts.push(Zeroizing::new(Vec::new())),
        }
    }
    parts.push(Zeroizing::new(about.to_vec()));
    envelope::seal(&parts, passphrase)
}

/// A backup that was opened. Shows only whose it is.
pub struct Opened {
    node: NodeId,
    mesh: Option<MeshId>,
    keys: Vec<(KeyFile, Zeroizing<Vec<u8>>)>,
    about: Zeroizing<Vec<u8>>,
}

impl Opened {
    /// Opens a backup.
    ///
    /// # Errors
    /// When it is none, is damaged, or the passphrase is another.
    pub fn open(bytes: &[u8], passphrase: &Passphrase) -> Result<Self, BackupError> {
        let mut parts = envelope::open(bytes, passphrase, KEYS.len() + 1)?;
        let about = parts.pop().ok_or(BackupError::Damaged("nothing but keys"))?;
        let keys: Vec<_> = KEYS
            .into_iter()
            .zip(parts)
            .filter(|(_, text)| !text.is_empty())
            .collect();
        let mut seeds = Vec::with_capacity(keys.len());
        for (key, text) in &keys {
            seeds.push((key.name, key.parse(text).map_err(BackupError::Damaged)?.seed));
        }
        let seed_of = |key: &KeyFile| {
            seeds
                .iter()
                .find(|(name, _)| *name == key.name)
                .map(|(_, seed)| seed)
        };
        let node = seed_of(&node_key::FILE).ok_or(BackupError::Damaged("no identity key"))?;
        Ok(Self {
            node: NodeKey::from_seed(node).id(),
            mesh: seed_of(&AUTHORITY_FILE).map(|seed| Authority::from_seed(seed.clone()).mesh()),
            keys,
            about,
        })
    }

    /// Whose it is.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The mesh whose authority it holds, if it does.
    pub const fn authority(&self) -> Option<MeshId> {
        self.mesh
    }

    /// What was sealed besides keys.
    pub fn about(&self) -> &[u8] {
        &self.about
    }

    /// Writes the keys into `dir`. A different key that is there is put aside, and its new place told; the same one
    /// stays, so that a restore that was cut short can be repeated.
    ///
    /// # Errors
    /// When a key cannot be read or written; those written before stay.
    pub fn store(&self, dir: &SecretsDir) -> Result<Vec<PathBuf>, BackupError> {
        let mut aside = Vec::new();
        for (key, text) in &self.keys {
            // One that cannot be read as a key is put aside as any other.
            let there = key.load_text(dir).ok().flatten();
            if there.is_some_and(|there| there == *text) {
                continue;
            }
            aside.extend(dir.put_aside(key.name)?);
            dir.create(key.name, text)?;
        }
        Ok(aside)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
