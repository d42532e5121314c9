//! What one folder of the repository shows: kept on disk beside the databases, and in memory for readers.
//!
//! The manifest lies in the folder of its generation and becomes valid with it in one rename, so the two
//! never disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use pacmesh_protocol::codec::{self, CodecError};
use pacmesh_protocol::ids::Digest;
use pacmesh_protocol::ledger::kinds::{GenerationKey, GenerationV1};
use pacmesh_protocol::names::{PackageFileName, RepositoryName};
use serde::{Deserialize, Serialize};

use super::index::Index;

/// Most bytes of a manifest; with about 150 bytes a package it outlasts [`super::index::INDEX_MAX`].
const MANIFEST_MAX: usize = 128 << 20;

/// The bytes behind the name of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// BLAKE3 of the archive.
    pub blake3: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// An archive that no database names any longer, still served for those who synced before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// The bytes.
    pub archive: Archive,
    /// When it left the database, in seconds since 1970.
    pub since: u64,
}

/// What a folder shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The generation.
    pub generation: GenerationV1,
    /// What it shows of each package.
    pub index: Index,
    /// The archives that its database names.
    pub archives: BTreeMap<PackageFileName, Archive>,
    /// Archives of earlier generations that are still served.
    pub departed: BTreeMap<PackageFileName, Departed>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Manifest {
    V1 {
        generation: GenerationV1,
        archives: BTreeMap<PackageFileName, Archive>,
        departed: BTreeMap<PackageFileName, Departed>,
    },
}

impl Shown {
    /// The bytes that this name stands for, in the database or shortly departed.
    pub fn archive(&self, name: &PackageFileName) -> Option<Archive> {
        self.archives
            .get(name)
            .copied()
            .or_else(|| Some(self.departed.get(name)?.archive))
    }

    /// Whether the databases are signed.
    pub fn is_signed(&self) -> bool {
        self.generation.db_signature.is_some()
    }

    /// The manifest's bytes; the index lies in a file of its own.
    pub(super) fn manifest(&self) -> Result<Vec<u8>, CodecError> {
        let Self {
            generation,
            archives,
            departed,
            ..
        } = self.clone();
        codec::encode(
            &Manifest::V1 {
                generation,
                archives,
                departed,
            },
            MANIFEST_MAX,
        )
    }

    /// Reads what [`Self::manifest`] wrote.
    pub(super) fn from_manifest(bytes: &[u8], index: Index) -> Result<Self, CodecError> {
        let Manifest::V1 {
            generation,
            archives,
            departed,
        } = codec::decode_large(bytes, MANIFEST_MAX)?;
        Ok(Self {
            generation,
            index,
            archives,
            departed,
        })
    }
}

/// What all folders show, for readers: cheap to clone, never blocked by a writer for longer than a pointer's
/// exchange.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    folders: Arc<RwLock<BTreeMap<GenerationKey, Arc<Shown>>>>,
    withheld: Arc<RwLock<BTreeSet<Digest>>>,
}

impl Catalogue {
    /// What one folder shows, if it shows anything.
    pub fn shown(&self, key: &GenerationKey) -> Option<Arc<Shown>> {
        self.folders
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// Every folder that shows something.
    pub fn keys(&self) -> Vec<GenerationKey> {
        self.folders
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Whether readers may have an archive, or its signature, of what a folder shows: those that departed by a verdict
    /// are kept only to know their names.
    pub fn serves(&self, shown: &Shown, name: &PackageFileName) -> bool {
        let withheld = self.withheld.read().unwrap_or_else(PoisonError::into_inner);
        let departed = || shown.departed.get(name).map(|departed| departed.archive.blake3);
        shown.archives.contains_key(name) || departed().is_some_and(|archive| !withheld.contains(&archive))
    }

    /// Says which departed archives readers may not have.
    pub(super) fn withhold(&self, archives: impl IntoIterator<Item = Digest>) {
        *self.withheld.write().unwrap_or_else(PoisonError::into_inner) = archives.into_iter().collect();
    }

    pub(super) fn set(&self, key: &GenerationKey, shown: Option<Arc<Shown>>) {
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        match shown {
            Some(shown) => drop(folders.insert(key.clone(), shown)),
            None => drop(folders.remove(key)),
        }
    }
}

/// A file that a reader may ask for. Nothing else becomes a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicFile {
    /// A package archive.
    Archive(PackageFileName),
    /// The detached signature of an archive.
    Signature(PackageFileName),
    /// `REPO.db` or `REPO.files`, under that name or the one that repo-add users expect; the text is its file
    /// name.
    Database(String),
    /// The signature of a database.
    DatabaseSignature(String),
}

/// The endings of a repository's databases: what pacman asks for, and what repo-add users configure.
pub(super) const DATABASES: [(&str, Database); 4] = [
    ("db", Database::Packages),
    ("files", Database::Files),
    ("db.tar.zst", Database::Packages),
    ("files.tar.zst", Database::Files),
];

/// Which of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Packages,
    Files,
}

