//! The handle to the store. All that touches the disk runs on the blocking pool, but for single lookups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pacmesh_protocol::ids::Digest;
use tempfile::NamedTempFile;

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

/// The blobs of one node. Clones share it.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    pins: Mutex<Pins>,
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
            inner: Arc::new(Inner { disk, pins }),
        })
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
            store.disk().room_for(bytes.len() as u64)?;
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

    /// Which of these are here, complete.
    pub async fn have(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, BlobError> {
        self.blocking(move |store| Ok(digests.into_iter().filter(|digest| store.has(digest)).collect()))
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

    /// Hashes it again; a damaged one is removed, whatever pins it, so that it can be fetched anew.
    pub async fn verify(&self, digest: &Digest) -> Result<(), BlobError> {
        let digest = *digest;
        self.blocking(move |store| match store.rehash(&digest) {
            Err(BlobError::Damaged(digest)) => {
                store.discard(&digest)?;
                Err(BlobError::Damaged(digest))
            }
            result => result.map(drop),
        })
        .await
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

    /// Whether it is here, and durable: another task may have named it this very moment.
    pub(super) fn is_kept(&self, digest: &Digest) -> Result<bool, BlobError> {
        let Some(path) = self.path(digest) else {
            return Ok(false);
        };
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
        self.disk().room_for(size)?;
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
