//! Scrubbing: everything that this node keeps is read again, slowly and for ever; what is damaged is set aside and
//! mended from another copy. `repo check` does the same at once.
//!
//! One item after the other, in a fixed order, so that how far it came is one item; it is written down, and a machine
//! that is on for an hour a day comes round as well. The rate is `config.blobs.scrub_rate`, a quarter of it while
//! something is built here.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    codec,
    ids::Digest,
    ledger::{kinds::GenerationKey, named::Named},
    names::PackageFileName,
    roles::Role,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

use super::{
    BlobStore,
    error::{BlobError, Doing},
};
use crate::{
    error::chain,
    repository::{
        Mend,
        layout::path_of,
        shown::{Archive, PublicFile},
    },
    rooms::Rooms,
};

/// How much is read at once, in bytes.
const PIECE: usize = 256 << 10;
/// How often it is written down how far the scrubber came.
const NOTE: Duration = Duration::from_secs(60);
/// Greatest length of that note, in bytes.
const NOTE_LIMIT: usize = 1024;
/// How many times slower it goes while something is built here.
const BUSY: u32 = 4;

/// Something that can be read again, in the order in which it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Item {
    /// A blob.
    Blob(Digest),
    /// A package file that pacman may ask for.
    File(GenerationKey, PackageFileName),
    /// The databases of a place.
    Databases(GenerationKey),
}

/// Something that was found damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, for people.
    pub what: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is whole again.
    pub healed: bool,
}

/// How fast to read.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// As fast as the disk.
    Full,
    /// So many bytes a second.
    Slow(u64),
}

impl Pace {
    async fn rest(self, rooms: &Rooms, bytes: usize) {
        let Self::Slow(rate) = self else { return };
        let rest = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let busy = rooms.worker.running() > 0;
        tokio::time::sleep(if busy { rest * BUSY } else { rest }).await;
    }
}

/// Reads everything once, as fast as it can; gives how many items and bytes there were, and what was damaged.
///
/// # Errors
///
/// Fails if blobs cannot be listed.
pub async fn check(rooms: &Arc<Rooms>) -> Result<(usize, u64, Vec<Finding>), BlobError> {
    let check = Check::begin(rooms, Pace::Full).await;
    let items = items(rooms).await?;
    let (count, mut bytes, mut findings) = (items.len(), 0, Vec::new());
    for damaged in rooms.blobs.damaged().await? {
        findings.extend(check.heal(damaged).await);
    }
    for item in items {
        bytes += check.look(&item, &mut findings).await;
    }
    Ok((count, bytes, findings))
}

/// Scrubs until `stop` says so.
pub async fn scrub(rooms: Arc<Rooms>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        _ = stop.changed() => {}
        () = go_round(&rooms) => {}
    }
}

async fn go_round(rooms: &Arc<Rooms>) {
    let mut suspects = rooms.blobs.suspects();
    let mut noted = Instant::now();
    loop {
        let begun = Instant::now();
        let after = rooms.blobs.scrubbed().await;
        let items = items(rooms).await.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "what is kept here cannot be listed");
            Vec::new()
        });
        let check = Check::begin(rooms, Pace::Slow(rooms.config.blobs.scrub_rate)).await;
        for item in items
            .into_iter()
            .filter(|item| after.as_ref().is_none_or(|after| item > after))
        {
            look_at_suspects(rooms).await;
            check.look(&item, &mut Vec::new()).await;
            if noted.elapsed() >= NOTE {
                noted = Instant::now();
                rooms.blobs.note_scrubbed(Some(&item)).await;
            }
        }
        rooms.blobs.note_scrubbed(None).await;
        let next = begun + rooms.config.blobs.scrub;
        loop {
            look_at_suspects(rooms).await;
            tokio::select! {
                changed = suspects.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next) => break,
            }
        }
    }
}

/// What was found wrong while it was read does not wait for its turn.
async fn look_at_suspects(rooms: &Arc<Rooms>) {
    while let Some(suspect) = rooms.blobs.take_suspect() {
        let check = Check::begin(rooms, Pace::Full).await;
        check.look(&Item::Blob(suspect), &mut Vec::new()).await;
        // It may have been the hash tree that was wrong.
        if let Err(error) = rooms.blobs.forget_tree(&suspect).await {
            tracing::warn!(error = chain(&error), "a hash tree cannot be removed");
        }
    }
}

/// All that can be read again, in order.
async fn items(rooms: &Rooms) -> Result<Vec<Item>, BlobError> {
    let mut items: BTreeSet<Item> = rooms.blobs.list().await?.into_iter().map(Item::Blob).collect();
    let catalogue = rooms.repository.catalogue();
    for key in catalogue.keys() {
        let Some(shown) = catalogue.shown(&key) else {
            continue;
        };
        let files = shown.archives.keys().chain(shown.departed.keys());
        items.extend(files.map(|file| Item::File(key.clone(), file.clone())));
        items.insert(Item::Databases(key));
    }
    Ok(items.into_iter().collect())
}

