//! Deletes what no reader can still want.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::{
    Bytes, GENERATIONS, GenerationKey, Layout, LayoutError, MANIFEST, PackageFileName, PublicFile, recover,
};
use crate::repository::disk::names_in;
use crate::repository::shown::Shown;

/// How long an archive is served after it left the database, in seconds (FORMATS, "Generations": 7 days).
pub const KEPT: u64 = 7 * 24 * 60 * 60;

impl Layout {
    /// Deletes the archives that left the database of `key` more than [`KEPT`] before `now` (seconds since
    /// 1970), and package files that belong to no generation and are as old. Returns how many archives it
    /// deleted.
    ///
    /// # Errors
    ///
    /// Fails if the disk does; the next sweep goes on.
    pub fn sweep(&mut self, key: &GenerationKey, now: u64) -> Result<usize, LayoutError> {
        let Some(shown) = self.catalogue.shown(key) else {
            return Ok(0);
        };
        let folder = self.folder(key);
        let due: Vec<_> = shown
            .departed
            .iter()
            .filter(|(name, departed)| {
                departed.since.saturating_add(KEPT) <= now
                    && !self.placed.contains_key(&(key.clone(), (*name).clone()))
            })
            .map(|(name, _)| name.clone())
            .collect();
        let strays = self.strays(key, &shown, &folder, now)?;
        for name in due.iter().chain(&strays) {
            self.disk.delete(&folder.join(name.to_string()))?;
            self.disk.delete(&folder.join(name.signature()))?;
        }
        if !due.is_empty() {
            self.forget(key, &shown, &due)?;
        }
        Ok(due.len() + strays.len())
    }

    fn strays(
        &self,
        key: &GenerationKey,
        shown: &Shown,
        folder: &Path,
        now: u64,
    ) -> Result<Vec<PackageFileName>, LayoutError> {
        let mut strays = BTreeMap::new();
        for text in names_in(folder)? {
            let (Some(PublicFile::Archive(name)) | Some(PublicFile::Signature(name))) =
                PublicFile::parse(&key.repository, &text)
            else {
                continue;
            };
            if shown.archive(&name).is_none() && self.known(key, &name).is_none() {
                let old = modified(&folder.join(&text)).is_some_and(|time| time.saturating_add(KEPT) <= now);
                *strays.entry(name).or_insert(true) &= old;
            }
        }
        Ok(strays
            .into_iter()
            .filter_map(|(name, old)| old.then_some(name))
            .collect())
    }

    /// Rewrites the manifest without the departed archives `gone`.
    fn forget(
        &mut self,
        key: &GenerationKey,
        shown: &Shown,
        gone: &[PackageFileName],
    ) -> Result<(), LayoutError> {
        let mut next = shown.clone();
        next.departed.retain(|name, _| !gone.contains(name));
        let number = next.generation.number;
        let manifest = next
            .manifest()
            .map_err(|error| LayoutError::Manifest(number, error))?;
        let folder = self.folder(key);
        if let Some(name) = recover::shown_name(&folder) {
            let generation = folder.join(GENERATIONS).join(name);
            self.disk
                .put(&generation.join(MANIFEST), Bytes::Slice(&manifest), None)?;
            self.disk.sync_folder(&generation)?;
        }
        self.catalogue.set(key, Some(Arc::new(next)));
        Ok(())
    }
}

fn modified(path: &Path) -> Option<u64> {
    let time = fs::symlink_metadata(path).ok()?.modified().ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
