//! Archives that were uploaded and are not published yet: blobs that are pinned, and for each a small hidden file of an
//! unguessable name that says what it is. So they survive a restart, and nobody sees them before they are verified.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use pacmesh_protocol::{
    ids::{Digest, Sha256},
    ledger::kinds::GenerationKey,
    names::{PackageFileName, PackageName},
};
use serde::{Deserialize, Serialize};

use crate::{blobs::BlobError, error::chain, rooms::Rooms};

/// Why their blobs are kept.
const PIN: &str = "uploaded";
/// Most archives that wait.
pub(super) const MANY: usize = 10_000;

/// An archive that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Where it goes.
    pub(super) place: GenerationKey,
    /// Its base, by its own word.
    pub(super) base: PackageName,
    /// Its name, by its own word.
    pub(super) file: PackageFileName,
    /// Bytes.
    pub(super) size: u64,
    /// SHA-256.
    pub(super) sha256: Sha256,
    /// The archive.
    pub(super) archive: Digest,
    /// Its signature.
    pub(super) signature: Option<Digest>,
}

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
    /// A process works with it.
    taken: bool,
}

/// All that wait, by the names of their files.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: PathBuf,
    /// Held for look-ups only, never over an await.
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// A waiting archive that one process has; given back, or done with.
pub(super) type Taken = (String, Waiting);

