//! The files that pacman reads, under `ROOT/REPO/ARCH/`.
//!
//! A reader never meets a database that names a missing or a different file, and never goes back (DESIGN,
//! invariant 3). To that end:
//!
//! * archives are placed whole before any database names them, and stay 7 days after the last one did;
//! * the databases of a generation lie in a folder of their own; the public names are links through `.shown`,
//!   and changing that one link, by one rename, is what changes generations. A kill at any instant leaves the
//!   old or the new one;
//! * a name whose bytes are known is never given other bytes;
//! * a path is only ever made of parsed names (invariant 7).
//!
//! ```text
//! REPO/ARCH/foo-1-1-any.pkg.tar.zst{,.sig}
//! REPO/ARCH/REPO.db, REPO.files, ...        -> .shown/REPO.db ...
//! REPO/ARCH/.shown                          -> .generations/17-0a1b2c3d-4e5f6071
//! REPO/ARCH/.generations/17-0a1b2c3d-4e5f6071/   REPO.db, REPO.files, index, manifest
//! ```

mod error;
mod place;
mod recover;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pacmesh_protocol::ids::Digest;
use pacmesh_protocol::ledger::kinds::{GenerationKey, GenerationV1};
use pacmesh_protocol::names::PackageFileName;

pub use self::error::LayoutError;
pub use self::sweep::KEPT;
pub use super::disk::DiskError;
use super::disk::{Bytes, Disk, TEMPORARY};
use super::index::{self, Index};
use super::shown::{Archive, Catalogue, DATABASES, Database, Departed, PublicFile, Shown};

/// The link that says which generation is shown.
const SHOWN: &str = ".shown";
/// The folder of the generations' folders.
const GENERATIONS: &str = ".generations";
/// The index within a generation's folder.
const INDEX: &str = "index";
/// The manifest within a generation's folder.
const MANIFEST: &str = "manifest";

/// A generation that is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct NewGeneration<'a> {
    /// Its record.
    pub generation: &'a GenerationV1,
    /// Its index.
    pub index: &'a Index,
    /// The archives of all releases in the index, under their file names.
    pub archives: &'a BTreeMap<PackageFileName, Archive>,
    /// The database's bytes: a verified blob.
    pub db: &'a Path,
    /// The files list's bytes: a verified blob.
    pub files: &'a Path,
    /// The signature of the database, where databases are signed.
    pub db_signature: Option<&'a Path>,
    /// The signature of the files list, where databases are signed.
    pub files_signature: Option<&'a Path>,
}

/// Where a node has the archives that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// On this disk: a generation is refused while an archive is missing.
    Here,
    /// With replicas, from whom the listener streams them.
    Elsewhere,
}

/// The tree of repositories on this disk. One task owns it; readers hold a [`Catalogue`].
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    disk: Disk,
    catalogue: Catalogue,
    /// What was placed since the start and is not yet in a manifest.
    placed: BTreeMap<(GenerationKey, PackageFileName), Archive>,
}

