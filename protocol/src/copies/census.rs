//! What is known of copies, and how it is learnt.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Duration,
};

use super::{Replica, Standing};
use crate::{
    ids::{Digest, NodeId},
    ledger::named::{Named, Need},
    machine::Instant,
    wire::HASH_BATCH,
};

/// A replica is asked again for all that it holds after so long: disks lose things.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a replica is left alone after a failure; doubled by each further one, up to [`REST_LIMIT`].
const REST: Duration = Duration::from_secs(5);
const REST_LIMIT: Duration = Duration::from_secs(300);

/// Whether a replica holds a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It was not asked.
    Unasked,
    /// It does not.
    Lacks,
    /// It does.
    Holds,
    /// It does not, and an errand is on its way.
    Coming,
}

/// What is remembered of a replica.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) replica: Replica,
    pub(super) known: BTreeMap<Digest, Known>,
    /// When it was last begun to ask it for everything again, and how far that came.
    round: Instant,
    cursor: Option<Digest>,
    asking: bool,
    /// It did not answer the last question.
    silent: bool,
    /// Errands under way.
    pub(super) errands: usize,
    /// Failed errands since one succeeded, and until when it is left alone.
    failures: u32,
    rests: Instant,
}

impl Seen {
    pub(super) fn knows(&self, blob: &Digest) -> Known {
        self.known.get(blob).copied().unwrap_or(Known::Unasked)
    }

    /// Its answer is still to come, and it gave no reason to doubt that it comes.
    pub(super) fn may_hold(&self, blob: &Digest) -> bool {
        !self.silent && self.knows(blob) == Known::Unasked
    }

    /// When it takes something again, if it does not now.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        Some(self.rests).filter(|rests| *rests > now)
    }

    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.rests_until(now).is_some()
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.rests = Instant::default();
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let rest = REST.saturating_mul(1 << self.failures.min(6)).min(REST_LIMIT);
        self.failures = self.failures.saturating_add(1);
        self.rests = now + rest;
    }

    /// The next to ask: what was never asked, then the rest of a round over everything.
    fn ask(&mut self, now: Instant, blobs: &BTreeMap<Digest, Need>) -> Vec<Digest> {
        if self.known.len() < blobs.len() {
            let unasked = blobs.keys().filter(|blob| self.knows(blob) == Known::Unasked);
            return unasked.take(HASH_BATCH).copied().collect();
        }
        if self.cursor.is_none() {
            if now.since(self.round) < AGAIN {
                return Vec::new();
            }
            self.round = now;
        }
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let next = blobs.range((after, Bound::Unbounded)).map(|(blob, _)| *blob);
        let next: Vec<Digest> = next.take(HASH_BATCH).collect();
        self.cursor = next.last().copied().filter(|_| next.len() == HASH_BATCH);
        next
    }
}

/// "Which of these do you hold?"
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who is asked.
    pub replica: NodeId,
    /// At most [`HASH_BATCH`].
    pub blobs: Vec<Digest>,
}

/// The memory of the leading master about copies.
#[derive(Debug, Clone, Default)]
pub struct Census {
    pub(super) wanted: u32,
    /// What is named by words that count.
    pub(super) blobs: BTreeMap<Digest, Need>,
    /// The same in the order of repair: by need, then by digest; before the place `settled` nothing is left to do.
    pub(super) order: Vec<(Need, Digest)>,
    pub(super) settled: usize,
    /// Something changed since the last plan; else the next one is not before `next_plan`.
    pub(super) is_changed: bool,
    pub(super) next_plan: Option<Instant>,
    /// Errands under way that bring something in force.
    pub(super) urgent: usize,
    pub(super) seen: BTreeMap<NodeId, Seen>,
    /// When what no replica holds may be looked for again.
    pub(super) search: BTreeMap<Digest, Instant>,
}

impl Census {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many copies are wanted, and of what; what was learnt of blobs that stay is kept.
    pub fn set_named(&mut self, wanted: u32, named: &Named) {
        self.wanted = wanted;
        self.blobs = named
            .iter()
            .filter(|(_, need, _)| *need != Need::Void)
            .map(|(blob, need, _)| (*blob, need))
            .collect();
        self.order = self.blobs.iter().map(|(blob, need)| (*need, *blob)).collect();
        self.order.sort_unstable();
        self.begin_anew();
        let blobs = &self.blobs;
        for seen in self.seen.values_mut() {
            seen.known.retain(|blob, _| blobs.contains_key(blob));
        }
        self.search.retain(|blob, _| blobs.contains_key(blob));
    }

