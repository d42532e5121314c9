//! What records say: one frozen type per kind and version, with its key (FORMATS, "Kinds, keys and orders").
//!
//! Kinds 1 to 11 are here, 13 and 15 in [`super::door`]; 12 and 14 are reserved for `user` and `patch`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codec::{self, CodecError},
    ids::{Digest, Fingerprint, InvitationId, JobId, MeshId, NodeId, RequestId, Seat, Sha256},
    ledger::record::{Entry, KEY_LIMIT, Position, VALUE_LIMIT},
    names::{
        Architecture, EnvironmentName, MeshName, NodeName, PackageFileName, PackageName, PackageVersion,
        RepositoryName,
    },
    roles::Roles,
    signed::Signed,
    work::{FailureClass, JobIdentity},
};

/// The number of a kind, as it stands in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// A master let a node in.
    Admission = 1,
    /// Name, roles and leave of a member.
    Member = 2,
    /// A suspension, revocation or reinstatement.
    Verdict = 3,
    /// A permission to ask for admission.
    Invitation = 4,
    /// An OpenPGP certificate that packages may be signed with.
    Signer = 5,
    /// A setting of the mesh.
    Setting = 6,
    /// A tracked package base.
    Source = 7,
    /// A job, queued or ended.
    Job = 8,
    /// A package of a repository, or its tombstone.
    Package = 9,
    /// A file name bound to bytes for ever.
    Binding = 10,
    /// A numbered state of a repository's databases.
    Generation = 11,
    /// Reserved: a user of the HTTP side.
    User = 12,
    /// Something encrypted to each master-capable member.
    Sealed = 13,
    /// Reserved: a patch of a source.
    Patch = 14,
    /// The ahriman shim's own facts.
    Compat = 15,
}

/// What a value of one kind is called and keyed by.
pub trait Value: Serialize + DeserializeOwned + Sized {
    /// Its kind.
    const KIND: Kind;
    /// The type of its key.
    type Key: Serialize + DeserializeOwned + Ord + Clone;

    /// The entry that says it.
    fn entry(&self, key: &Self::Key) -> Result<Entry, CodecError> {
        Ok(Entry {
            kind: Self::KIND as u16,
            version: 1,
            key: codec::encode(key, KEY_LIMIT)?,
            value: codec::encode(self, VALUE_LIMIT)?,
        })
    }

    /// Reads an entry of this kind and version 1.
    fn read(entry: &Entry) -> Result<(Self::Key, Self), CodecError> {
        Ok((
            codec::decode(&entry.key, KEY_LIMIT)?,
            codec::decode(&entry.value, VALUE_LIMIT)?,
        ))
    }
}

macro_rules! kind {
    ($value:ty, $kind:ident, $key:ty) => {
        impl Value for $value {
            const KIND: Kind = Kind::$kind;
            type Key = $key;
        }
    };
}

kind!(AdmissionV1, Admission, NodeId);
kind!(MemberV1, Member, NodeId);
kind!(VerdictV1, Verdict, NodeId);
kind!(InvitationV1, Invitation, InvitationId);
kind!(SignerV1, Signer, Fingerprint);
kind!(SettingV1, Setting, String);
kind!(SourceV1, Source, SourceKey);
kind!(JobV1, Job, JobId);
kind!(PackageV1, Package, PackageKey);
kind!(BindingV1, Binding, BindingKey);
kind!(GenerationV1, Generation, GenerationKey);

/// A founding, as the authority signs it (`Purpose::Found`; the mesh is in every signature).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundingV1 {
    /// The founder.
    pub node: NodeId,
    /// Shown to people; may be changed by a setting later.
    pub mesh_name: MeshName,
}

/// An invitation, as the authority signs it (`Purpose::Invitation`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationStatementV1 {
    /// The public half of the key whose secret half the token carries.
    pub invitation: InvitationId,
    /// The most that the joiner may become.
    pub roles: Roles,
    /// Wall clock in milliseconds since 1970, judged by the admitting master with ± 120 s.
    pub expires_ms: u64,
    /// How many nodes may enter by it.
    pub uses: u32,
}

/// By what right a node entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Warrant {
    /// A [`FoundingV1`] signed by the authority.
    Founding(Signed),
    /// An [`InvitationStatementV1`] signed by the authority.
    Invitation(Signed),
}

/// Kind 1, keyed by node. Never edited: the first of each author by (incarnation, sequence) counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionV1 {
    /// 0 for the founder; else greater than the author's.
    pub seat: Seat,
    /// The name wished for; the view makes it unique.
    pub name: NodeName,
    /// Within the roles of the warrant.
    pub roles: Roles,
    /// The founding or the invitation.
    pub warrant: Warrant,
    /// The certificate that the node signs packages with, if it has one.
    pub signer: Option<Fingerprint>,
}