impl Incoming {
    /// Reads what an earlier life took in. What is no longer whole is removed.
    pub(super) async fn open(rooms: &Rooms, folder: PathBuf) -> Self {
        let mut entries = BTreeMap::new();
        for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let waiting = std::fs::read(file.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Waiting>(&bytes).ok());
            match (file.file_name().into_string(), waiting) {
                (Ok(name), Some(waiting)) if rooms.blobs.has(&waiting.archive) => {
                    entries.insert(
                        name,
                        Entry {
                            waiting,
                            taken: false,
                        },
                    );
                }
                _ => remove(&file.path()),
            }
        }
        let incoming = Self {
            folder,
            entries: Mutex::new(entries),
        };
        incoming.unpin_the_rest(rooms).await;
        incoming
    }

    /// A crash between two steps leaves pins that nothing needs.
    async fn unpin_the_rest(&self, rooms: &Rooms) {
        for (blob, reasons) in rooms.blobs.pins() {
            if reasons.contains(PIN) && !self.names(&blob) {
                unpin(rooms, &blob).await;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self, blob: &Digest) -> bool {
        let entries = self.entries();
        entries
            .values()
            .any(|entry| entry.waiting.archive == *blob || entry.waiting.signature == Some(*blob))
    }

    /// Takes an archive in; durable on return. One of the same name that still waits is replaced.
    pub(super) async fn add(&self, rooms: &Rooms, mut waiting: Waiting) -> Result<(), String> {
        let older = self.same(&waiting);
        if older.is_empty() && self.entries().len() >= MANY {
            return Err(format!("{MANY} archives wait already: ask for an update first"));
        }
        let signed = older.iter().find(|(_, old)| old.archive == waiting.archive);
        waiting.signature = waiting.signature.or(signed.and_then(|(_, old)| old.signature));
        for blob in [Some(waiting.archive), waiting.signature].into_iter().flatten() {
            pin(rooms, &blob).await.map_err(|error| chain(&error))?;
        }
        let name = format!(".{}", hex::encode(rand::random::<[u8; 16]>()));
        let (path, bytes) = (self.folder.join(&name), serde_json::to_vec(&waiting));
        let bytes = bytes.map_err(|error| error.to_string())?;
        let written = tokio::task::spawn_blocking(move || write(&path, &bytes)).await;
        written
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("no room for the upload: {error}"))?;
        self.entries().insert(
            name,
            Entry {
                waiting,
                taken: false,
            },
        );
        self.done(rooms, older).await;
        Ok(())
    }

    fn same(&self, waiting: &Waiting) -> Vec<Taken> {
        let entries = self.entries();
        let same = entries.iter().filter(|(_, entry)| {
            let old = &entry.waiting;
            !entry.taken && old.place == waiting.place && old.file == waiting.file
        });
        same.map(|(name, entry)| (name.clone(), entry.waiting.clone()))
            .collect()
    }

    /// Gives a signature to the archive of that name that waits for it; whether there is one.
    pub(super) async fn sign(
        &self,
        rooms: &Rooms,
        place: &GenerationKey,
        file: &str,
        signature: Digest,
    ) -> Result<bool, String> {
        let found = {
            let entries = self.entries();
            let mut waiting = entries.values().map(|entry| &entry.waiting);
            waiting
                .find(|waiting| waiting.place == *place && is_named(&waiting.file, file))
                .cloned()
        };
        let Some(found) = found else { return Ok(false) };
        let signed = Waiting {
            signature: Some(signature),
            ..found
        };
        self.add(rooms, signed).await?;
        Ok(true)
    }

    /// Takes all that wait at a place and that no other process has.
    pub(super) fn take(&self, place: &GenerationKey) -> Vec<Taken> {
        let mut entries = self.entries();
        let free = entries
            .iter_mut()
            .filter(|(_, entry)| !entry.taken && entry.waiting.place == *place);
        free.map(|(name, entry)| {
            entry.taken = true;
            (name.clone(), entry.waiting.clone())
        })
        .collect()
    }

    /// Lets another process take these.
    pub(super) fn give_back(&self, taken: &[Taken]) {
        let mut entries = self.entries();
        for (name, _) in taken {
            if let Some(entry) = entries.get_mut(name) {
                entry.taken = false;
            }
        }
    }

    /// Forgets these: they are published, or will never be.
    pub(super) async fn done(&self, rooms: &Rooms, taken: Vec<Taken>) {
        for (name, waiting) in taken {
            self.entries().remove(&name);
            remove(&self.folder.join(&name));
            for blob in [Some(waiting.archive), waiting.signature].into_iter().flatten() {
                if !self.names(&blob) {
                    unpin(rooms, &blob).await;
                }
            }
        }
    }

    /// Forgets what waits of a base.
    pub(super) async fn forget(&self, rooms: &Rooms, place: &GenerationKey, base: &PackageName) {
        let of_base: Vec<Taken> = {
            let entries = self.entries();
            let of_base = entries.iter().filter(|(_, entry)| {
                !entry.taken && entry.waiting.place == *place && entry.waiting.base == *base
            });
            of_base
                .map(|(name, entry)| (name.clone(), entry.waiting.clone()))
                .collect()
        };
        self.done(rooms, of_base).await;
    }
}

/// Whether a client's name of an archive is the archive's own: clients replace what they find unsafe in a URL.
fn is_named(own: &PackageFileName, said: &str) -> bool {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "-._~:[]@".contains(c) {
            c
        } else {
            '-'
        }
    };
    let own = own.to_string();
    own == said || own.chars().map(safe).collect::<String>() == said
}

async fn pin(rooms: &Rooms, blob: &Digest) -> Result<(), BlobError> {
    rooms.blobs.pin(blob, PIN).await
}

async fn unpin(rooms: &Rooms, blob: &Digest) {
    if let Err(error) = rooms.blobs.unpin(blob, PIN).await {
        tracing::warn!(error = chain(&error), "an uploaded archive stays pinned");
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an uploaded archive is not forgotten");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_by_its_name_and_by_the_one_that_clients_make_of_it() {
        let own = "a+b-1:2.0-1-x86_64.pkg.tar.zst".parse().unwrap();
        assert!(is_named(&own, "a+b-1:2.0-1-x86_64.pkg.tar.zst"));
        assert!(is_named(&own, "a-b-1:2.0-1-x86_64.pkg.tar.zst"));
        assert!(!is_named(&own, "a_b-1:2.0-1-x86_64.pkg.tar.zst"));
    }
}
