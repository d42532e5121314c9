//! What nodes say to each other over the transport: one request enum, one reply enum, their limits.
//!
//! Every request opens a stream of its own: a frame with the [`Request`], then a frame with the [`Reply`]. Blobs and
//! followed logs are read from the rest of the stream. Frames are `length u32 (big-endian) | version u16 | bincode`.

use serde::{Deserialize, Serialize};

use crate::{
    entry::{CarriedKnock, KnockReply},
    ids::{Digest, JobId, NodeId, RecordHash, RequestId},
    ledger::{
        door::{Note, Secret},
        kinds::{BuildOptions, Origin},
        record::{Position, ReignId},
    },
    names::{Architecture, EnvironmentName, NodeName, PackageName, PackageVersion, RepositoryName},
    reign::document::{Ballot, Document},
    roles::Roles,
    signed::Signed,
    work::{BuiltPackage, Fence, Inventory, Order, Probe, Report},
};

/// The version that this binary writes in frames; a greater one is refused.
pub const WIRE_VERSION: u16 = 1;
/// Greatest length of a control frame, in bytes (FORMATS, "Numbers").
pub const FRAME_LIMIT: usize = 1 << 20;
/// Most records in one push or one answer to a pull; more are asked for again.
pub const RECORD_BATCH: usize = 256;
/// Greatest length of all records in one frame, in bytes: a frame less its envelope.
pub const RECORD_BATCH_BYTES: usize = 768 << 10;
/// Most hashes or digests in one question.
pub const HASH_BATCH: usize = 8192;

/// What one node asks another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// New records; acknowledged when synced.
    Push {
        /// At most [`RECORD_BATCH`], in the order in which they were written.
        records: Vec<Signed>,
    },
    /// The digest tree's root and first level.
    TreeTop,
    /// The second level below one first byte.
    TreeBranch {
        /// First byte of the record hashes.
        first: u8,
    },
    /// All record hashes below two bytes.
    TreeLeaf {
        /// First byte.
        first: u8,
        /// Second byte.
        second: u8,
    },
    /// Hashes of all records that contain a kind which this binary does not read.
    Unread,
    /// The records themselves.
    Pull {
        /// At most [`HASH_BATCH`]; the answer may be shorter.
        hashes: Vec<RecordHash>,
    },
    /// May I lead?
    Claim {
        /// A signed [`crate::reign::document::Claim`].
        claim: Signed,
    },
    /// This reign began.
    Reign {
        /// Its proof.
        document: Document,
    },
    /// A change, carried to the master.
    Carry {
        /// A signed [`Carried`].
        carried: Signed,
        /// Whether this is the second hop already.
        relayed: bool,
    },
    /// A knock, carried to the master.
    Knock {
        /// Knock and session binding.
        knock: Box<CarriedKnock>,
    },
    /// Read this source's metadata.
    Probe {
        /// The reign that asks.
        reign: ReignId,
        /// Where the tree may be fetched besides the asker.
        tree: Digest,
        /// For which architecture the worker must be able to build.
        arch: Architecture,
        /// In which environment.
        environment: EnvironmentName,
    },
    /// Build this.
    Order {
        /// The order; its fence carries the reign.
        order: Box<Order>,
    },
    /// Stop an attempt.
    Cancel {
        /// Which job.
        job: JobId,
        /// Every attempt up to this fence.
        fence: Fence,
    },
    /// Give a running attempt a new fence.
    Adopt {
        /// Which job.
        job: JobId,
        /// The fence that it has.
        old: Fence,
        /// The fence that it gets.
        new: Fence,
    },
    /// What do you have?
    Inventory {
        /// The reign that asks.
        reign: ReignId,
    },
    /// *prepare* is done: with which pkgrel do I build?
    Prepared {
        /// Which job.
        job: JobId,
        /// Which attempt.
        fence: Fence,
        /// The version after `pkgver()`.
        version: PackageVersion,
    },
    /// An attempt ended.
    Report {
        /// How.
        report: Box<Report>,
    },
    /// Which of these blobs do you keep?
    Have {
        /// At most [`HASH_BATCH`].
        blobs: Vec<Digest>,
    },
    /// Keep these blobs; answered when all are synced, or with what is missing.
    Keep {
        /// At most [`HASH_BATCH`].
        blobs: Vec<Digest>,
        /// Nodes that have them, besides the asker.
        from: Vec<NodeId>,
    },
    /// Stream a blob. Not answered by a [`Reply`] but by a [`BlobHead`] frame and the encoded bytes.
    Blob {
        /// Which.
        blob: Digest,
        /// First byte wanted; a multiple of 16 KiB.
        offset: u64,
    },
    /// Stream the log of a running or ended attempt: chunks until it ends. Answered by [`Reply::Done`], then frames
    /// of raw bytes, an empty one for "still alive".
    Log {
        /// Which job.
        job: JobId,
        /// First byte wanted.
        offset: u64,
        /// Go on until the attempt ends.
        follow: bool,
    },
    /// What the master knows of its jobs, for `jobs` and `why` typed elsewhere.
    JobStates {
        /// Empty: all open ones.
        jobs: Vec<JobId>,
    },
    /// "I stop leading": sent to the one who should lead next (`lead`, `leave`, a planned stop).
    Abdicate {
        /// The reign that ends.
        reign: ReignId,
    },
    /// How do the copies stand? To the master.
    Copies,
    /// "I am about to go: have others keep what only I hold." To the master; answered by [`Reply::Blobs`] with what is
    /// still only there, when that is nothing or when nothing more can be done.
    CopySole,
    /// What time is it there?
    Clock,
    /// Ask the master this for me, I cannot reach it. Answered as the master answers, and never passed on further.
    Relay {
        /// What.
        errand: Errand,
    },
    /// [`Request::Log`] of an attempt on another node, which the asker cannot reach.
    LogBeyond {
        /// Who runs or ran it.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// First byte wanted.
        offset: u64,
        /// Go on until the attempt ends.
        follow: bool,
    },
}