/// One reading.
struct Check<'a> {
    rooms: &'a Arc<Rooms>,
    named: Named,
    pace: Pace,
}

impl<'a> Check<'a> {
    async fn begin(rooms: &'a Arc<Rooms>, pace: Pace) -> Self {
        let named = rooms.ledger.named().await.unwrap_or_default();
        Self { rooms, named, pace }
    }

    /// Reads one item, and mends it where it is damaged. Gives how many bytes it had.
    async fn look(&self, item: &Item, findings: &mut Vec<Finding>) -> u64 {
        match item {
            Item::Blob(blob) => self.look_at_blob(*blob, findings).await,
            Item::File(key, file) => self.look_at_file(key, file, findings).await,
            Item::Databases(key) => self.look_at_databases(key, findings).await,
        }
    }

    async fn look_at_blob(&self, blob: Digest, findings: &mut Vec<Finding>) -> u64 {
        let Some(path) = self.rooms.blobs.path(&blob) else {
            return 0;
        };
        let (found, bytes) = match self.hash(path.clone()).await {
            Ok(Some(read)) => read,
            // It went meanwhile.
            Ok(None) => return 0,
            // What cannot be read is as good as damaged.
            Err(error) => {
                tracing::warn!(error = chain(&error), "a blob cannot be read");
                (Digest([0; 32]), 0)
            }
        };
        if found == blob {
            return bytes;
        }
        tracing::warn!(%blob, "a blob is damaged on disk and is set aside");
        if let Err(error) = self.rooms.blobs.set_aside(&blob).await {
            tracing::warn!(error = chain(&error), "a damaged blob cannot be set aside");
        }
        findings.extend(self.heal(blob).await);
        // Blocks may be shared with what was made of it.
        for (key, file) in self.made_of(&blob) {
            self.look_at_file(&key, &file, findings).await;
        }
        bytes
    }

    /// Gets back a blob that was set aside: from the file that was made of it, else from whoever has it.
    async fn heal(&self, blob: Digest) -> Option<Finding> {
        let rooms = self.rooms;
        let what = self.named.get(&blob).map(|(_, what)| what.to_string());
        if what.is_none() && !rooms.blobs.pins().contains_key(&blob) {
            // Nothing needs it: it is gone for good.
            return None;
        }
        for (key, file) in self.made_of(&blob) {
            let path = self.served(&key, &PublicFile::Archive(file));
            if matches!(self.hash(path.clone()).await, Ok(Some((found, _))) if found == blob)
                && let Err(error) = rooms.blobs.own().put_file(&path).await
            {
                tracing::warn!(error = chain(&error), "a blob could not be copied back");
            }
        }
        let others = rooms.transport.connected();
        let healed = rooms.obtain(&[blob], &others).await.is_empty();
        if let Err(error) = rooms.blobs.damaged().await {
            tracing::debug!(error = chain(&error), "what was set aside could not be looked at");
        }
        tracing::info!(%blob, healed, "a damaged blob was to be had anew");
        Some(Finding {
            what: what.unwrap_or_else(|| "a blob that a build needs".to_owned()),
            path: rooms.blobs.place(&blob),
            healed,
        })
    }

    async fn look_at_file(
        &self,
        key: &GenerationKey,
        file: &PackageFileName,
        findings: &mut Vec<Finding>,
    ) -> u64 {
        let catalogue = self.rooms.repository.catalogue();
        let Some(archive) = catalogue.shown(key).and_then(|shown| shown.archive(file)) else {
            return 0;
        };
        let path = self.served(key, &PublicFile::Archive(file.clone()));
        if findings.iter().any(|known| known.path == path) {
            return 0;
        }
        let view = self.rooms.ledger.view();
        let (found, bytes) = match self.hash(path.clone()).await {
            Ok(Some(read)) => read,
            // Withdrawn because it was damaged, or lost; what nobody has may have come meanwhile.
            Ok(None) if view.has_role(&self.rooms.node, Role::Storage) => (Digest([0; 32]), 0),
            // A node that keeps nothing serves it from others.
            Ok(None) => return 0,
            Err(error) => {
                tracing::warn!(error = chain(&error), "a package file cannot be read");
                (Digest([0; 32]), 0)
            }
        };
        if found != archive.blake3 || !self.is_signature_right(key, file).await {
            findings.push(self.mend_file(key, file, archive, path).await);
        }
        bytes
    }

    /// Whether the signature beside a package in force is the one that the record names.
    async fn is_signature_right(&self, key: &GenerationKey, file: &PackageFileName) -> bool {
        let Some(wanted) = self.signature_of(key, file) else {
            return true;
        };
        let path = self.served(key, &PublicFile::Signature(file.clone()));
        matches!(self.hash(path).await, Ok(Some((found, _))) if found == wanted)
    }

