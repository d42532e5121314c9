//! Jobs on their way: orders, fences, reports (FORMATS, "Jobs and attempts").

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Digest, JobId, MeshId, NodeId, RequestId, Sha256},
    ledger::{kinds::BuildOptions, record::ReignId},
    names::{Architecture, EnvironmentName, PackageFileName, PackageName, PackageVersion, RepositoryName},
};

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailureClass {
    /// Sources cannot be fetched, or their sums differ.
    Source,
    /// `prepare()` or `pkgver()` failed.
    Prepare,
    /// `build()` failed.
    Build,
    /// `check()` failed.
    Check,
    /// `package()` failed.
    Package,
    /// What came out is not what the probe promised.
    Mismatch,
    /// The worker's disk is full or broken.
    Disk,
    /// The worker's sandbox could not be set up.
    Sandbox,
    /// The worker ran out of memory.
    Memory,
    /// The worker vanished, or its runner did.
    Lost,
}

impl FailureClass {
    /// A fault of the worker never fails the job (invariant 4).
    pub const fn is_workers_fault(self) -> bool {
        matches!(self, Self::Disk | Self::Sandbox | Self::Memory | Self::Lost)
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Prepare => "prepare",
            Self::Build => "build",
            Self::Check => "check",
            Self::Package => "package",
            Self::Mismatch => "mismatch",
            Self::Disk => "disk",
            Self::Sandbox => "sandbox",
            Self::Memory => "memory",
            Self::Lost => "lost",
        }
    }
}

/// Which attempt: orders and reports of a lower fence change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The reign that ordered it.
    pub reign: ReignId,
    /// Counts the orders of that reign.
    pub number: u64,
}

/// What a job id is the hash of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobIdentity<'a> {
    /// Always `pacmesh/job/1`.
    pub purpose: &'a str,
    /// The mesh.
    pub mesh: MeshId,
    /// Where its packages go.
    pub repository: &'a RepositoryName,
    /// For which architecture.
    pub arch: &'a Architecture,
    /// The package base.
    pub base: &'a PackageName,
    /// The exact source tree.
    pub tree: Digest,
    /// How it is built.
    pub options: &'a BuildOptions,
    /// Drawn by `rebuild`.
    pub nonce: Option<RequestId>,
}

impl JobIdentity<'_> {
    /// The purpose string of job ids.
    pub const PURPOSE: &'static str = "pacmesh/job/1";

    /// The job's id: BLAKE3 of this value's encoding.
    pub fn id(&self) -> Result<JobId, crate::codec::CodecError> {
        let bytes = crate::codec::encode(self, 4 << 10)?;
        Ok(JobId(Digest::of(&bytes).0))
    }
}

/// One package that a PKGBUILD makes, as the probe saw it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProbedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its architecture in this job: the job's, or `any`.
    pub arch: Architecture,
    /// Dependency strings as written (`libfoo>=2`).
    pub depends: Vec<String>,
    /// Names that it provides, as written (`libfoo.so=2-64`).
    pub provides: Vec<String>,
}

/// What a PKGBUILD says for one architecture, read by `makepkg --printsrcinfo` in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Probe {
    /// The package base.
    pub base: PackageName,
    /// As written; `pkgver()` may raise it later.
    pub version: PackageVersion,
    /// Architectures that the PKGBUILD names.
    pub arches: Vec<Architecture>,
    /// Whether there is a `pkgver()` function.
    pub has_pkgver: bool,
    /// What it makes.
    pub packages: Vec<ProbedPackage>,
    /// Needed to build, as written.
    pub makedepends: Vec<String>,
    /// Needed to check, as written.
    pub checkdepends: Vec<String>,
}

/// An archive of this repository that a build root must contain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// The file name.
    pub file: PackageFileName,
    /// The archive.
    pub archive: Digest,
}

/// The master orders an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which job.
    pub job: JobId,
    /// Which generation of it.
    pub generation: u64,
    /// Which attempt.
    pub fence: Fence,
    /// Where its packages go.
    pub repository: RepositoryName,
    /// For which architecture.
    pub arch: Architecture,
    /// In which environment.
    pub environment: EnvironmentName,
    /// The exact source tree.
    pub tree: Digest,
    /// How it is built.
    pub options: BuildOptions,
    /// Blob of the mesh-wide makepkg.conf.
    pub makepkg_conf: Digest,
    /// Blob naming the dependency snapshot.
    pub snapshot: Option<Digest>,
    /// SOURCE_DATE_EPOCH, in seconds.
    pub epoch: u64,
    /// What the PKGBUILD must still say.
    pub probe: Probe,
    /// What the build root contains besides the environment.
    pub inputs: Vec<Input>,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Fetching the tree and inputs, then sources, `prepare()`, `pkgver()`; with network.
    Prepare,
    /// `build()`, `check()`, `package()`; without network.
    Build,
    /// Copying out, hashing, signing, keeping.
    Collect,
    /// Nothing left to do.
    Done,
}

/// One package that came out of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltPackage {
    /// The file name, whose parts are the package's.
    pub file: PackageFileName,
    /// Length, in bytes.
    pub size: u64,
    /// SHA-256 of the archive.
    pub sha256: Sha256,
    /// The archive.
    pub archive: Digest,
    /// Its detached OpenPGP signature.
    pub signature: Option<Digest>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It made these.
    Built(Vec<BuiltPackage>),
    /// It did not.
    Failed {
        /// What kind of failure.
        class: FailureClass,
        /// One line for people, at most 500 characters.
        error: String,
    },
    /// It was told to stop.
    Cancelled,
}

/// Most archives that are believed to have been in one build root.
pub const INPUT_LIMIT: usize = 8192;

/// What a worker says of an ended attempt; kept until the master acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which job.
    pub job: JobId,
    /// Which generation of it.
    pub generation: u64,
    /// Which attempt.
    pub fence: Fence,
    /// The last stage that was reached.
    pub stage: Stage,
    /// The version that was built.
    pub version: Option<PackageVersion>,
    /// BLAKE3 of the .SRCINFO after *prepare*.
    pub srcinfo: Option<Digest>,
    /// How it ended.
    pub outcome: Outcome,
    /// The log.
    pub log: Option<Digest>,
    /// Archives that the build root saw; what goes beyond [`INPUT_LIMIT`] is not read.
    pub inputs: Vec<Digest>,
    /// In which environment it was built.
    pub environment: EnvironmentName,
    /// Wall clock at its beginning, milliseconds since 1970; shown only.
    pub started_ms: u64,
}

/// One attempt that runs on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningAttempt {
    /// As ordered.
    pub order: Order,
    /// How far it is.
    pub stage: Stage,
    /// Wall clock at its beginning, milliseconds since 1970.
    pub started_ms: u64,
}

/// All that a worker has, for a new reign.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Attempts that run.
    pub running: Vec<RunningAttempt>,
    /// Reports that no master has acknowledged.
    pub reports: Vec<Report>,
    /// Blobs that it keeps for them.
    pub pinned: Vec<Digest>,
}

/// A worker as the schedule sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Who.
    pub node: NodeId,
    /// What its build roots are made of.
    pub environment: EnvironmentName,
    /// What it can build for; `any` goes anywhere.
    pub arches: Vec<Architecture>,
    /// How many attempts at once.
    pub slots: u32,
}
