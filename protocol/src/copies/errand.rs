//! What is copied next, and to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    BLOBS, Census, ERRANDS, Errand, PER_REPLICA,
    census::{Known, Seen},
};
use crate::{
    ids::{Digest, NodeId},
    ledger::named::Need,
    machine::Instant,
};

/// How long after what no replica holds was looked for in vain it is looked for again.
const SEARCH: Duration = Duration::from_secs(60);

/// Why a copy is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Only those hold it that are about to go.
    Safety,
    /// Fewer hold it than shall.
    Copies,
}

/// A plan in the making.
#[derive(Debug)]
struct Draft {
    /// How many errands may be added.
    room: usize,
    errands: BTreeMap<NodeId, Errand>,
}

/// How a blob stands among the replicas.
#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    /// Those that hold it or are getting it; of these, those that stay.
    all: usize,
    staying: usize,
    /// Whether anybody holds it.
    is_held: bool,
    /// Whether somebody who was not asked yet may.
    is_open: bool,
}

impl Census {
    /// What is to be copied now, within the bounds of this module: first what only those hold that are about to go, then
    /// what is in force. At most one errand for each replica: the next plan follows when one of them ends.
    pub fn plan(&mut self, now: Instant) -> Vec<Errand> {
        if !self.is_changed && self.next_plan.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let under_way: usize = self.seen.values().map(|seen| seen.errands).sum();
        let mut draft = Draft {
            room: ERRANDS.saturating_sub(under_way),
            errands: BTreeMap::new(),
        };
        if self.seen.values().any(|seen| seen.replica.leaves) {
            self.fill(now, 0, &mut draft, |lack| lack == Lack::Safety);
        }
        self.settled = self.fill(now, self.settled, &mut draft, |_| true);
        let planned: Vec<Errand> = draft.errands.into_values().collect();
        for errand in &planned {
            self.urgent += usize::from(errand.need == Need::InForce);
            if let Some(seen) = self.seen.get_mut(&errand.replica) {
                seen.errands += 1;
            }
        }
        self.is_changed = !planned.is_empty();
        let rests = self.seen.values().filter_map(|seen| seen.rests_until(now));
        let searches = self.search.values().copied().filter(|next| *next > now);
        self.next_plan = rests.chain(searches).min();
        planned
    }

    /// Puts what lacks a copy into errands, from a place in the order of needs on. Gives the place before which nothing
    /// is left to do.
    fn fill(&mut self, now: Instant, from: usize, draft: &mut Draft, wants: impl Fn(Lack) -> bool) -> usize {
        let mut settled = from;
        for at in from..self.order.len() {
            let (need, blob) = self.order[at];
            let holding = self.holding(&blob);
            let Some(lack) = self.lacks(&holding) else {
                settled += usize::from(settled == at && !holding.is_open);
                continue;
            };
            if !wants(lack) || (!holding.is_held && self.is_searched(now, &blob)) {
                continue;
            }
            let Some(target) = self.target(now, &blob, draft) else {
                if draft.is_full(self.seen.len()) {
                    break;
                }
                continue;
            };
            draft.add(target, need, blob);
            if let Some(seen) = self.seen.get_mut(&target) {
                seen.known.insert(blob, Known::Coming);
            }
        }
        settled
    }

    /// Whether something in force is being copied.
    pub const fn is_mending(&self) -> bool {
        self.urgent > 0
    }

    /// How an errand ended: what is missing still; `None` if the replica did not answer.
    pub fn ended(&mut self, now: Instant, errand: &Errand, missing: Option<&BTreeSet<Digest>>) {
        self.urgent = self
            .urgent
            .saturating_sub(usize::from(errand.need == Need::InForce));
        if missing.is_none_or(|missing| !missing.is_empty()) {
            self.begin_anew();
        }
        self.is_changed = true;
        let Some(seen) = self.seen.get_mut(&errand.replica) else {
            return;
        };
        seen.errands = seen.errands.saturating_sub(1);
        for blob in &errand.blobs {
            if let Some(known) = seen.known.get_mut(blob) {
                let came = missing.is_some_and(|missing| !missing.contains(blob));
                *known = if came { Known::Holds } else { Known::Lacks };
            }
        }
        // What nobody has is not the replica's fault.
        let held: Vec<bool> = errand
            .blobs
            .iter()
            .map(|blob| self.holding(blob).is_held)
            .collect();
        let Some(seen) = self.seen.get_mut(&errand.replica) else {
            return;
        };
        match missing {
            Some(missing) if missing.is_empty() || !held.contains(&true) => seen.succeeded(),
            _ => seen.failed(now),
        }
    }

    /// Whether what no replica holds was looked for a short while ago; if not, it is now.
    fn is_searched(&mut self, now: Instant, blob: &Digest) -> bool {
        if self.search.get(blob).is_some_and(|next| *next > now) {
            return true;
        }
        self.search.insert(*blob, now + SEARCH);
        false
    }

    /// Whether a copy more is wanted of a blob of which all is known.
    fn lacks(&self, holding: &Holding) -> Option<Lack> {
        let wanted = (self.wanted as usize).min(self.seen.len());
        if holding.is_open {
            None
        } else if holding.staying == 0 && self.seen.values().any(|seen| !seen.replica.leaves) {
            Some(Lack::Safety)
        } else {
            (holding.all < wanted).then_some(Lack::Copies)
        }
    }

    fn holding(&self, blob: &Digest) -> Holding {
        let mut holding = Holding::default();
        for seen in self.seen.values() {
            let known = seen.knows(blob);
            holding.is_open |= seen.may_hold(blob);
            holding.is_held |= known == Known::Holds;
            if matches!(known, Known::Holds | Known::Coming) {
                holding.all += 1;
                holding.staying += usize::from(!seen.replica.leaves);
            }
        }
        holding
    }

    /// The replica with the least to do and then the most free disk that does not have it and takes something now.
    fn target(&self, now: Instant, blob: &Digest, draft: &Draft) -> Option<NodeId> {
        let takes = |node: &NodeId, seen: &Seen| {
            let fits = match draft.begun(node) {
                0 => draft.room > 0 && seen.errands < PER_REPLICA,
                begun => begun < BLOBS,
            };
            fits && seen.knows(blob) == Known::Lacks && !seen.replica.leaves && !seen.is_resting(now)
        };
        self.seen
            .iter()
            .filter(|(node, seen)| takes(node, seen))
            .min_by_key(|(node, seen)| {
                let full = u64::MAX - seen.replica.free_mib;
                (seen.errands, draft.begun(node), full, **node)
            })
            .map(|(node, _)| *node)
    }
}

impl Draft {
    fn begun(&self, node: &NodeId) -> usize {
        self.errands.get(node).map_or(0, |errand| errand.blobs.len())
    }

    fn add(&mut self, replica: NodeId, need: Need, blob: Digest) {
        let errand = self.errands.entry(replica).or_insert_with(|| Errand {
            replica,
            need,
            blobs: Vec::new(),
        });
        self.room -= usize::from(errand.blobs.is_empty());
        errand.need = errand.need.min(need);
        errand.blobs.push(blob);
    }

    /// Whether nothing more fits, whatever comes.
    fn is_full(&self, replicas: usize) -> bool {
        let whole = self.errands.values().all(|errand| errand.blobs.len() >= BLOBS);
        whole && (self.room == 0 || self.errands.len() == replicas)
    }
}