/// What a member brings to the master for a neighbour, besides changes. No request holds another: whoever decodes one
/// must know how deep it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// [`Request::Knock`].
    Knock {
        /// Knock and session binding.
        knock: Box<CarriedKnock>,
    },
    /// [`Request::JobStates`].
    JobStates {
        /// Empty: all open ones.
        jobs: Vec<JobId>,
    },
    /// [`Request::Copies`].
    Copies,
}

impl From<Errand> for Request {
    fn from(errand: Errand) -> Self {
        match errand {
            Errand::Knock { knock } => Self::Knock { knock },
            Errand::JobStates { jobs } => Self::JobStates { jobs },
            Errand::Copies => Self::Copies,
        }
    }
}

/// What comes before a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobHead {
    /// Here it is; BAO-encoded chunk groups of 16 KiB from the asked offset follow.
    Found {
        /// Length of the whole blob, in bytes.
        size: u64,
    },
    /// Not here.
    Missing,
    /// Too many streams; ask another node or later.
    Busy,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, and synced where that matters.
    Done,
    /// Not done.
    Refused {
        /// For people and logs; at most 500 characters.
        reason: String,
    },
    /// To `TreeTop` and `TreeBranch`: one digest per child; all zero for "nothing below".
    Tree {
        /// 256 digests.
        children: Vec<Digest>,
    },
    /// To `TreeLeaf` and `Unread`.
    Hashes {
        /// Sorted.
        hashes: Vec<RecordHash>,
    },
    /// To `Pull`.
    Records {
        /// At most [`RECORD_BATCH`].
        records: Vec<Signed>,
    },
    /// To `Claim`.
    Ballot(Box<Ballot>),
    /// To `Carry`.
    Carried(CarriedReply),
    /// To `Knock`.
    Knock(KnockReply),
    /// To `Probe`.
    Probed(Result<Probe, ProbeError>),
    /// To `Inventory`.
    Inventory(Box<Inventory>),
    /// To `Prepared`: build at this version.
    Build {
        /// With a free pkgrel.
        version: PackageVersion,
    },
    /// To `Have`: those that are kept. To `Keep`: those that are still missing.
    Blobs {
        /// A subset of what was asked.
        blobs: Vec<Digest>,
    },
    /// To `JobStates`.
    JobStates(Vec<LiveJob>),
    /// To `Copies`.
    Copies(CopiesState),
    /// To `Clock`.
    Clock {
        /// Milliseconds since 1970.
        wall_ms: u64,
    },
}

/// Why a source's metadata cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProbeError {
    /// The PKGBUILD is at fault; the same everywhere.
    #[error("{0}")]
    Source(String),
    /// This worker is at fault; another one may do.
    #[error("{0}")]
    Worker(String),
}

/// A change that a node asks the master for (`Purpose::Carried`, signed by the origin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Whose rights count.
    pub origin: NodeId,
    /// Drawn at random; the record that answers it holds it.
    pub request: RequestId,
    /// Wall clock in milliseconds since 1970, ± 120 s, after which it is void.
    pub deadline_ms: u64,
    /// What is asked.
    pub body: Change,
}

/// One source of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The exact source tree, held by the origin.
    pub tree: Digest,
    /// How people called it on the command line, for errors; at most 200 characters.
    pub label: String,
    /// Where it came from.
    pub origin: Origin,
    /// SOURCE_DATE_EPOCH, in seconds.
    pub epoch: u64,
}