impl Layout {
    /// Opens the tree at `root`, repairs what a kill left behind and learns what is shown.
    ///
    /// # Errors
    ///
    /// Fails only if the disk does; damaged folders are shown as empty until their generation is shown again.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        Self::open_on(root, Disk::default())
    }

    fn open_on(root: &Path, disk: Disk) -> Result<Self, LayoutError> {
        let mut layout = Self {
            root: root.to_owned(),
            disk,
            catalogue: Catalogue::default(),
            placed: BTreeMap::new(),
        };
        layout.disk.create_folder(root)?;
        layout.recover()?;
        Ok(layout)
    }

    /// What is shown, for readers.
    pub fn catalogue(&self) -> Catalogue {
        self.catalogue.clone()
    }

    /// Shows `new` in the folder `key` from `now` (seconds since 1970) on. Showing the same one again repairs
    /// its files.
    ///
    /// `voided` tells whether a verdict took an archive out of force.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Missing`] until all archives were placed ([`Holding::Here`]),
    /// [`LayoutError::Backwards`] for what readers must not see; readers then see what they saw before. Only
    /// where the disk fails in the last sync may they see `new` already; showing it again is right then too.
    pub fn show(
        &mut self,
        key: &GenerationKey,
        new: NewGeneration<'_>,
        holding: Holding,
        now: u64,
        voided: impl Fn(&Digest) -> bool,
    ) -> Result<Arc<Shown>, LayoutError> {
        let before = self.catalogue.shown(key);
        check_consistent(&new)?;
        if let Some(before) = &before {
            check_forward(before, &new, voided)?;
        }
        if holding == Holding::Here {
            self.check_placed(key, &new)?;
        }
        let shown = Arc::new(successor(before.as_deref(), &new, now));
        let folder = self.folder(key);
        self.disk.create_folder(&folder.join(GENERATIONS))?;
        let name = generation_name(new.generation);
        self.write_generation(key, &folder.join(GENERATIONS).join(&name), &new, &shown)?;
        self.disk.sync_folder(&folder.join(GENERATIONS))?;
        self.link_databases(key, shown.is_signed())?;
        // Syncs the archives' names as well: they survive a power cut before the link that needs them
        // changes.
        self.disk.sync_folder(&folder)?;
        let former = recover::shown_name(&folder);
        // Readers know both generations' archives before the link changes: those of the former one have
        // departed.
        self.catalogue.set(key, Some(Arc::clone(&shown)));
        if let Err(error) = self
            .disk
            .point(&folder.join(SHOWN), &Path::new(GENERATIONS).join(&name))
        {
            self.catalogue.set(key, before);
            return Err(error.into());
        }
        self.disk.sync_folder(&folder)?;
        self.placed.retain(|(place, _), _| place != key);
        self.delete_generations(&folder, &[Some(name), former])?;
        Ok(shown)
    }

    fn folder(&self, key: &GenerationKey) -> PathBuf {
        folder(&self.root, key)
    }

    fn check_placed(&self, key: &GenerationKey, new: &NewGeneration<'_>) -> Result<(), LayoutError> {
        let folder = self.folder(key);
        let here = |(name, archive): &(&PackageFileName, &Archive)| {
            place::length_of(&folder.join(name.to_string())) == Some(archive.size)
                && self.known(key, name).is_some_and(|known| known == **archive)
        };
        let missing: Vec<_> = new.archives.iter().filter(|pair| !here(pair)).collect();
        match missing.first() {
            None => Ok(()),
            Some((first, _)) => Err(LayoutError::Missing {
                number: new.generation.number,
                count: missing.len(),
                first: Box::new((*first).clone()),
            }),
        }
    }

    /// Fills `folder` with a generation, under a temporary name until it is whole.
    fn write_generation(
        &mut self,
        key: &GenerationKey,
        folder: &Path,
        new: &NewGeneration<'_>,
        shown: &Shown,
    ) -> Result<(), LayoutError> {
        let number = new.generation.number;
        let index = new
            .index
            .encode()
            .map_err(|error| LayoutError::Index(number, error))?;
        let manifest = shown
            .manifest()
            .map_err(|error| LayoutError::Manifest(number, error))?;
        let staged = folder.with_file_name(format!("{TEMPORARY}{}", generation_name(new.generation)));
        self.disk.delete(&staged)?;
        self.disk.create_folder(&staged)?;
        for (ending, bytes, signature) in [
            ("db", new.db, new.db_signature),
            ("files", new.files, new.files_signature),
        ] {
            let path = staged.join(format!("{}.{ending}", key.repository));
            let time = Some(new.generation.time);
            self.disk.put(&path, Bytes::File(bytes), time)?;
            if let Some(signature) = signature {
                self.disk.put(
                    &path.with_file_name(signature_of(&path)),
                    Bytes::File(signature),
                    time,
                )?;
            }
        }
        self.disk.put(&staged.join(INDEX), Bytes::Slice(&index), None)?;
        self.disk
            .put(&staged.join(MANIFEST), Bytes::Slice(&manifest), None)?;
        self.disk.sync_folder(&staged)?;
        if !folder.exists() {
            return Ok(self.disk.rename(&staged, folder)?);
        }
        self.refill(folder, &staged)
    }

    /// Replaces the files of a generation that is there already, each by one rename: it is the shown one
    /// being repaired, or one that a kill left behind. The bytes are the same unless they were damaged.
    fn refill(&mut self, folder: &Path, staged: &Path) -> Result<(), LayoutError> {
        for name in super::disk::names_in(staged)? {
            self.disk.rename(&staged.join(&name), &folder.join(&name))?;
        }
        self.disk.sync_folder(folder)?;
        Ok(self.disk.delete(staged)?)
    }

    /// Makes the public names of the databases point through [`SHOWN`].
    fn link_databases(&mut self, key: &GenerationKey, signed: bool) -> Result<(), LayoutError> {
        let folder = self.folder(key);
        for (ending, database) in DATABASES {
            let public = folder.join(format!("{}.{ending}", key.repository));
            let ending = match database {
                Database::Packages => "db",
                Database::Files => "files",
            };
            let target = Path::new(SHOWN).join(format!("{}.{ending}", key.repository));
            let signature = (
                public.with_file_name(signature_of(&public)),
                Path::new(SHOWN).join(signature_of(&target)),
            );
            self.disk.point(&public, &target)?;
            if signed {
                self.disk.point(&signature.0, &signature.1)?;
            } else {
                self.disk.delete(&signature.0)?;
            }
        }
        Ok(())
    }

    /// Deletes all generations but those named. The one shown before stays for readers that are just
    /// following the link.
    fn delete_generations(&mut self, folder: &Path, keep: &[Option<String>]) -> Result<(), LayoutError> {
        let generations = folder.join(GENERATIONS);
        for name in super::disk::names_in(&generations)? {
            if !keep.iter().flatten().any(|kept| *kept == name) {
                self.disk.delete(&generations.join(name))?;
            }
        }
        Ok(())
    }
}