/// Kind 2, keyed by node. Greatest edit number, then left over present, then smaller roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberV1 {
    /// Seen + 1.
    pub edit: u64,
    /// The display name wished for.
    pub name: NodeName,
    /// At most those of its admission.
    pub roles: Roles,
    /// It said goodbye for good.
    pub left: bool,
}

/// The word of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ruling {
    /// Final word of the authority: never again. Holds the authority's signature over a [`VerdictStatementV1`].
    Revoked {
        /// `Purpose::Verdict`.
        statement: Signed,
    },
    /// By any member with the role master, where it was typed.
    Suspended {
        /// Seen + 1 over an earlier reinstatement, else as seen.
        generation: u64,
    },
    /// Final word of the authority; lifts suspensions of lower generations.
    Reinstated {
        /// Seen + 1.
        generation: u64,
        /// `Purpose::Verdict`.
        statement: Signed,
    },
}

/// What the authority signs when it revokes or reinstates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictStatementV1 {
    /// About whom.
    pub subject: NodeId,
    /// Revoked, else reinstated.
    pub revoked: bool,
    /// Of the reinstatement; 0 for a revocation.
    pub generation: u64,
    /// Where the subject's word ends (see [`VerdictV1::cut`]).
    pub cut: Option<Position>,
    /// See [`VerdictV1::standing`].
    pub standing: Vec<NodeId>,
    /// See [`VerdictV1::quarantine_since_ms`].
    pub quarantine_since_ms: Option<u64>,
}

/// Kind 3, keyed by its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictV1 {
    /// What is said.
    pub ruling: Ruling,
    /// Records of the subject above it are void; `None` voids all of them.
    pub cut: Option<Position>,
    /// For a subject with the role master: the admissions by it that stand (at most 256); its others fall.
    pub standing: Vec<NodeId>,
    /// `--quarantine SINCE`: what the subject built, signed or published since then is withdrawn.
    pub quarantine_since_ms: Option<u64>,
}

/// Kind 4, keyed by the invitation's public key. Closed over open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationV1 {
    /// An [`InvitationStatementV1`] signed by the authority.
    pub statement: Signed,
    /// No longer good for anything.
    pub closed: bool,
}

/// Kind 5, keyed by fingerprint. Greatest generation, then distrusted over trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerV1 {
    /// Seen + 1 on each edit.
    pub generation: u64,
    /// Signatures by it no longer count.
    pub distrusted: bool,
    /// The binary OpenPGP certificate, at most 4 KiB.
    pub certificate: Vec<u8>,
    /// The node that signs with it, if it is a node's.
    pub node: Option<NodeId>,
}

/// Kind 6, keyed by the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingV1 {
    /// Seen + 1.
    pub version: u64,
    /// As typed in a configuration file; empty means "as by default".
    pub value: String,
}

/// The key of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceKey {
    /// Where its packages are published.
    pub repository: RepositoryName,
    /// The package base.
    pub base: PackageName,
}

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// A directory that somebody sent.
    Directory,
    /// A git URL.
    Git {
        /// The URL.
        url: String,
    },
    /// A name looked up in the AUR.
    Aur,
    /// An archive that was uploaded or imported.
    Upload,
}

/// Kind 7. Greatest version, then removed over present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceV1 {
    /// Seen + 1.
    pub version: u64,
    /// No longer tracked.
    pub removed: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// The newest tree.
    pub tree: Digest,
    /// For which architectures; empty: all that repository and PKGBUILD name.
    pub arches: Vec<Architecture>,
    /// Blobs of patches, in order.
    pub patches: Vec<Digest>,
    /// Not updated automatically.
    pub hold: bool,
    /// How to build it.
    pub options: BuildOptions,
}

/// Options that are part of what a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct BuildOptions {
    /// Skip `check()` (makepkg(8)).
    pub nocheck: bool,
    /// Build although the PKGBUILD does not name the architecture (makepkg(8)).
    pub ignorearch: bool,
}

/// What became of a job, as far as the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Accepted and not ended; attempts live in the master's memory and on the worker's disk.
    Queued,
    /// The same failure on distinct workers, or one that no attempt can mend.
    Failed {
        /// What kind of failure.
        class: FailureClass,
        /// One line for people.
        error: String,
    },
    /// By request.
    Cancelled,
    /// Its packages are in the repository; absorbs every other end.
    Published,
}

/// What happens to a job's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Deliver {
    /// They enter our repository.
    Repository,
    /// They go to an ahriman upstream; not in our database, no binding.
    Upstream,
}

