//! What the schedule hears and what it wants done; the driver obeys the list of outputs in order.

use crate::{
    ids::{Digest, Incarnation, JobId, NodeId},
    ledger::{kinds::JobV1, record::ReignId},
    names::{Architecture, EnvironmentName, NodeName, PackageName, PackageVersion, RepositoryName},
    schedule::Catalog,
    wire::ProbeError,
    work::{Capability, FailureClass, Fence, Inventory, Order, Probe, Report},
};

/// Whether a worker is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It misses pings: it keeps what it builds and gets nothing new.
    Suspect,
    /// Lost by a timer alone: it may be merely unheard, so its jobs wait 5 s.
    Unheard,
    /// It said goodbye, and what it builds goes on without it: those jobs wait 30 s for its return.
    Away,
    /// Confirmed lost, or it left with nothing under way: its jobs go on at once.
    Lost,
}

/// A member with the role worker, as discovery and its node record describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerState {
    /// What it can build.
    pub capability: Capability,
    /// Its name, for people.
    pub name: NodeName,
    /// Its life: after a new start its inventory is asked for again.
    pub incarnation: Incarnation,
    /// Whether it is there.
    pub liveness: Liveness,
    /// It finishes what it has and takes nothing new.
    pub draining: bool,
    /// Load as in its node record; only compared, the lower is preferred.
    pub load: u32,
}

/// What changed in the view of the ledger, told at once so that no job is judged between its package and its end.
#[derive(Debug, Clone, Default)]
pub struct ViewUpdate {
    /// Whole catalogs that changed; the one of each (repository, architecture) comes once before its first job.
    pub catalogs: Vec<(RepositoryName, Architecture, Catalog)>,
    /// Jobs that are new or changed: queued or ended.
    pub jobs: Vec<(JobId, JobV1)>,
    /// Jobs that the ledger holds no longer: they fell behind the horizon.
    pub forgotten: Vec<JobId>,
}

/// What may happen to the schedule.
#[derive(Debug, Clone)]
pub enum Input {
    /// A reign begins: all that was known is forgotten, fences count from 1.
    Reign(ReignId),
    /// The view changed. Directly after [`Input::Reign`]: the whole view.
    View(Box<ViewUpdate>),
    /// All workers that are members now; who is absent left or may no longer build. Directly after the first view.
    Workers(Vec<WorkerState>),
    /// The answer to [`Output::Probe`]; from a cache if the driver has one, with an error if the worker fell silent.
    Probed {
        /// Which job.
        job: JobId,
        /// What its PKGBUILD says.
        result: Result<Box<Probe>, ProbeError>,
    },
    /// The answer to [`Output::AskInventory`].
    Inventory {
        /// Whose.
        worker: NodeId,
        /// What it has.
        inventory: Box<Inventory>,
    },
    /// The answer to [`Output::Order`] or [`Output::Adopt`].
    Ordered {
        /// Who answered, or could not be asked.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// Which attempt.
        fence: Fence,
        /// Taken at this wall clock (milliseconds since 1970, shown only), or why not.
        result: Result<u64, String>,
    },
    /// A worker asks with which pkgrel to build. Answered by [`Output::AnswerPrepared`] or [`Output::Cancel`]; if by
    /// neither, the attempt is not judged yet and the worker should ask again.
    Prepared {
        /// Who asks.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// Which attempt.
        fence: Fence,
        /// The version after `pkgver()`.
        version: PackageVersion,
    },
    /// An attempt ended.
    Report {
        /// Who says so.
        worker: NodeId,
        /// How.
        report: Box<Report>,
    },
    /// The answer to [`Output::Verify`].
    Verified {
        /// Which job.
        job: JobId,
        /// Which attempt.
        fence: Fence,
        /// Archives and signatures are what they should be, or not.
        result: Result<(), VerifyError>,
    },
    /// The record that ends the job is synced. The view follows, or came before.
    Recorded {
        /// Which job.
        job: JobId,
    },
    /// The record that ends the job could not be written; it is tried again after a while.
    RecordFailed {
        /// Which job.
        job: JobId,
    },
    /// Somebody asks to stop a job.
    Cancel {
        /// Which job.
        job: JobId,
    },
    /// The moment of `next_wakeup` came.
    Wake,
}

/// Why a finished attempt was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Its archives or signatures are wrong; counts as a failure of the job there.
    #[error("{0}")]
    Mismatch(String),
    /// Its bytes could not be had; the job is built again.
    #[error("{0}")]
    Unreachable(String),
}

/// What the schedule wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask a worker what it has; without an answer, ask again.
    AskInventory {
        /// Whom.
        worker: NodeId,
    },
    /// Have a source's metadata read.
    Probe {
        /// For which job.
        job: JobId,
        /// By whom, unless it is cached.
        worker: NodeId,
        /// The source tree.
        tree: Digest,
        /// For which architecture.
        arch: Architecture,
        /// In which environment.
        environment: EnvironmentName,
    },
    /// Order an attempt.
    Order {
        /// From whom.
        worker: NodeId,
        /// What.
        order: Box<Order>,
    },
    /// Stop every attempt of a job up to this fence.
    Cancel {
        /// Where.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// Up to which attempt.
        fence: Fence,
    },
    /// Give a running attempt a fence of this reign. Answered by [`Input::Ordered`] with the new fence.
    Adopt {
        /// Where it runs.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// The fence that it has.
        old: Fence,
        /// The fence that it gets.
        new: Fence,
    },
    /// Tell the worker the version of [`crate::schedule::free_pkgrel`].
    AnswerPrepared {
        /// Who asked.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// The fence under which it asked.
        fence: Fence,
        /// The version after `pkgver()`.
        version: PackageVersion,
        /// The names that must be free, with their architectures.
        packages: Vec<(PackageName, Architecture)>,
    },
    /// Fetch and check the archives and signatures of a finished attempt.
    Verify {
        /// Who built.
        worker: NodeId,
        /// What came out.
        report: Box<Report>,
        /// What was promised.
        probe: Box<Probe>,
    },
    /// Write the publication record of a verified attempt.
    Publish {
        /// Which job.
        job: JobId,
        /// Who built.
        worker: NodeId,
        /// How many attempts it took.
        attempts: u32,
        /// What came out.
        report: Box<Report>,
        /// What was promised.
        probe: Box<Probe>,
    },
    /// Write the record that fails a job.
    Fail {
        /// Which job.
        job: JobId,
        /// What kind of failure.
        class: FailureClass,
        /// One line for people.
        error: String,
        /// How many attempts there were.
        attempts: u32,
        /// The attempt that decided it, with its worker; none if no attempt could mend it.
        report: Option<(NodeId, Box<Report>)>,
    },
    /// Write the record that cancels a job.
    CancelRecord {
        /// Which job.
        job: JobId,
    },
    /// Tell a worker that it may forget a report.
    AckReport {
        /// Whom.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// Which attempt.
        fence: Fence,
    },
}