fn folder(root: &Path, key: &GenerationKey) -> PathBuf {
    root.join(key.repository.as_str()).join(key.arch.as_str())
}

/// Where `file` lies below `root`, if it is there.
pub fn path_of(root: &Path, key: &GenerationKey, file: &PublicFile) -> PathBuf {
    folder(root, key).join(file.file_name())
}

fn signature_of(path: &Path) -> String {
    format!("{}.sig", path.file_name().unwrap_or_default().to_string_lossy())
}

/// The number, and enough of the bytes to keep two generations of one number apart.
fn generation_name(generation: &GenerationV1) -> String {
    format!(
        "{}-{}-{}",
        generation.number,
        generation.db.short(),
        generation.files.short()
    )
}

fn check_consistent(new: &NewGeneration<'_>) -> Result<(), LayoutError> {
    let named: BTreeSet<_> = new
        .index
        .releases()
        .map(|(name, release)| (name, &release.version, release.archive))
        .collect();
    let brought: BTreeSet<_> = new
        .archives
        .iter()
        .map(|(file, archive)| (file.name(), file.version(), archive.blake3))
        .collect();
    if named == brought && brought.len() == new.archives.len() {
        Ok(())
    } else {
        Err(LayoutError::Inconsistent(new.generation.number))
    }
}

fn check_forward(
    before: &Shown,
    new: &NewGeneration<'_>,
    voided: impl Fn(&Digest) -> bool,
) -> Result<(), LayoutError> {
    let (old, next) = (&before.generation, new.generation);
    for (name, archive) in new.archives {
        if let Some(known) = before
            .archive(name)
            .filter(|known| known.blake3 != archive.blake3)
        {
            return Err(LayoutError::Bound {
                name: Box::new(name.clone()),
                known: known.blake3,
            });
        }
    }
    let forward = next.number >= old.number && next.time >= old.time;
    if forward && index::covers(new.index, &before.index, voided) {
        Ok(())
    } else {
        Err(LayoutError::Backwards {
            shown: old.number,
            number: next.number,
        })
    }
}

/// What is shown once `new` is: archives that it no longer names depart now, those that it names again
/// return.
fn successor(before: Option<&Shown>, new: &NewGeneration<'_>, now: u64) -> Shown {
    let mut departed = BTreeMap::new();
    if let Some(before) = before {
        departed.extend(before.departed.clone());
        departed.extend(before.archives.iter().map(|(name, archive)| {
            (
                name.clone(),
                Departed {
                    archive: *archive,
                    since: now,
                },
            )
        }));
    }
    departed.retain(|name, _| !new.archives.contains_key(name));
    Shown {
        generation: new.generation.clone(),
        index: new.index.clone(),
        archives: new.archives.clone(),
        departed,
    }
}

#[cfg(test)]
mod tests;