/// What may be asked of the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Build these; all are accepted or none.
    Submit {
        /// `None`: the mesh's first repository.
        repository: Option<RepositoryName>,
        /// Empty: each that repository and PKGBUILD name.
        arches: Vec<Architecture>,
        /// How.
        options: BuildOptions,
        /// Track the sources (not `--once`).
        track: bool,
        /// What.
        sources: Vec<Submission>,
    },
    /// Build the tracked tree of these bases anew.
    Rebuild {
        /// The repository.
        repository: Option<RepositoryName>,
        /// Bases.
        bases: Vec<PackageName>,
    },
    /// Stop a job.
    CancelJob {
        /// Which.
        job: JobId,
    },
    /// Try an ended job again.
    RetryJob {
        /// Which.
        job: JobId,
    },
    /// Remove packages (bases or names).
    Remove {
        /// The repository.
        repository: Option<RepositoryName>,
        /// Names.
        names: Vec<PackageName>,
    },
    /// Hold or release sources.
    Hold {
        /// The repository.
        repository: Option<RepositoryName>,
        /// Bases.
        bases: Vec<PackageName>,
        /// Hold, else release.
        hold: bool,
    },
    /// Change a setting.
    Set {
        /// Which.
        name: String,
        /// Empty: as by default.
        value: String,
    },
    /// Change a member's name, roles or leave.
    EditMember {
        /// Whom.
        node: NodeId,
        /// A new display name.
        name: Option<NodeName>,
        /// Fewer roles.
        roles: Option<Roles>,
        /// Leave for good.
        left: bool,
    },
    /// Trust a certificate, or trust it no longer.
    Signer {
        /// Binary OpenPGP certificate.
        certificate: Vec<u8>,
        /// No longer.
        distrusted: bool,
    },
    /// Hand the lead over.
    Lead {
        /// To whom.
        node: NodeId,
    },
    /// Publish archives that somebody brought, each base as one batch.
    Upload {
        /// `None`: the mesh's first repository.
        repository: Option<RepositoryName>,
        /// At most [`UPLOADS`].
        archives: Vec<Uploaded>,
    },
    /// Replace or remove a secret of the HTTP side.
    Seal {
        /// What it is called.
        name: String,
        /// The version that it has now, 0 for none: of two who replace one at once, one is refused.
        seen: u64,
        /// `None` removes it.
        secret: Option<Secret>,
    },
    /// Write down what an ahriman client says.
    Note {
        /// At most [`NOTES`].
        notes: Vec<Note>,
        /// Blobs that these name, held by the origin.
        blobs: Vec<Digest>,
    },
}

/// Most archives of one upload: with all their entries they fit a record.
pub const UPLOADS: usize = 64;
/// Most notes of one change.
pub const NOTES: usize = 256;

/// An archive that somebody brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The base that its `.PKGINFO` names; as the rest, a claim that the master checks.
    pub base: PackageName,
    /// The archive, held by the origin.
    pub package: BuiltPackage,
}

/// The master's answer to a [`Carried`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CarriedReply {
    /// Recorded.
    Accepted {
        /// What it brought: job ids of a submission, in the order of sources and architectures.
        jobs: Vec<AcceptedJob>,
        /// How many copies are synced.
        copies: u32,
    },
    /// Refused; nothing was changed.
    Refused {
        /// For people: names the thing, the reason, the next step.
        reason: String,
    },
    /// This node does not lead; ask this one.
    NotMaster {
        /// Who does, if known.
        master: Option<NodeId>,
    },
}

/// A job as its submitter learns of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedJob {
    /// Its id.
    pub job: JobId,
    /// Its base.
    pub base: PackageName,
    /// It was there before.
    pub known: bool,
}

/// What the master knows of a job beyond the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveJob {
    /// Which.
    pub job: JobId,
    /// Who builds it.
    pub worker: Option<NodeId>,
    /// How many attempts so far, with the running one.
    pub attempts: u32,
    /// Why it does not run, for people.
    pub waiting_for: Option<String>,
    /// When the running attempt began, milliseconds since 1970.
    pub started_ms: Option<u64>,
}

/// How the copies of what records name stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesState {
    /// How many each shall have.
    pub wanted: u32,
    /// How many blobs have fewer.
    pub short: u32,
    /// Of these, how many are being copied now.
    pub coming: u32,
    /// What no replica in reach holds, for people; a few of them.
    pub nowhere: Vec<String>,
    /// How many no replica in reach holds.
    pub nowhere_count: u32,
}

/// A place in somebody's records, as vectors name it: all retained records up to here are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VectorEntry {
    /// Whose.
    pub author: NodeId,
    /// Up to where.
    pub position: Position,
}
