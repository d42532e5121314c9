//! The handle to the store. All that touches the disk runs on the blocking pool, but for single lookups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use pacmesh_protocol::ids::Digest;
use tempfile::NamedTempFile;
use tokio::sync::watch;

use super::{
    BLOB_LIMIT, BlobWriter, EncodedBlob, Reserve, Stored,
    disk::{Disk, remove, sync_folder},
    encode,
    error::{BlobError, Doing},
    hasher::{Hashed, Hasher, TreeHasher},
    part,
    pins::Pins,
};

/// How much is read from a file at once, in bytes.
const READ: usize = 1 << 20;

/// A blob that is asked for again within so long is as good as just asked for: not every question costs a write.
const TOUCHED: Duration = Duration::from_secs(600);
/// Most blobs that are remembered as suspect; the scrubber finds the others in its turn.
const SUSPECTS: usize = 1024;

/// The blobs of one node. Clones share it.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
    /// The reserve is kept for what comes by this handle.
    is_own: bool,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    pins: Mutex<Pins>,
    suspects: watch::Sender<BTreeSet<Digest>>,
    /// Sends what it has unverified, as a liar would.
    #[cfg(test)]
    lies: std::sync::atomic::AtomicBool,
}

impl BlobStore {
    /// Opens or creates the store in `folder`. Blocks.
    ///
    /// What was being written is removed; transfers that nobody went on with for a week are.
    pub fn open(folder: &Path, reserve: Reserve) -> Result<Self, BlobError> {
        fs::create_dir_all(folder).doing("create", folder)?;
        let disk = Disk::open(folder, reserve)?;
        part::clean(&disk)?;
        let pins = Mutex::new(Pins::open(disk.pins())?);
        Ok(Self {
            inner: Arc::new(Inner {
                disk,
                pins,
                suspects: watch::Sender::default(),
                #[cfg(test)]
                lies: std::sync::atomic::AtomicBool::new(false),
            }),
            is_own: false,
        })
    }

