//! Puts archives and their signatures where databases can name them.

use std::fs::{self, File};
use std::path::Path;

use super::{Archive, Bytes, GenerationKey, Layout, LayoutError, PackageFileName};
use crate::repository::disk::DiskError;

/// Longest name that Linux file systems take, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;

impl Layout {
    /// Places one archive and its signature in the folder `key`, from a blob that the store has verified.
    /// Doing it again is cheap and changes nothing but the signature.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Bound`] if the name stands for other bytes, [`LayoutError::Length`] if the blob is not
    /// what it should be.
    pub fn place(
        &mut self,
        key: &GenerationKey,
        name: &PackageFileName,
        archive: Archive,
        blob: &Path,
        signature: Option<&[u8]>,
    ) -> Result<(), LayoutError> {
        let file_name = name.to_string();
        if name.signature().len() > NAME_MAX {
            return Err(LayoutError::NameTooLong(Box::new(name.clone())));
        }
        if let Some(known) = self
            .known(key, name)
            .filter(|known| known.blake3 != archive.blake3)
        {
            return Err(LayoutError::Bound {
                name: Box::new(name.clone()),
                known: known.blake3,
            });
        }
        let folder = self.folder(key);
        self.disk.create_folder(&folder)?;
        let path = folder.join(file_name);
        self.place_signature(&folder.join(name.signature()), signature)?;
        if !self.is_there(key, name, &path, archive)? {
            check_length(name, archive, blob)?;
            self.disk.put(&path, Bytes::File(blob), None)?;
        }
        self.placed.insert((key.clone(), name.clone()), archive);
        Ok(())
    }

    /// Makes the file of an archive anew from a blob that was just verified, over what is there, and its signature if
    /// it is known; without a blob the file goes.
    ///
    /// # Errors
    ///
    /// Fails if the disk does; readers then get what was there before.
    pub fn remake(
        &mut self,
        key: &GenerationKey,
        name: &PackageFileName,
        blob: Option<&Path>,
        signature: Option<&[u8]>,
    ) -> Result<(), LayoutError> {
        let folder = self.folder(key);
        let path = folder.join(name.to_string());
        match blob {
            Some(blob) => self.disk.put(&path, Bytes::File(blob), None)?,
            None => self.disk.delete(&path)?,
        }
        if signature.is_some() {
            self.place_signature(&folder.join(name.signature()), signature)?;
        }
        Ok(self.disk.sync_folder(&folder)?)
    }

    /// What a name is known to stand for: shown, departed, or placed for a generation to come.
    pub(super) fn known(&self, key: &GenerationKey, name: &PackageFileName) -> Option<Archive> {
        let shown = self.catalogue.shown(key).and_then(|shown| shown.archive(name));
        shown.or_else(|| self.placed.get(&(key.clone(), name.clone())).copied())
    }

    /// Whether the file at `path` holds the archive. What this folder has recorded is believed by its length;
    /// what lies there for unknown reasons is read.
    fn is_there(
        &self,
        key: &GenerationKey,
        name: &PackageFileName,
        path: &Path,
        archive: Archive,
    ) -> Result<bool, DiskError> {
        if length_of(path) != Some(archive.size) {
            return Ok(false);
        }
        if self.known(key, name).is_some() {
            return Ok(true);
        }
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path).map_err(DiskError::at("read", path))?;
        hasher
            .update_reader(&mut file)
            .map_err(DiskError::at("read", path))?;
        Ok(hasher.finalize().as_bytes() == archive.blake3.as_bytes())
    }

    fn place_signature(&mut self, path: &Path, signature: Option<&[u8]>) -> Result<(), DiskError> {
        match signature {
            None => self.disk.delete(path),
            Some(signature) if fs::read(path).is_ok_and(|present| present == signature) => Ok(()),
            Some(signature) => self.disk.put(path, Bytes::Slice(signature), None),
        }
    }
}

fn check_length(name: &PackageFileName, archive: Archive, blob: &Path) -> Result<(), LayoutError> {
    let found = fs::metadata(blob).map_err(DiskError::at("read", blob))?.len();
    if found == archive.size {
        return Ok(());
    }
    Err(LayoutError::Length {
        name: Box::new(name.clone()),
        found,
        wanted: archive.size,
    })
}

/// The length of a regular file; `None` for anything else.
pub(super) fn length_of(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path)
        .ok()
        .filter(fs::Metadata::is_file)
        .map(|meta| meta.len())
}