impl PublicFile {
    /// Parses the last part of a path below `/REPO/ARCH/`; `None` for anything that the repository does not
    /// have.
    pub fn parse(repository: &RepositoryName, text: &str) -> Option<Self> {
        let (stem, signature) = match text.strip_suffix(".sig") {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        let database = stem
            .strip_prefix(repository.as_str())
            .and_then(|rest| rest.strip_prefix('.'));
        if database.is_some_and(|ending| DATABASES.iter().any(|(known, _)| *known == ending)) {
            let name = text.to_owned();
            return Some(if signature {
                Self::DatabaseSignature(name)
            } else {
                Self::Database(name)
            });
        }
        let archive = stem.parse().ok()?;
        Some(if signature {
            Self::Signature(archive)
        } else {
            Self::Archive(archive)
        })
    }

    /// The file name.
    pub fn file_name(&self) -> String {
        match self {
            Self::Archive(name) => name.to_string(),
            Self::Signature(name) => name.signature(),
            Self::Database(name) | Self::DatabaseSignature(name) => name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv6_what_departed_by_a_verdict_is_known_and_not_served() {
        let [here, gone, voided]: [PackageFileName; 3] =
            ["a-2-1", "a-1-1", "b-1-1"].map(|name| format!("{name}-any.pkg.tar.zst").parse().unwrap());
        let archive = |bytes: &[u8]| Archive {
            blake3: Digest::of(bytes),
            size: 1,
        };
        let departed = |bytes: &[u8]| Departed {
            archive: archive(bytes),
            since: 1,
        };
        let digest = Digest::of(b"databases");
        let shown = Shown {
            generation: GenerationV1 {
                number: 1,
                index: digest,
                db: digest,
                files: digest,
                db_signature: None,
                files_signature: None,
                time: 1,
            },
            index: Index::default(),
            archives: BTreeMap::from([(here.clone(), archive(b"here"))]),
            departed: BTreeMap::from([
                (gone.clone(), departed(b"gone")),
                (voided.clone(), departed(b"voided")),
            ]),
        };
        let catalogue = Catalogue::default();
        // What a database names is served, whatever is said of it: the next generation leaves it out.
        catalogue.withhold([Digest::of(b"voided"), Digest::of(b"here")]);
        let served = [&here, &gone, &voided].map(|name| catalogue.serves(&shown, name));
        assert_eq!(served, [true, true, false]);
        assert!(shown.archive(&voided).is_some(), "its name stays bound");
    }

    #[test]
    fn inv7_only_names_of_the_repository_become_files() {
        let repository: RepositoryName = "farm".parse().unwrap();
        let parse = |text: &str| PublicFile::parse(&repository, text);
        for wrong in [
            "",
            ".",
            "..",
            ".shown",
            ".generations",
            "other.db",
            "farm",
            "farm.",
            "farm.db.tar.gz",
            "farm.db/x",
            "farm.db\0",
            "../farm.db",
            "a-1-1-any.pkg.tar.zst.sig.sig",
            "farm.db.sig.sig",
            "a/b-1-1-any.pkg.tar.zst",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for right in ["farm.db", "farm.files", "farm.db.tar.zst", "farm.files.tar.zst"] {
            assert_eq!(parse(right), Some(PublicFile::Database(right.into())));
            let signature = format!("{right}.sig");
            assert_eq!(
                parse(&signature),
                Some(PublicFile::DatabaseSignature(signature.clone()))
            );
        }
        let archive = "a-1:1-1-any.pkg.tar.zst";
        assert_eq!(
            parse(archive),
            Some(PublicFile::Archive(archive.parse().unwrap()))
        );
        assert_eq!(
            parse("a-1:1-1-any.pkg.tar.zst.sig").unwrap().file_name(),
            "a-1:1-1-any.pkg.tar.zst.sig"
        );
    }
}