    /// The same store for what this node made itself: results must fit when nothing else does, and the disk reserve is
    /// there for them and the ledger.
    pub fn own(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            is_own: true,
        }
    }

    /// Stores bytes that are in memory.
    pub async fn put_bytes(&self, bytes: Vec<u8>) -> Result<Digest, BlobError> {
        self.blocking(move |store| {
            let mut tree = TreeHasher::default();
            tree.update(&bytes);
            let (digest, outboard) = tree.finish();
            if store.is_kept(&digest)? {
                return Ok(digest);
            }
            store.room(bytes.len() as u64)?;
            let mut file = store.disk().temporary()?;
            io::Write::write_all(&mut file, &bytes).doing("write", file.path())?;
            store.install(file, &digest, &outboard)?;
            Ok(digest)
        })
        .await
    }

    /// Stores a copy of the file at `path`: a reflink where the file system can, else one pass over its bytes.
    pub async fn put_file(&self, path: &Path) -> Result<Stored, BlobError> {
        let path = path.to_owned();
        self.blocking(move |store| store.copy_in(&path)).await
    }

    /// Begins a blob whose bytes come piece by piece.
    pub async fn writer(&self) -> Result<BlobWriter, BlobError> {
        self.blocking(|store| BlobWriter::new(store.clone())).await
    }

    /// Whether it is here, complete.
    pub fn has(&self, digest: &Digest) -> bool {
        self.disk().blob(digest).is_file()
    }

    /// Which of these are here, complete. They stay for the time of grace from now on: whoever is told that something
    /// is here relies on it before a record names it.
    pub async fn have(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, BlobError> {
        self.blocking(move |store| Ok(digests.into_iter().filter(|digest| store.touch(digest)).collect()))
            .await
    }

    /// Its length in bytes; `None` if it is not here.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        let path = self.disk().blob(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing("look at", &path),
        }
    }

    /// The file that holds it, for reflinks, reading and mounting; nobody writes there.
    pub fn path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.disk().blob(digest)).filter(|path| path.is_file())
    }

    /// Where it lies, or would lie.
    pub(super) fn place(&self, digest: &Digest) -> PathBuf {
        self.disk().blob(digest)
    }

    /// All its bytes, if it has at most `limit`; verified.
    pub async fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
        let digest = *digest;
        self.blocking(move |store| {
            let size = store.size(&digest)?.ok_or(BlobError::Missing(digest))?;
            if size > limit {
                return Err(BlobError::TooLong { digest, size, limit });
            }
            let path = store.disk().blob(&digest);
            let mut bytes = Vec::with_capacity(size as usize);
            let file = File::open(&path).doing("open", &path)?;
            file.take(limit).read_to_end(&mut bytes).doing("read", &path)?;
            if Digest::of(&bytes) == digest {
                Ok(bytes)
            } else {
                store.suspect(&digest);
                Err(BlobError::Damaged(digest))
            }
        })
        .await
    }

    /// Removes it, and what was transferred of it; refused while a pin holds it. Whether it was here.
    pub async fn remove(&self, digest: &Digest) -> Result<bool, BlobError> {
        let digest = *digest;
        self.blocking(move |store| {
            // Held until it is gone, so that no pin comes in between.
            let pins = store.pins_locked();
            let reasons = pins.reasons(&digest);
            if !reasons.is_empty() {
                return Err(BlobError::Pinned { digest, reasons });
            }
            store.discard(&digest)
        })
        .await
    }

    /// All that are here, complete.
    pub async fn list(&self) -> Result<Vec<Digest>, BlobError> {
        self.blocking(|store| store.list_all()).await
    }

    /// Hashes it again; a damaged one is set aside, whatever pins it, so that it can be fetched anew.
    pub async fn verify(&self, digest: &Digest) -> Result<(), BlobError> {
        let digest = *digest;
        self.blocking(move |store| match store.rehash(&digest) {
            Err(BlobError::Damaged(digest)) => {
                store.put_aside(&digest)?;
                Err(BlobError::Damaged(digest))
            }
            result => result.map(drop),
        })
        .await
    }

    /// Puts the file of a damaged blob aside: nothing reads it any more, and it can be fetched anew.
    pub async fn set_aside(&self, digest: &Digest) -> Result<(), BlobError> {
        let digest = *digest;
        self.blocking(move |store| store.put_aside(&digest)).await
    }

    /// Damaged blobs that were set aside and are not here again; the files of those that are go.
    pub async fn damaged(&self) -> Result<Vec<Digest>, BlobError> {
        self.blocking(|store| {
            let folder = store.disk().damaged();
            let mut damaged = Vec::new();
            for entry in fs::read_dir(&folder).doing("list", &folder)? {
                let entry = entry.doing("list", &folder)?;
                let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                if store.has(&digest) {
                    remove(&entry.path())?;
                } else {
                    damaged.push(digest);
                }
            }
            damaged.sort_unstable();
            Ok(damaged)
        })
        .await
    }

    /// Forgets a damaged blob that nobody needs any more.
    pub(super) fn forget_damaged(&self, digest: &Digest) -> Result<(), BlobError> {
        remove(&self.disk().damaged().join(digest.to_string())).map(drop)
    }

    /// Blobs that were found wrong while they were read, as they are found.
    pub(super) fn suspects(&self) -> watch::Receiver<BTreeSet<Digest>> {
        self.inner.suspects.subscribe()
    }

    /// Something is wrong with a blob: the scrubber looks at it next.
    pub(super) fn suspect(&self, digest: &Digest) {
        tracing::warn!(blob = %digest.short(), "a blob did not read as its name says");
        self.inner
            .suspects
            .send_if_modified(|suspects| suspects.len() < SUSPECTS && suspects.insert(*digest));
    }

    #[cfg(test)]
    pub(super) fn lie(&self) {
        self.inner.lies.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn is_liar(&self) -> bool {
        self.inner.lies.load(std::sync::atomic::Ordering::Relaxed)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests make a liar of a store here")]
    pub(super) const fn is_liar(&self) -> bool {
        false
    }

    /// Forgets the hash tree of a blob; it is made anew when somebody wants the blob.
    pub(super) async fn forget_tree(&self, digest: &Digest) -> Result<(), BlobError> {
        let digest = *digest;
        self.blocking(move |store| remove(&store.disk().outboard(&digest)).map(drop))
            .await
    }

    /// The scrubber takes a suspect.
    pub(super) fn take_suspect(&self) -> Option<Digest> {
        let mut taken = None;
        self.inner.suspects.send_if_modified(|suspects| {
            taken = suspects.pop_first();
            false
        });
        taken
    }

    /// Keeps it from being removed, now or once it is here; durable on return.
    pub async fn pin(&self, digest: &Digest, reason: &str) -> Result<(), BlobError> {
        let (digest, reason) = (*digest, reason.to_owned());
        self.blocking(move |store| store.pins_locked().pin(digest, &reason))
            .await
    }

    /// Takes a pin back; one that is not there is no error.
    pub async fn unpin(&self, digest: &Digest, reason: &str) -> Result<(), BlobError> {
        let (digest, reason) = (*digest, reason.to_owned());
        self.blocking(move |store| store.pins_locked().unpin(&digest, &reason))
            .await
    }

    /// All pins: blob, then reasons.
    pub fn pins(&self) -> BTreeMap<Digest, BTreeSet<String>> {
        self.pins_locked().all()
    }

    /// Whether so many bytes fit besides the reserve.
    pub fn room_for(&self, bytes: u64) -> Result<(), BlobError> {
        self.disk().room_for(bytes)
    }

    /// Encodes it from byte `offset` on, a multiple of 16 KiB below its length, for [`super::Fetcher`] on another node.
    /// `None` if it is not here or the offset is none.
    pub async fn encode(&self, digest: Digest, offset: u64) -> Result<Option<EncodedBlob>, BlobError> {
        self.blocking(move |store| encode::encode(store, digest, offset))
            .await
    }

    /// Runs work on the blocking pool.
    pub(super) async fn blocking<T, F>(&self, work: F) -> Result<T, BlobError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, BlobError> + Send + 'static,
    {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or(Err(BlobError::Aborted))
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.inner.disk
    }

    /// Refuses what does not fit; what this node made may use the reserve.
    pub(super) fn room(&self, bytes: u64) -> Result<(), BlobError> {
        if self.is_own {
            Ok(())
        } else {
            self.disk().room_for(bytes)
        }
    }

    /// Whether it is here; if so, its time of grace begins anew (see [`super::gc`]).
    fn touch(&self, digest: &Digest) -> bool {
        // Held, so that it is not collected between the look and the touch.
        let _pins = self.pins_locked();
        let path = self.disk().blob(digest);
        let Ok(metadata) = fs::metadata(&path) else {
            return false;
        };
        let now = SystemTime::now();
        let age = metadata
            .modified()
            .ok()
            .and_then(|time| now.duration_since(time).ok());
        if age.is_none_or(|age| age > TOUCHED)
            && let Err(error) = File::open(&path).and_then(|file| file.set_modified(now))
        {
            tracing::warn!(blob = %digest.short(), %error, "a blob's time of grace cannot be renewed");
        }
        metadata.is_file()
    }

    /// All that are here, with length and the moment from which their time of grace counts.
    pub(super) fn ages(&self) -> Result<Vec<(Digest, u64, SystemTime)>, BlobError> {
        let mut ages = Vec::new();
        for digest in self.list_all()? {
            let path = self.disk().blob(&digest);
            // One that went meanwhile is no error.
            if let Ok(metadata) = fs::metadata(&path) {
                ages.push((
                    digest,
                    metadata.len(),
                    metadata.modified().doing("look at", &path)?,
                ));
            }
        }
        Ok(ages)
    }

    /// Removes it, unless something pins it or somebody asked for it after `before`. Whether it went.
    pub(super) fn collect(&self, digest: &Digest, before: SystemTime) -> Result<bool, BlobError> {
        let pins = self.pins_locked();
        let touched = fs::metadata(self.disk().blob(digest)).and_then(|metadata| metadata.modified());
        if !pins.reasons(digest).is_empty() || touched.is_ok_and(|touched| touched > before) {
            return Ok(false);
        }
        self.discard(digest)
    }

    fn put_aside(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.disk().blob(digest);
        match fs::rename(&path, self.disk().damaged().join(digest.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.doing("set aside", &path)?,
        }
        remove(&self.disk().outboard(digest))?;
        sync_folder(&self.disk().damaged())?;
        sync_folder(path.parent().unwrap_or(self.disk().root()))
    }

    /// Whether it is here, and durable: another task may have named it this very moment.
    pub(super) fn is_kept(&self, digest: &Digest) -> Result<bool, BlobError> {
        if !self.touch(digest) {
            return Ok(false);
        }
        let path = self.disk().blob(digest);
        sync_folder(path.parent().unwrap_or(self.disk().root()))?;
        Ok(true)
    }

    /// Syncs `file` and gives it its name.
    pub(super) fn install(
        &self,
        file: NamedTempFile,
        digest: &Digest,
        outboard: &[u8],
    ) -> Result<(), BlobError> {
        file.as_file().sync_data().doing("sync", file.path())?;
        self.disk().install(digest, outboard, |path| {
            file.persist(path)?;
            Ok(())
        })
    }

    /// Hashes the file of a blob; its hash tree.
    pub(super) fn rehash(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let path = self.disk().blob(digest);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BlobError::Missing(*digest)),
            file => file.doing("open", &path)?,
        };
        let mut tree = TreeHasher::default();
        read_all(&mut file, &path, |bytes| {
            tree.update(bytes);
            Ok(())
        })?;
        let (found, outboard) = tree.finish();
        if found == *digest {
            Ok(outboard)
        } else {
            Err(BlobError::Damaged(*digest))
        }
    }

    fn copy_in(&self, path: &Path) -> Result<Stored, BlobError> {
        let mut source = File::open(path).doing("open", path)?;
        let size = source.metadata().doing("look at", path)?.len();
        if size > BLOB_LIMIT {
            return Err(BlobError::TooLarge);
        }
        self.room(size)?;
        let mut copy = self.disk().temporary()?;
        let cloned = rustix::fs::ioctl_ficlone(copy.as_file(), &source).is_ok();
        let mut hasher = Hasher::default();
        let copy_path = copy.path().to_owned();
        if cloned {
            // The clone is hashed, not the source: only the clone cannot change meanwhile.
            read_all(copy.as_file_mut(), &copy_path, |bytes| {
                hasher.update(bytes);
                Ok(())
            })?;
        } else {
            read_all(&mut source, path, |bytes| {
                hasher.update(bytes);
                io::Write::write_all(&mut copy, bytes).doing("write", &copy_path)
            })?;
        }
        let Hashed { stored, outboard } = hasher.finish();
        if !self.is_kept(&stored.digest)? {
            self.install(copy, &stored.digest, &outboard)?;
        }
        Ok(stored)
    }

    fn list_all(&self) -> Result<Vec<Digest>, BlobError> {
        let root = self.disk().root();
        let mut digests = Vec::new();
        for folder in fs::read_dir(root).doing("list", root)? {
            let folder = folder.doing("list", root)?;
            // `ab`; the other folders have longer names.
            if folder.file_name().len() != 2 {
                continue;
            }
            let path = folder.path();
            for entry in fs::read_dir(&path).doing("list", &path)? {
                let name = entry.doing("list", &path)?.file_name();
                digests.extend(name.to_str().and_then(|name| name.parse::<Digest>().ok()));
            }
        }
        digests.sort_unstable();
        Ok(digests)
    }

    fn discard(&self, digest: &Digest) -> Result<bool, BlobError> {
        part::discard(self.disk(), digest)?;
        let path = self.disk().blob(digest);
        let was_here = remove(&path)?;
        remove(&self.disk().outboard(digest))?;
        if was_here {
            sync_folder(path.parent().unwrap_or(self.disk().root()))?;
        }
        Ok(was_here)
    }

    fn pins_locked(&self) -> MutexGuard<'_, Pins> {
        // The table changes only after the disk did.
        self.inner.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes all bytes of a file to `take`; refuses more than a blob may have.
fn read_all(
    file: &mut File,
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    let mut buffer = vec![0; READ];
    let mut total = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).doing("read", path),
        };
        total += read as u64;
        if total > BLOB_LIMIT {
            return Err(BlobError::TooLarge);
        }
        take(&buffer[..read])?;
    }
}
