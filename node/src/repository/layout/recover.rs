//! What a start finds on disk, and what it does about it.
//!
//! There is nothing to roll forward: `.shown` points to a whole generation or was never made. What remains of
//! a kill is litter.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pacmesh_protocol::ledger::kinds::GenerationKey;

use super::{GENERATIONS, INDEX, Layout, LayoutError, MANIFEST, SHOWN};
use crate::repository::disk::{TEMPORARY, names_in};
use crate::repository::index::{INDEX_MAX, Index};
use crate::repository::shown::Shown;

impl Layout {
    pub(super) fn recover(&mut self) -> Result<(), LayoutError> {
        for repository in names_in(&self.root)? {
            for arch in names_in(&self.root.join(&repository))? {
                let (Ok(repository), Ok(arch)) = (repository.parse(), arch.parse()) else {
                    continue;
                };
                let key = GenerationKey { repository, arch };
                if self.folder(&key).is_dir() {
                    self.recover_folder(&key)?;
                }
            }
        }
        Ok(())
    }

    fn recover_folder(&mut self, key: &GenerationKey) -> Result<(), LayoutError> {
        let folder = self.folder(key);
        for name in names_in(&folder)? {
            if name.starts_with(TEMPORARY) {
                self.disk.delete(&folder.join(name))?;
            }
        }
        let name = shown_name(&folder);
        match name
            .as_deref()
            .map(|name| load(&folder.join(GENERATIONS).join(name), key))
        {
            Some(Ok(shown)) => {
                self.link_databases(key, shown.is_signed())?;
                self.catalogue.set(key, Some(Arc::new(shown)));
            }
            Some(Err(reason)) => {
                tracing::error!(folder = %folder.display(), reason, "the shown generation is damaged and is withdrawn until it comes again");
                self.disk.delete(&folder.join(SHOWN))?;
                return Ok(());
            }
            None => {}
        }
        self.delete_generations(&folder, &[name])
    }
}

/// The generation folder that is shown in `folder`.
pub(super) fn shown_name(folder: &Path) -> Option<String> {
    let target = fs::read_link(folder.join(SHOWN)).ok()?;
    let name = target.strip_prefix(GENERATIONS).ok()?.to_str()?;
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        .then(|| name.to_owned())
}

fn load(generation: &Path, key: &GenerationKey) -> Result<Shown, String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    for ending in ["db", "files"] {
        let path = generation.join(format!("{}.{ending}", key.repository));
        if !path.is_file() {
            return Err(format!("{} is missing", path.display()));
        }
    }
    let index = read_within(&generation.join(INDEX), INDEX_MAX)?;
    let index = Index::decode(&index).map_err(|error| said(&error))?;
    let manifest = read_within(&generation.join(MANIFEST), 2 * INDEX_MAX)?;
    Shown::from_manifest(&manifest, index).map_err(|error| said(&error))
}

fn read_within(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let length = fs::metadata(path)
        .map_err(|error| format!("{}: {error}", path.display()))?
        .len();
    if length > limit as u64 {
        return Err(format!("{} has {length} bytes", path.display()));
    }
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
