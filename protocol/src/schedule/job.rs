//! An open job and how far it is. A job leaves this memory only when the view says that it ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{Incarnation, NodeId},
    ledger::{
        kinds::{Deliver, JobState, JobV1},
        record::ReignId,
    },
    machine::Instant,
    names::{Architecture, PackageName, RepositoryName},
    schedule::graph::Candidate,
    work::{FailureClass, Fence, Probe, Report, RunningAttempt},
};

/// What is known of a job's metadata.
#[derive(Debug, Clone)]
pub(crate) enum ProbeState {
    /// Nothing yet.
    Wanted,
    /// This worker was asked.
    Asked(NodeId),
    /// This.
    Known(Box<Probe>),
}

/// An attempt that was ordered or adopted and has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Where.
    pub(crate) worker: NodeId,
    /// In which of the worker's lives it was given.
    pub(crate) life: Incarnation,
    /// Its fence of this reign.
    pub(crate) fence: Fence,
    /// The fence that an adopted attempt has until the worker heard of the new one.
    pub(crate) adopted_from: Option<Fence>,
    /// The worker said that it has it.
    pub(crate) taken: bool,
    /// When it began, milliseconds since 1970; shown only.
    pub(crate) started_ms: Option<u64>,
}

impl Attempt {
    /// Whether `worker` means this attempt when it says `fence`.
    pub(crate) fn is(&self, worker: NodeId, fence: Fence) -> bool {
        self.worker == worker && (self.fence == fence || self.adopted_from == Some(fence))
    }
}

/// How a job is to end, once the record is written.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// By this attempt.
    Publish(NodeId, Box<Report>),
    /// For this reason.
    Fail {
        /// What kind of failure.
        class: FailureClass,
        /// One line for people.
        error: String,
        /// The attempt that decided it.
        report: Option<(NodeId, Box<Report>)>,
    },
    /// By request.
    Cancel,
}

/// How far a job is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// For what it needs, a worker, or a moment.
    Waiting,
    /// Being built.
    Building(Attempt),
    /// Built there; the driver looks at it.
    Verifying(NodeId, Box<Report>),
    /// The driver writes the record.
    Ending {
        /// Which.
        end: End,
        /// When it is handed out again, after it could not be written.
        again: Option<Instant>,
    },
}

/// Why a job waits although it could be ordered: the worker that had it may be merely unheard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    /// Until when.
    pub(crate) until: Instant,
    /// For whom.
    pub(crate) worker: NodeId,
}

/// An open job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// As accepted.
    pub(crate) value: JobV1,
    /// Its metadata.
    pub(crate) probe: ProbeState,
    /// How far it is.
    pub(crate) phase: Phase,
    /// The greatest fence that is known of it.
    pub(crate) latest: Option<Fence>,
    /// To whom which fence of this reign was given.
    pub(crate) given: BTreeMap<Fence, NodeId>,
    /// The attempt that ended last: what is said of it again changes nothing.
    pub(crate) over: Option<Fence>,
    /// How many attempts this reign knows of.
    pub(crate) attempts: u32,
    /// Where it failed by its own fault, and how.
    pub(crate) failures: BTreeMap<NodeId, BTreeSet<FailureClass>>,
    /// Reports that count and are acknowledged when the job has ended; the newest of each worker.
    pub(crate) reports: BTreeMap<NodeId, Fence>,
    /// Reports that cannot be judged yet; the newest of each worker.
    pub(crate) unjudged: BTreeMap<NodeId, Box<Report>>,
    /// Attempts that inventories named and nobody judged yet.
    pub(crate) found: BTreeMap<NodeId, Box<RunningAttempt>>,
    /// Whether it waits for a worker that may be merely unheard.
    pub(crate) hold: Option<Hold>,
    /// It is older than this reign, so that somebody may be building it.
    pub(crate) inherited: bool,
}

impl Job {
    /// A job as the view tells it.
    pub(crate) fn new(value: JobV1, inherited: bool) -> Self {
        Self {
            value,
            probe: ProbeState::Wanted,
            phase: Phase::Waiting,
            latest: None,
            given: BTreeMap::new(),
            over: None,
            attempts: 0,
            failures: BTreeMap::new(),
            reports: BTreeMap::new(),
            unjudged: BTreeMap::new(),
            found: BTreeMap::new(),
            hold: None,
            inherited,
        }
    }

    /// What its PKGBUILD says, if that is known.
    pub(crate) fn probe(&self) -> Option<&Probe> {
        match &self.probe {
            ProbeState::Known(probe) => Some(probe),
            ProbeState::Wanted | ProbeState::Asked(_) => None,
        }
    }

    /// As the graph sees it.
    pub(crate) fn candidate(&self) -> Option<Candidate<'_>> {
        self.probe().map(|probe| Candidate {
            probe,
            nocheck: self.value.options.nocheck,
            delivers: self.value.deliver == Deliver::Repository,
        })
    }

    /// The attempt that is under way.
    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            Phase::Building(attempt) => Some(attempt),
            Phase::Waiting | Phase::Verifying(..) | Phase::Ending { .. } => None,
        }
    }

    /// Whether it has neither a result nor an end yet.
    pub(crate) const fn is_undecided(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Building(_))
    }

    /// Whether it is to be ordered.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting)
    }

    /// Whether it belongs to the view of `(repository, arch)`.
    pub(crate) fn is_seen_from(&self, repository: &RepositoryName, arch: &Architecture) -> bool {
        self.value.repository == *repository && (self.value.arch == *arch || self.value.arch.is_any())
    }

    /// Whether `worker` may speak of the attempt with this fence: one that this reign gave to it, or one of an earlier
    /// reign, which nobody here gave and which may be adopted.
    pub(crate) fn is_fair(&self, reign: ReignId, worker: NodeId, fence: Fence) -> bool {
        fence.reign < reign || self.given.get(&fence) == Some(&worker)
    }

    /// Whether this report of `worker` was heard before and still counts.
    pub(crate) fn has_heard(&self, worker: NodeId, fence: Fence) -> bool {
        let unjudged = self
            .unjudged
            .get(&worker)
            .is_some_and(|report| report.fence == fence);
        unjudged || self.reports.get(&worker) == Some(&fence)
    }
}

/// A job that ended, as far as others need to know.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// How.
    pub(crate) state: JobState,
    /// For which repository.
    pub(crate) repository: RepositoryName,
    /// For which architecture.
    pub(crate) arch: Architecture,
    /// Which base.
    pub(crate) base: PackageName,
    /// What it would have made, if it failed in this reign.
    pub(crate) probe: Option<Box<Probe>>,
}