    async fn mend_file(
        &self,
        key: &GenerationKey,
        file: &PackageFileName,
        archive: Archive,
        path: PathBuf,
    ) -> Finding {
        tracing::warn!(path = %path.display(), "a package file is damaged or gone");
        let wanted: Vec<Digest> = [Some(archive.blake3), self.signature_of(key, file)]
            .into_iter()
            .flatten()
            .collect();
        let others = self.rooms.transport.connected();
        let missing = self.rooms.obtain(&wanted, &others).await;
        let mut whole = missing.is_empty();
        for blob in &wanted {
            // Only what was just read is written over what readers get.
            whole = whole && self.rooms.blobs.verify(blob).await.is_ok();
        }
        let mend = Mend::File {
            key: key.clone(),
            file: file.clone(),
            archive: whole.then_some(archive.blake3),
            signature: self.signature_of(key, file),
        };
        Finding {
            what: format!("the package file {file} of {}", file.name()),
            path,
            healed: self.rooms.repository.mend(mend).await && whole,
        }
    }

    async fn look_at_databases(&self, key: &GenerationKey, findings: &mut Vec<Finding>) -> u64 {
        let Some(shown) = self.rooms.repository.catalogue().shown(key) else {
            return 0;
        };
        let mut bytes = 0;
        for (ending, wanted) in [("db", shown.generation.db), ("files", shown.generation.files)] {
            let name = format!("{}.{ending}", key.repository);
            let path = self.served(key, &PublicFile::Database(name.clone()));
            match self.hash(path.clone()).await {
                Ok(Some((found, read))) if found == wanted => bytes += read,
                _ => {
                    tracing::warn!(path = %path.display(), "a database is damaged");
                    let healed = self.rooms.repository.mend(Mend::Databases(key.clone())).await;
                    let what = format!("the database {name} of {}/{}", key.repository, key.arch);
                    findings.push(Finding { what, path, healed });
                }
            }
        }
        bytes
    }

    fn served(&self, key: &GenerationKey, file: &PublicFile) -> PathBuf {
        path_of(&self.rooms.config.home.repository(), key, file)
    }

    fn signature_of(&self, key: &GenerationKey, file: &PackageFileName) -> Option<Digest> {
        let view = self.rooms.ledger.view();
        let mut releases = view.releases(&key.repository, &key.arch);
        releases.find(|(_, release)| release.file == *file)?.1.signature
    }

    /// The package files that were made of a blob.
    fn made_of(&self, blob: &Digest) -> Vec<(GenerationKey, PackageFileName)> {
        let Some(file) = self.named.get(blob).and_then(|(_, what)| what.file().cloned()) else {
            return Vec::new();
        };
        let catalogue = self.rooms.repository.catalogue();
        let shows = |key: &GenerationKey| {
            let shown = catalogue.shown(key).and_then(|shown| shown.archive(&file));
            shown.is_some_and(|archive| archive.blake3 == *blob)
        };
        let keys = catalogue.keys().into_iter().filter(shows);
        keys.map(|key| (key, file.clone())).collect()
    }

    /// Hashes a file at this reading's pace; `None` if it is not there.
    async fn hash(&self, path: PathBuf) -> Result<Option<(Digest, u64)>, BlobError> {
        let opening = path.clone();
        let opened = self
            .rooms
            .blobs
            .blocking(move |_| match std::fs::File::open(&opening) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                file => file.doing("open", &opening).map(Some),
            })
            .await?;
        let Some(file) = opened else { return Ok(None) };
        let mut state = (file, blake3::Hasher::new(), vec![0; PIECE]);
        let mut total = 0;
        loop {
            let reading = path.clone();
            let (back, read) = self
                .rooms
                .blobs
                .blocking(move |_| {
                    let (mut file, mut hasher, mut buffer) = state;
                    let read = file.read(&mut buffer).doing("read", &reading)?;
                    hasher.update(&buffer[..read]);
                    Ok(((file, hasher, buffer), read))
                })
                .await?;
            state = back;
            if read == 0 {
                let digest = Digest(*state.1.finalize().as_bytes());
                return Ok(Some((digest, total)));
            }
            total += read as u64;
            self.pace.rest(self.rooms, read).await;
        }
    }
}

impl BlobStore {
    /// The last item of the reading that was under way; `None` if none was.
    async fn scrubbed(&self) -> Option<Item> {
        let read = self.blocking(|store| {
            let path = store.disk().scrubbed();
            std::fs::read(&path).doing("read", &path)
        });
        codec::decode(&read.await.ok()?, NOTE_LIMIT).ok()
    }

    /// Writes down how far a reading came; losing it costs only time.
    async fn note_scrubbed(&self, item: Option<&Item>) {
        let note = item.and_then(|item| codec::encode(item, NOTE_LIMIT).ok());
        let written = self.blocking(move |store| {
            let path = store.disk().scrubbed();
            match note {
                Some(note) => store.disk().write_whole(&path, &note),
                None => super::disk::remove(&path).map(drop),
            }
        });
        if let Err(error) = written.await {
            tracing::debug!(
                error = chain(&error),
                "how far the scrubber came was not written down"
            );
        }
    }
}