/// The end of a job: who did it, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The node that built, if one did.
    pub worker: Option<NodeId>,
    /// How many attempts it took.
    pub attempts: u32,
    /// The version that came out.
    pub version: Option<PackageVersion>,
    /// The log, compressed or not, as the worker kept it.
    pub log: Option<Digest>,
    /// Archives that the build root saw, from this repository; where they do not fit into a value, those with the least
    /// digests.
    pub inputs: Vec<Digest>,
    /// When the last attempt began, milliseconds since 1970; shown only.
    pub started_ms: Option<u64>,
}

/// Kind 8, keyed by job id. Published; else greatest generation, then cancelled over failed over queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobV1 {
    /// Raised by a retry.
    pub generation: u64,
    /// What became of it.
    pub state: JobState,
    /// Where its packages go.
    pub repository: RepositoryName,
    /// For which architecture; `any` for a base that is wholly `any`.
    pub arch: Architecture,
    /// The package base.
    pub base: PackageName,
    /// The version that the probe saw.
    pub version: PackageVersion,
    /// The exact source tree.
    pub tree: Digest,
    /// Where the tree came from.
    pub origin: Origin,
    /// How it is built.
    pub options: BuildOptions,
    /// Drawn by `rebuild`, so that the same tree becomes a new job.
    pub nonce: Option<RequestId>,
    /// Blob of the mesh-wide makepkg.conf.
    pub makepkg_conf: Digest,
    /// Blob naming the dependency snapshot, where the environment has one.
    pub snapshot: Option<Digest>,
    /// In which environment it is built.
    pub environment: EnvironmentName,
    /// SOURCE_DATE_EPOCH, in seconds.
    pub epoch: u64,
    /// Days since the founding at first acceptance; equal in all values of the job.
    pub day: u32,
    /// The node through which it was asked for.
    pub submitter: NodeId,
    /// When it was first accepted, milliseconds since 1970; shown only.
    pub submitted_ms: u64,
    /// What happens to its packages.
    pub deliver: Deliver,
    /// Present when it ended by an attempt.
    pub end: Option<JobEnd>,
}

impl JobV1 {
    /// The id that follows from what it asks for.
    pub fn id(&self, mesh: MeshId) -> Result<JobId, CodecError> {
        JobIdentity {
            purpose: JobIdentity::PURPOSE,
            mesh,
            repository: &self.repository,
            arch: &self.arch,
            base: &self.base,
            tree: self.tree,
            options: &self.options,
            nonce: self.nonce,
        }
        .id()
    }
}

/// The key of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageKey {
    /// The repository.
    pub repository: RepositoryName,
    /// The database's architecture (an `any` package has one entry per architecture).
    pub arch: Architecture,
    /// The package.
    pub name: PackageName,
}

/// Kind 9; K = 3. Greatest generation, then tombstone over release, then version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageV1 {
    /// Raised over a tombstone, by removal, rollback and downgrade.
    pub generation: u64,
    /// A release, or a tombstone.
    pub release: Option<ReleaseV1>,
}

/// One release of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseV1 {
    /// The full version.
    pub version: PackageVersion,
    /// The package base.
    pub base: PackageName,
    /// The archive's file name; its architecture may be `any`.
    pub file: PackageFileName,
    /// Length of the archive, in bytes.
    pub size: u64,
    /// SHA-256 of the archive, as pacman wants it.
    pub sha256: Sha256,
    /// The archive.
    pub archive: Digest,
    /// Its detached OpenPGP signature, where the policy demands or has one.
    pub signature: Option<Digest>,
    /// Who signed it.
    pub signer: Option<Fingerprint>,
    /// Blob of the package's metadata: all that its `desc` and `files` say.
    pub meta: Digest,
    /// The job that brought it.
    pub job: JobId,
    /// The node that built it.
    pub worker: NodeId,
    /// When it was built, seconds since 1970 (`builddate` of its .PKGINFO); shown only.
    pub built_at: u64,
}

/// The key of a binding: what pacman caches by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BindingKey {
    /// The package.
    pub name: PackageName,
    /// Its full version.
    pub version: PackageVersion,
    /// Its architecture.
    pub arch: Architecture,
}

/// Kind 10. Every binding counts, void or not, for the question whether a name is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingV1 {
    /// The archive that has this name for ever.
    pub archive: Digest,
}

/// The key of a generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GenerationKey {
    /// The repository.
    pub repository: RepositoryName,
    /// The architecture.
    pub arch: Architecture,
}

/// Kind 11. Greatest number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationV1 {
    /// Highest known + 1; never reused, never lower.
    pub number: u64,
    /// The index blob: what it shows.
    pub index: Digest,
    /// The database as served.
    pub db: Digest,
    /// The files list as served.
    pub files: Digest,
    /// Signature of the database, where databases are signed.
    pub db_signature: Option<Digest>,
    /// Signature of the files list, where databases are signed.
    pub files_signature: Option<Digest>,
    /// Seconds since 1970: the Last-Modified of its files; never goes back.
    pub time: u64,
}
