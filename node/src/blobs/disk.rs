//! Where things lie in the store's folder, how they become durable, and how much of the disk stays free.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use pacmesh_protocol::ids::Digest;
use tempfile::NamedTempFile;

use super::error::{BlobError, Doing};

/// How much of the disk stays free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// max(1 GiB, 5 %) (FORMATS, "Numbers").
    Standard,
    /// So many bytes.
    Bytes(u64),
}

/// The store's folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    reserve: Reserve,
}

impl Disk {
    /// Creates what is missing and empties `tmp/`.
    pub(super) fn open(root: &Path, reserve: Reserve) -> Result<Self, BlobError> {
        let disk = Self {
            root: root.to_owned(),
            reserve,
        };
        let tmp = disk.tmp();
        match fs::remove_dir_all(&tmp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).doing("empty", &tmp),
            _ => {}
        }
        for folder in [tmp, disk.parts(), disk.pins(), disk.damaged()] {
            fs::create_dir_all(&folder).doing("create", &folder)?;
        }
        sync_folder(root)?;
        Ok(disk)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(name)
    }

    pub(super) fn outboard(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(name + ".obao4")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn parts(&self) -> PathBuf {
        self.root.join("parts")
    }

    pub(super) fn pins(&self) -> PathBuf {
        self.root.join("pins")
    }

    /// Where damaged blobs lie until they are here again.
    pub(super) fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// How far the scrubber came.
    pub(super) fn scrubbed(&self) -> PathBuf {
        self.root.join("scrubbed")
    }

    /// A file that vanishes unless it is given a name.
    pub(super) fn temporary(&self) -> Result<NamedTempFile, BlobError> {
        let tmp = self.tmp();
        NamedTempFile::new_in(&tmp).doing("create a file in", &tmp)
    }

    /// Free bytes, and how many of them stay reserved.
    pub(super) fn space(&self) -> Result<(u64, u64), BlobError> {
        let volume = rustix::fs::statvfs(&self.root).doing("measure", &self.root)?;
        let free = volume.f_bavail.saturating_mul(volume.f_frsize);
        let reserve = match self.reserve {
            Reserve::Bytes(bytes) => bytes,
            Reserve::Standard => (1 << 30).max(volume.f_blocks.saturating_mul(volume.f_frsize) / 20),
        };
        Ok((free, reserve))
    }

    /// Refuses what would not leave the reserve free.
    pub(super) fn room_for(&self, wanted: u64) -> Result<(), BlobError> {
        let (free, reserve) = self.space()?;
        if free < reserve.saturating_add(wanted) {
            return Err(BlobError::NoSpace {
                path: self.root.clone(),
                wanted,
                free,
                reserve,
            });
        }
        Ok(())
    }

    /// Gives synced data its name, with its hash tree. Both are durable on return.
    pub(super) fn install(
        &self,
        digest: &Digest,
        outboard: &[u8],
        data: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), BlobError> {
        let path = self.blob(digest);
        let folder = self.folder_of(&path)?;
        if !outboard.is_empty() {
            self.write_whole(&self.outboard(digest), outboard)?;
        }
        data(&path).doing("give its name to", &path)?;
        sync_folder(&folder)
    }

    /// Writes a small file so that it is there whole or not at all; the folder is not synced.
    pub(super) fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), BlobError> {
        let mut file = self.temporary()?;
        file.write_all(bytes).doing("write", path)?;
        file.as_file().sync_data().doing("sync", path)?;
        file.persist(path).doing("give its name to", path)?;
        Ok(())
    }

    /// The folder of a blob, created and durable.
    fn folder_of(&self, path: &Path) -> Result<PathBuf, BlobError> {
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        match fs::create_dir(&folder) {
            Ok(()) => sync_folder(&self.root)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing("create", &folder),
        }
        Ok(folder)
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .doing("sync", folder)
}

/// Opens a file for reading and writing, only for its owner, and creates it where it is missing.
pub(super) fn open_own(path: &Path) -> Result<File, BlobError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.open(path).doing("open", path)
}

/// Removes a file; one that is not there is no error.
pub(super) fn remove(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).doing("remove", path),
    }
}
