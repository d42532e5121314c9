//! The heal plan: what a merge left behind that no single side would have made, and what is to be done about it.
//!
//! [`plan`] is a pure function of the view, so every node reports the same findings; only the leading master acts on
//! them. What is rebuilt gets a nonce that is derived from its finding ([`Finding::nonce`]): two masters, or one that
//! looks twice, make one job of one finding, and a finding whose job is in the ledger is never queued again.
//!
//! An input that was replaced by its own successor is no finding: the build might as well have come just before the
//! update, and rebuilding whatever needs an updated package would be a storm without end. A finding is what no order
//! of events on one side explains: an input that lost its name or its right, or that was outranked before the package
//! was published.
//!
//! Its tests stand beside those of the ledger (`ledger/tests/healing.rs`), whose worlds they need.

mod find;
mod remedy;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{JobId, MeshId, NodeId, RequestId},
    ledger::{
        kinds::{JobState, JobV1},
        view::View,
    },
    names::{Architecture, PackageName, PackageVersion, RepositoryName},
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Two sides of a cut built one version with different bytes.
    BoundTwice {
        /// Which version.
        version: PackageVersion,
    },
    /// A quarantine withdrew the newest release.
    Withdrawn {
        /// Which version.
        version: PackageVersion,
        /// Whose quarantine.
        member: NodeId,
    },
    /// Packages of one base are in force at two versions.
    TwoReleases {
        /// The greater one.
        newest: PackageVersion,
        /// Those that lag behind.
        behind: BTreeMap<PackageName, PackageVersion>,
    },
    /// Its build root saw packages that lost their name or their right, or were overtaken unseen.
    BuiltAgainst {
        /// Which ones.
        inputs: BTreeMap<PackageName, PackageVersion>,
    },
    /// It was published while another side removed the package: the removal is in force.
    Overtaken {
        /// Which version.
        version: PackageVersion,
        /// Who published.
        publisher: NodeId,
        /// Who removed.
        remover: NodeId,
    },
}

/// What is done about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The leading master queues this job, once the tree is in reach.
    Rebuild {
        /// Its id.
        id: JobId,
        /// Its value, but for the day and the time of its acceptance.
        job: Box<JobV1>,
    },
    /// That job is in the ledger.
    Asked {
        /// Its id.
        id: JobId,
        /// What became of it.
        state: JobState,
    },
    /// Another job of the same base is open; when it has ended, the finding may be gone.
    After {
        /// That job.
        id: JobId,
    },
    /// A package that it needs is to be healed first.
    Behind {
        /// Which base, or which package where nothing of that name is in force.
        base: PackageName,
    },
    /// Somebody holds the base; it is only reported.
    Held,
    /// It was uploaded: there is no tree to build it from.
    Uploaded,
    /// The ledger no longer knows the job that brought it, nor its tree.
    Forgotten,
    /// Nothing but a person can decide what is right.
    Report,
}

/// One thing that a merge left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which repository.
    pub repository: RepositoryName,
    /// Of which package base.
    pub base: PackageName,
    /// For which architecture; that of the job.
    pub arch: Architecture,
    /// What was found.
    pub cause: Cause,
    /// Which packages.
    pub packages: BTreeSet<PackageName>,
    /// What is done.
    pub remedy: Remedy,
    /// Names the finding, and with it the job that heals it.
    pub nonce: RequestId,
}

impl Finding {
    /// Whether it concerns a package or a base of this name.
    pub fn concerns(&self, name: &str) -> bool {
        self.base.as_str() == name || self.packages.iter().any(|package| package.as_str() == name)
    }
}

/// All findings, in an order that follows from the view alone; at most one of a cause for each job in force.
pub fn plan(view: &View, mesh: MeshId) -> Vec<Finding> {
    remedy::decide(view, mesh, find::all(view))
}

/// Whether so many masters are in reach that work may be begun without being asked for: more than half of those that
/// may lead, or half with the most senior (DESIGN, "Who leads"). A laptop on a train rebuilds nothing.
pub fn may_act(view: &View, in_reach: impl Fn(&NodeId) -> bool) -> bool {
    let able = view.master_capable();
    let here = able.keys().filter(|node| in_reach(node)).count();
    let senior = able.iter().min_by_key(|(node, seat)| (**seat, **node));
    here * 2 > able.len() || here * 2 == able.len() && senior.is_some_and(|(node, _)| in_reach(node))
}
