//! The only writes that the repository makes to the disk; each leaves either the old or the new state behind.
//!
//! A file appears under its name only whole and synced: it is filled under a temporary name, synced, renamed.
//! Whoever renames syncs the folder before relying on it ([`Disk::sync_folder`]). Temporary names start with
//! [`TEMPORARY`] and may be deleted at any start.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How temporary names start. No repository, architecture or package file does.
pub(super) const TEMPORARY: &str = ".tmp-";

/// A file operation failed; what was on disk before is still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DiskError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// For `map_err`: names the action and the path.
    pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

/// Where the bytes of a new file come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bytes<'a> {
    /// Memory.
    Slice(&'a [u8]),
    /// Another file: shared blocks where the filesystem can, else a copy. Never a link: the store's bytes
    /// must not change through it.
    File(&'a Path),
}

/// Writes to one tree. Owned by one task; temporary names are unique within it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    counter: u64,
    /// Operations until the process "dies"; see [`Disk::dying_after`].
    #[cfg(test)]
    pub(super) remaining: Option<u64>,
}

impl Disk {
    /// A disk whose operations all fail after the first `operations`, as if the process had been killed
    /// there.
    #[cfg(test)]
    pub(super) fn dying_after(operations: u64) -> Self {
        Self {
            counter: 0,
            remaining: Some(operations),
        }
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "tests kill the process here"
    )]
    fn step(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&mut self) -> io::Result<()> {
        match &mut self.remaining {
            Some(0) => Err(io::Error::other("killed by the test")),
            Some(remaining) => {
                *remaining -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A name beside `path` that nobody uses.
    fn temporary(&mut self, path: &Path) -> PathBuf {
        self.counter += 1;
        path.with_file_name(format!("{TEMPORARY}{}-{}", std::process::id(), self.counter))
    }

    /// Creates `folder` and what is missing above it, readable by all.
    pub(super) fn create_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.create_folder(parent)?;
        }
        let created = self.step().and_then(|()| match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        created
            .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o755)))
            .map_err(DiskError::at("create the folder", folder))?;
        folder.parent().map_or(Ok(()), |parent| self.sync_folder(parent))
    }

    /// Puts a whole, synced file at `path`, over what was there; `modified` is its time in seconds since
    /// 1970.
    pub(super) fn put(
        &mut self,
        path: &Path,
        bytes: Bytes<'_>,
        modified: Option<u64>,
    ) -> Result<(), DiskError> {
        let temporary = self.temporary(path);
        let put = self
            .fill(&temporary, bytes, modified)
            .map_err(DiskError::at("write", path))
            .and_then(|()| self.rename(&temporary, path));
        if put.is_err() {
            // A full disk must not fill further with halves; what stays is swept at the next start.
            let _ = self.delete(&temporary);
        }
        put
    }

    fn fill(&mut self, path: &Path, bytes: Bytes<'_>, modified: Option<u64>) -> io::Result<()> {
        self.step()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        match bytes {
            Bytes::Slice(bytes) => file.write_all(bytes)?,
            Bytes::File(source) => clone_or_copy(&mut File::open(source)?, &mut file)?,
        }
        self.step()?;
        if let Some(seconds) = modified {
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))?;
        }
        file.sync_all()
    }

    /// Renames, over what was there.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.step()
            .and_then(|()| fs::rename(from, to))
            .map_err(DiskError::at("rename a new file to", to))
    }

    /// Makes `path` a symbolic link to `target`, in one step over what was there.
    pub(super) fn point(&mut self, path: &Path, target: &Path) -> Result<(), DiskError> {
        if fs::read_link(path).is_ok_and(|present| present == target) {
            return Ok(());
        }
        let temporary = self.temporary(path);
        self.step()
            .and_then(|()| symlink(target, &temporary))
            .map_err(DiskError::at("link", path))?;
        self.rename(&temporary, path)
    }

    /// Makes the names in `folder` survive a power cut.
    pub(super) fn sync_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.step()
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(DiskError::at("sync the folder", folder))
    }

    /// Deletes a file, a link or a whole folder; one that is not there is fine.
    pub(super) fn delete(&mut self, path: &Path) -> Result<(), DiskError> {
        let deleted = self.step().and_then(|()| match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        });
        match deleted {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(DiskError::at("delete", path)),
        }
    }
}

/// Shares the blocks where the filesystem can (Btrfs, XFS, bcachefs); else copies inside the kernel where it
/// can.
fn clone_or_copy(from: &mut File, to: &mut File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(&*to, &*from).is_ok() {
        return Ok(());
    }
    io::copy(from, to).map(drop)
}

/// The names in `folder`, sorted; none if the folder is not there. Names that are no UTF-8 are nobody's of
/// ours and left out.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, DiskError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(DiskError::at("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(DiskError::at("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