    /// The replicas in reach now. One that comes, or comes back, is asked for everything.
    pub fn set_replicas(&mut self, now: Instant, replicas: &BTreeMap<NodeId, Replica>) {
        let before = self.seen.len();
        self.seen.retain(|node, _| replicas.contains_key(node));
        let is_same = |(node, seen): (&NodeId, &Seen)| replicas[node].leaves == seen.replica.leaves;
        if self.seen.len() < before || replicas.len() > self.seen.len() || !self.seen.iter().all(is_same) {
            self.begin_anew();
        }
        for (node, replica) in replicas {
            let seen = self.seen.entry(*node).or_insert_with(|| Seen {
                replica: *replica,
                known: BTreeMap::new(),
                round: now,
                cursor: None,
                asking: false,
                silent: false,
                errands: 0,
                failures: 0,
                rests: Instant::default(),
            });
            seen.replica = *replica;
        }
    }

    /// What is known changed: everything is looked at again.
    pub(super) fn begin_anew(&mut self) {
        (self.settled, self.is_changed) = (0, true);
    }

    /// What is to be asked now; one question at a time of each replica.
    pub fn questions(&mut self, now: Instant) -> Vec<Question> {
        let blobs = &self.blobs;
        let idle = self
            .seen
            .iter_mut()
            .filter(|(_, seen)| !seen.asking && !seen.is_resting(now));
        let asked = idle.filter_map(|(node, seen)| {
            let blobs = seen.ask(now, blobs);
            seen.asking = !blobs.is_empty();
            seen.asking.then_some(Question {
                replica: *node,
                blobs,
            })
        });
        asked.collect()
    }

    /// The answer to a question; `None` if none came.
    pub fn answered(&mut self, now: Instant, question: &Question, held: Option<&BTreeSet<Digest>>) {
        self.begin_anew();
        let Some(seen) = self.seen.get_mut(&question.replica) else {
            return;
        };
        (seen.asking, seen.silent) = (false, held.is_none());
        let Some(held) = held else {
            seen.rests = seen.rests.max(now + REST);
            return;
        };
        for blob in question.blobs.iter().filter(|blob| self.blobs.contains_key(blob)) {
            // What is on its way is told by its errand.
            let known = match held.contains(blob) {
                true => Known::Holds,
                false if seen.knows(blob) == Known::Coming => Known::Coming,
                false => Known::Lacks,
            };
            seen.known.insert(*blob, known);
        }
    }

    /// Whether every replica that answers said what it holds.
    pub fn is_known(&self) -> bool {
        self.seen
            .values()
            .all(|seen| seen.silent || seen.known.len() == self.blobs.len())
    }

    /// How the copies stand; what was not told counts as not held.
    pub fn standing(&self) -> Standing {
        let mut standing = Standing::default();
        for blob in self.blobs.keys() {
            let (mut holders, mut coming) = (0, false);
            for seen in self.seen.values() {
                match seen.knows(blob) {
                    Known::Holds => holders += 1,
                    Known::Coming => coming = true,
                    Known::Unasked | Known::Lacks => {}
                }
            }
            if holders < self.wanted {
                standing.short += 1;
                standing.coming += usize::from(coming);
                if holders == 0 && !coming {
                    standing.nowhere.insert(*blob);
                }
            }
        }
        standing
    }

    /// What is held by `node` and by no other replica that stays.
    pub fn sole(&self, node: &NodeId) -> Vec<Digest> {
        let holds = |seen: &Seen, blob: &Digest| seen.knows(blob) == Known::Holds;
        let Some(own) = self.seen.get(node) else {
            return Vec::new();
        };
        let elsewhere = |blob: &Digest| {
            self.seen
                .iter()
                .any(|(other, seen)| other != node && !seen.replica.leaves && holds(seen, blob))
        };
        self.blobs
            .keys()
            .filter(|blob| holds(own, blob) && !elsewhere(blob))
            .copied()
            .collect()
    }

    /// Whether somebody other than `node` stays, and could take what it holds.
    pub fn can_take_from(&self, node: &NodeId) -> bool {
        self.seen
            .iter()
            .any(|(other, seen)| other != node && !seen.replica.leaves)
    }

    /// Who holds any of these.
    pub fn holders(&self, blobs: &[Digest]) -> BTreeSet<NodeId> {
        let holds = |seen: &Seen| blobs.iter().any(|blob| seen.knows(blob) == Known::Holds);
        let holders = self.seen.iter().filter(|(_, seen)| holds(seen));
        holders.map(|(node, _)| *node).collect()
    }

    /// When to look again although nothing happened: rests end, rounds are due.
    pub fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        let of_replica = |seen: &Seen| {
            seen.rests_until(now)
                .into_iter()
                .chain([seen.round + AGAIN])
                .min()
        };
        let next = self.seen.values().filter_map(of_replica);
        next.chain(self.search.values().copied())
            .filter(|at| *at > now)
            .min()
    }
}
