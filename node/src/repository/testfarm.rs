//! A small farm for tests: packages in a blob folder, and generations made of them as the master makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pacmesh_protocol::ids::Digest;
use pacmesh_protocol::ledger::kinds::{GenerationKey, GenerationV1};
use pacmesh_protocol::names::{PackageFileName, PackageName};

use super::archive;
use super::database::{self, Entry};
use super::index::{Index, IndexEntry, IndexRelease};
use super::layout::{Holding, Layout, LayoutError, NewGeneration};
use super::meta::PackageMeta;
use super::shown::Archive;
use super::testkit::Sample;

/// When the first generation was made, in seconds since 1970; each further one is a second later.
pub(crate) const FOUNDED: u64 = 1_700_000_000;

#[derive(Debug)]
struct Published {
    meta: PackageMeta,
    file_name: PackageFileName,
    blob: PathBuf,
    signature: Option<Vec<u8>>,
}

/// What the ledger and the blob store of a real node would hold.
#[derive(Debug)]
pub(crate) struct Farm {
    pub(crate) home: tempfile::TempDir,
    pub(crate) key: GenerationKey,
    packages: BTreeMap<PackageName, (u64, Option<Published>)>,
}

/// One generation with its blobs.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) generation: GenerationV1,
    pub(crate) index: Index,
    pub(crate) archives: BTreeMap<PackageFileName, Archive>,
    pub(crate) db: PathBuf,
    pub(crate) files: PathBuf,
}

impl Made {
    pub(crate) fn new_generation(&self) -> NewGeneration<'_> {
        NewGeneration {
            generation: &self.generation,
            index: &self.index,
            archives: &self.archives,
            db: &self.db,
            files: &self.files,
            db_signature: None,
            files_signature: None,
        }
    }
}

impl Farm {
    /// The repository `farm` for x86_64, without packages.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("blobs")).unwrap();
        let key = GenerationKey {
            repository: "farm".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
        };
        Self {
            home,
            key,
            packages: BTreeMap::new(),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path().join("repo")
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::open(&self.root()).unwrap()
    }

    /// Publishes `sample`, over an older version if there is one.
    pub(crate) fn publish(&mut self, sample: &Sample) -> PackageFileName {
        self.publish_signed(sample, |_| None)
    }

    /// [`Self::publish`] with what `sign` makes of the archive's path.
    pub(crate) fn publish_signed(
        &mut self,
        sample: &Sample,
        sign: impl Fn(&std::path::Path) -> Option<Vec<u8>>,
    ) -> PackageFileName {
        let blob = sample.write(&self.home.path().join("blobs"));
        let meta = archive::read(&blob).unwrap();
        let (name, file_name, signature) = (meta.name.clone(), sample.file_name(), sign(&blob));
        let generation = self.packages.get(&name).map_or(0, |(generation, _)| *generation);
        let published = Published {
            meta,
            file_name: file_name.clone(),
            blob,
            signature,
        };
        self.packages.insert(name, (generation, Some(published)));
        file_name
    }

    /// Leaves a tombstone.
    pub(crate) fn remove(&mut self, name: &str) {
        self.packages.get_mut(&name.parse().unwrap()).unwrap().1 = None;
    }

    /// Makes generation `number` of what is published.
    pub(crate) fn make(&self, number: u64) -> Made {
        let entries = self.published().map(|published| Entry {
            meta: &published.meta,
            file_name: &published.file_name,
            signature: published.signature.as_deref(),
        });
        let databases = database::write(entries).unwrap();
        let index = self.index();
        let put = |kind: &str, bytes: &[u8]| {
            let path = self.home.path().join("blobs").join(format!("{number}.{kind}"));
            fs::write(&path, bytes).unwrap();
            (path, Digest::of(bytes))
        };
        let (db, files) = (put("db", &databases.db), put("files", &databases.files));
        let generation = GenerationV1 {
            number,
            index: Digest::of(&index.encode().unwrap()),
            db: db.1,
            files: files.1,
            db_signature: None,
            files_signature: None,
            time: FOUNDED + number,
        };
        let archives = self
            .published()
            .map(|published| {
                let archive = Archive {
                    blake3: published.meta.blake3,
                    size: published.meta.compressed_size,
                };
                (published.file_name.clone(), archive)
            })
            .collect();
        Made {
            generation,
            index,
            archives,
            db: db.0,
            files: files.0,
        }
    }

    /// Places every archive that is published.
    pub(crate) fn place(&self, layout: &mut Layout) -> Result<(), LayoutError> {
        for published in self.published() {
            let archive = Archive {
                blake3: published.meta.blake3,
                size: published.meta.compressed_size,
            };
            layout.place(
                &self.key,
                &published.file_name,
                archive,
                &published.blob,
                published.signature.as_deref(),
            )?;
        }
        Ok(())
    }

    /// Places and shows generation `number`, at its own time.
    pub(crate) fn show(&self, layout: &mut Layout, number: u64) -> Result<(), LayoutError> {
        self.place(layout)?;
        let made = self.make(number);
        let now = made.generation.time;
        layout
            .show(&self.key, made.new_generation(), Holding::Here, now, |_| false)
            .map(drop)
    }

    fn published(&self) -> impl Iterator<Item = &Published> {
        self.packages
            .values()
            .filter_map(|(_, published)| published.as_ref())
    }

    fn index(&self) -> Index {
        let entry = |(generation, published): &(u64, Option<Published>)| IndexEntry {
            generation: *generation,
            release: published.as_ref().map(|published| IndexRelease {
                version: published.meta.version.clone(),
                archive: published.meta.blake3,
            }),
        };
        Index {
            entries: self
                .packages
                .iter()
                .map(|(name, package)| (name.clone(), entry(package)))
                .collect(),
        }
    }
}
