//! Pins: why a blob must stay. Each is an empty file `pins/<digest>.<reason>`, so that it survives a crash by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use pacmesh_protocol::ids::Digest;

use super::{
    disk::{remove, sync_folder},
    error::{BlobError, Doing},
};

/// Greatest length of a reason, in bytes: with the digest it is a file name.
const REASON: usize = 128;

/// All pins, in memory and on disk.
#[derive(Debug)]
pub(super) struct Pins {
    folder: PathBuf,
    pins: BTreeMap<Digest, BTreeSet<String>>,
}

impl Pins {
    /// Reads the folder; what is no pin is left alone.
    pub(super) fn open(folder: PathBuf) -> Result<Self, BlobError> {
        let mut pins: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for entry in fs::read_dir(&folder).doing("list", &folder)? {
            let name = entry.doing("list", &folder)?.file_name();
            let pin = name.to_str().and_then(|name| name.split_once('.'));
            if let Some((digest, reason)) = pin
                && let Ok(digest) = digest.parse()
            {
                pins.entry(digest).or_default().insert(reason.to_owned());
            }
        }
        Ok(Self { folder, pins })
    }

    pub(super) fn pin(&mut self, digest: Digest, reason: &str) -> Result<(), BlobError> {
        let path = self.path(&digest, reason)?;
        if self
            .pins
            .get(&digest)
            .is_some_and(|reasons| reasons.contains(reason))
        {
            return Ok(());
        }
        File::create(&path).doing("create", &path)?;
        sync_folder(&self.folder)?;
        self.pins.entry(digest).or_default().insert(reason.to_owned());
        Ok(())
    }

    pub(super) fn unpin(&mut self, digest: &Digest, reason: &str) -> Result<(), BlobError> {
        let path = self.path(digest, reason)?;
        let Some(reasons) = self.pins.get_mut(digest) else {
            return Ok(());
        };
        if !reasons.contains(reason) {
            return Ok(());
        }
        remove(&path)?;
        sync_folder(&self.folder)?;
        reasons.remove(reason);
        if reasons.is_empty() {
            self.pins.remove(digest);
        }
        Ok(())
    }

    pub(super) fn reasons(&self, digest: &Digest) -> Vec<String> {
        self.pins.get(digest).into_iter().flatten().cloned().collect()
    }

    pub(super) fn all(&self) -> BTreeMap<Digest, BTreeSet<String>> {
        self.pins.clone()
    }

    fn path(&self, digest: &Digest, reason: &str) -> Result<PathBuf, BlobError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_:".contains(c);
        if reason.is_empty() || reason.len() > REASON || !reason.chars().all(fits) {
            return Err(BlobError::Reason(reason.chars().take(REASON).collect()));
        }
        Ok(self.folder.join(Path::new(&format!("{digest}.{reason}"))))
    }
}
