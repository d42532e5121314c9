//! Which blobs the held records name, and what each of them is: what must be kept, and how many copies it deserves.
//!
//! All values count for whose sake records are held, outranked and voided ones among them: a release may be rolled back
//! to, a verdict may be lifted. Bindings and tombstones name nothing: they stay for ever, and the bytes do not.

use std::{collections::BTreeMap, fmt};

use super::{
    door::{CompatKey, CompatV1, Document},
    kinds::{GenerationKey, GenerationV1, JobState, JobV1, ReleaseV1, SourceKey, SourceV1},
    order::Fact,
    state::Ledger,
    view::View,
};
use crate::{
    ids::Digest,
    names::{PackageFileName, PackageName},
};

/// How much a blob is needed; the first most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Something that is in force, or still to be built, cannot do without it.
    InForce,
    /// The past: earlier releases, what ended jobs were made of, logs.
    Past,
    /// Only a word that does not count now names it. It stays where it is, and nobody copies it: else every member
    /// could have the replicas chase what exists nowhere.
    Void,
}

/// What a blob is, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A package.
    Archive(PackageFileName),
    /// The signature of a package.
    Signature(PackageFileName),
    /// What databases say of a package.
    Metadata(PackageFileName),
    /// A source.
    Tree(PackageName),
    /// A patch of a source.
    Patch(PackageName),
    /// What a build was configured by.
    Configuration,
    /// What a build printed.
    Log(PackageName),
    /// Databases or their index.
    Database(GenerationKey),
    /// What an ahriman worker said of something.
    Note(String),
}

impl What {
    /// The archive that it is, or belongs to.
    pub const fn file(&self) -> Option<&PackageFileName> {
        match self {
            Self::Archive(file) | Self::Signature(file) | Self::Metadata(file) => Some(file),
            _ => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(file) => write!(f, "the archive {file} of {}", file.name()),
            Self::Signature(file) => write!(f, "the signature of {file}"),
            Self::Metadata(file) => write!(f, "the metadata of {file}"),
            Self::Tree(base) => write!(f, "a source of {base}"),
            Self::Patch(base) => write!(f, "a patch of {base}"),
            Self::Configuration => f.write_str("a makepkg.conf"),
            Self::Log(base) => write!(f, "a log of {base}"),
            Self::Database(key) => write!(f, "the database of {}/{}", key.repository, key.arch),
            Self::Note(name) => write!(f, "what a worker said of {name}"),
        }
    }
}

/// The blobs that records name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    blobs: BTreeMap<Digest, (Need, What)>,
}

impl Named {
    /// How much a blob is needed, and what it is; `None` if no record names it.
    pub fn get(&self, blob: &Digest) -> Option<(Need, &What)> {
        self.blobs.get(blob).map(|(need, what)| (*need, what))
    }

    /// Whether a record names it.
    pub fn contains(&self, blob: &Digest) -> bool {
        self.blobs.contains_key(blob)
    }

    /// All of them, by digest.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, Need, &What)> {
        self.blobs.iter().map(|(blob, (need, what))| (blob, *need, what))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.blobs.len()
    }

    /// Whether no record names a blob.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// What is needed by several is needed as much as by the one that needs it most.
    fn name(&mut self, need: Need, blob: Digest, what: What) {
        let known = self.blobs.entry(blob).or_insert_with(|| (need, what.clone()));
        if need < known.0 {
            *known = (need, what);
        }
    }

    fn release(&mut self, need: Need, release: &ReleaseV1) {
        let file = || release.file.clone();
        self.name(need, release.archive, What::Archive(file()));
        self.name(need, release.meta, What::Metadata(file()));
        if let Some(signature) = release.signature {
            self.name(need, signature, What::Signature(file()));
        }
    }

    fn job(&mut self, need: Need, job: &JobV1) {
        self.name(need, job.tree, What::Tree(job.base.clone()));
        self.name(need, job.makepkg_conf, What::Configuration);
        if let Some(snapshot) = job.snapshot {
            self.name(need, snapshot, What::Configuration);
        }
        if let Some(log) = job.end.as_ref().and_then(|end| end.log) {
            self.name(need.max(Need::Past), log, What::Log(job.base.clone()));
        }
    }

    fn generation(&mut self, need: Need, key: &GenerationKey, value: &GenerationV1) {
        let signatures = [value.db_signature, value.files_signature];
        let blobs = [value.index, value.db, value.files];
        for blob in blobs.into_iter().chain(signatures.into_iter().flatten()) {
            self.name(need, blob, What::Database(key.clone()));
        }
    }

    fn source(&mut self, need: Need, key: &SourceKey, source: &SourceV1) {
        if source.removed {
            return;
        }
        self.name(need, source.tree, What::Tree(key.base.clone()));
        for patch in &source.patches {
            self.name(need, *patch, What::Patch(key.base.clone()));
        }
    }

    fn note(&mut self, need: Need, key: &CompatKey, value: &CompatV1) {
        if let Some(Document::Blob(blob)) = &value.document {
            self.name(need, *blob, What::Note(key.name.clone()));
        }
    }

    fn fact(&mut self, need: Need, fact: &Fact) {
        match fact {
            Fact::Job(_, job) => self.job(need, job),
            Fact::Package(_, package) => {
                if let Some(release) = &package.release {
                    self.release(need, release);
                }
            }
            Fact::Source(key, source) => self.source(need, key, source),
            Fact::Generation(key, value) => self.generation(need, key, value),
            Fact::Compat(key, value) => self.note(need, key, value),
            _ => {}
        }
    }

    fn in_force(&mut self, view: &View) {
        for (_, release) in view.all_releases() {
            self.release(Need::InForce, release);
        }
        for (key, value) in view.generations() {
            self.generation(Need::InForce, key, value);
        }
        for (key, source) in view.sources() {
            self.source(Need::InForce, key, source);
        }
        for (key, value) in view.all_compat() {
            self.note(Need::InForce, key, value);
        }
        for (_, job) in view.jobs().filter(|(_, job)| job.state == JobState::Queued) {
            self.job(Need::InForce, job);
        }
    }
}

impl Extend<(Digest, Need, What)> for Named {
    fn extend<T: IntoIterator<Item = (Digest, Need, What)>>(&mut self, blobs: T) {
        for (blob, need, what) in blobs {
            self.name(need, blob, what);
        }
    }
}

impl Ledger {
    /// The blobs that the held records name. Records of a later version may name others: see [`View::has_unread`].
    pub fn named(&mut self) -> Named {
        let (view, mut named) = (self.view(), Named::default());
        named.in_force(&view);
        for (author, value) in self.kept_values() {
            let counts = view.counts(author, &value.rank.tail().position);
            named.fact(if counts { Need::Past } else { Need::Void }, &value.fact);
        }
        named
    }
}
