//! The heal plan's hands: looks after every merge, brings the trees of what is to be rebuilt, and queues it.
//!
//! What is found is decided by [`pacmesh_protocol::heal`] alone. Here it is said once in the log, and what the plan asks
//! for is recorded when its tree is kept by replicas; one whose tree nobody in reach has is left to `status` to tell.

use pacmesh_protocol::{
    heal::{self, Finding, Remedy},
    ledger::kinds::{JobV1, Origin, Value},
    machine::Instant,
};

use super::*;

/// Between two looks at the view: a look reads all of it.
const PACE: Duration = Duration::from_secs(1);
/// Until a tree that was out of reach is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Most jobs that one record queues, far below what a record holds.
const BATCH: usize = 128;
/// Most findings of which it is known that they were said; beyond it some are said twice.
const SAID: usize = 4096;

/// What the leader remembers between two looks.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// When to look, if there is reason to.
    look_at: Option<Instant>,
    not_before: Instant,
    /// Trees are being brought.
    running: bool,
    /// Something was to be queued and could not be.
    stuck: bool,
    /// Whose trees were out of reach at the last look: others go before them.
    lacking: BTreeSet<JobId>,
    said: BTreeSet<RequestId>,
}

/// What came of the search for trees.
pub(super) struct Trees {
    /// Jobs whose trees are here,
    found: BTreeSet<JobId>,
    /// and whose are not.
    lacking: BTreeSet<JobId>,
    /// Who keeps those that are.
    copies: copies::Copies,
}

impl Healing {
    /// The view changed.
    pub(super) fn look(&mut self) {
        self.look_at = Some(self.not_before);
    }

    /// Somebody came or went: perhaps one who has a tree, or who makes this side of a cut the greater one.
    pub(super) fn look_if_stuck(&mut self) {
        if self.stuck {
            self.look();
        }
    }

    fn look_within(&mut self, wait: Duration) {
        self.stuck = true;
        self.look_at.get_or_insert(clock::now() + wait);
    }

    /// When to look next by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        self.look_at.filter(|_| !self.running)
    }
}

impl Leader {
    /// Looks at what the last merges left behind, if it is time.
    pub(super) fn heal(&mut self) {
        let now = clock::now();
        if self.healing.next().is_none_or(|at| at > now) {
            return;
        }
        self.healing.look_at = None;
        self.healing.not_before = now + PACE;
        let view = self.rooms.ledger.view();
        let plan = heal::plan(&view, self.rooms.mesh);
        self.say(&view, &plan);
        let mut wanted = rebuilds(plan);
        self.healing.stuck = !wanted.is_empty();
        if wanted.is_empty() || !self.may_heal(&view) {
            return;
        }
        wanted.sort_by_key(|(id, _)| self.healing.lacking.contains(id));
        wanted.truncate(BATCH);
        self.healing.running = true;
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let (mut found, mut lacking) = (Vec::new(), BTreeSet::new());
            for (id, job) in wanted {
                let needs = needs(&job);
                if rooms.obtain(&needs, &[]).await.is_empty() {
                    found.push((id, needs));
                } else {
                    lacking.insert(id);
                }
            }
            let blobs: BTreeSet<Digest> = found.iter().flat_map(|(_, needs)| needs.clone()).collect();
            let copies = copies::keep(&rooms, blobs.into_iter().collect(), Vec::new()).await;
            let jobs = found.into_iter().map(|(id, _)| id).collect();
            let trees = Trees {
                found: jobs,
                lacking,
                copies,
            };
            Event::Trees(trees)
        });
    }

    /// Trees are here: what the plan still asks for is queued.
    pub(super) async fn queue_rebuilds(&mut self, trees: Trees) {
        let Trees {
            found,
            lacking,
            copies,
        } = trees;
        self.healing.running = false;
        self.healing.lacking = lacking;
        let view = self.rooms.ledger.view();
        let (ready, missing): (Vec<_>, Vec<_>) = rebuilds(heal::plan(&view, self.rooms.mesh))
            .into_iter()
            .partition(|(id, _)| found.contains(id));
        // Without a copy nothing is accepted, here as elsewhere.
        let kept = !copies.holders.is_empty();
        if !missing.is_empty() || !kept {
            self.healing.look_within(LOOK_AGAIN);
        }
        if ready.is_empty() || !kept {
            return;
        }
        let now = clock::wall_ms();
        let entry = |(id, job): &(JobId, JobV1)| {
            let job = JobV1 {
                day: horizon::day_of_acceptance(&view, now),
                submitted_ms: now,
                ..job.clone()
            };
            job.entry(id)
        };
        let entries = ready.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let written = match entries {
            Ok(entries) => self.write(entries, None).await.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(record) => {
                for (id, job) in &ready {
                    tracing::info!(job = %id.short(), base = %job.base, term = self.reign.term, "queued by the heal plan");
                }
                let rooms = self.rooms.clone();
                self.tasks.spawn(async move {
                    copies::replicate(&rooms, &record, &copies).await;
                    Event::Nothing
                });
            }
            Err(error) => {
                tracing::warn!(error, "what the heal plan asks for could not be recorded");
                self.healing.look_within(WRITE_AGAIN);
            }
        }
    }

    /// A minority queues nothing by itself; who asks for a rebuild is served.
    fn may_heal(&self, view: &View) -> bool {
        let table = self.rooms.discovery.table();
        let table = table.borrow();
        heal::may_act(view, |node| *node == self.rooms.node || table.is_alive(node))
    }

    fn say(&mut self, view: &View, plan: &[Finding]) {
        if self.healing.said.len() > SAID {
            self.healing.said.clear();
        }
        for finding in plan {
            if self.healing.said.insert(finding.nonce) {
                tracing::warn!(
                    base = %finding.base,
                    repository = %finding.repository,
                    arch = %finding.arch,
                    term = self.reign.term,
                    master = %self.rooms.name_of(&self.reign.node),
                    "{}",
                    finding.describe(view)
                );
            }
        }
    }
}

/// The jobs that a plan asks for.
fn rebuilds(plan: Vec<Finding>) -> Vec<(JobId, JobV1)> {
    let asked = plan.into_iter().filter_map(|finding| match finding.remedy {
        // Nobody here can build what somebody brought.
        Remedy::Rebuild { id, job } if job.origin != Origin::Upload => Some((id, *job)),
        _ => None,
    });
    asked.collect()
}

/// What a job cannot be built without.
fn needs(job: &JobV1) -> Vec<Digest> {
    [Some(job.tree), Some(job.makepkg_conf), job.snapshot]
        .into_iter()
        .flatten()
        .collect()
}
