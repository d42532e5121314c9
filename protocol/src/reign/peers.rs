//! What a node knows of the others: who may lead, who is alive, and who of them is a living master.
//!
//! A master lives while its node is alive in the life in which it claimed and does not itself announce another reign.
//! A report by a third node only tells of a master that this node does not see; it proves nothing. A reign that is proven
//! is followed also where its master is out of reach, as long as a third reaches it and a neighbour follows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{proof::VerifiedReign, rank};
use crate::{
    ids::{Incarnation, NodeId, Seat},
    ledger::record::ReignId,
    machine::Instant,
};

/// A node record that was sent before its author began to lead may arrive this long after the document.
const RECORD_DELAY: Duration = Duration::from_secs(1);

/// More grants come first, then the senior (FORMATS, "Reign").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strength {
    pub(super) grants: usize,
    pub(super) node: NodeId,
}

#[derive(Debug)]
struct Proven {
    reign: VerifiedReign,
    at: Instant,
}

#[derive(Debug)]
struct Heard {
    reign: Option<ReignId>,
    at: Instant,
    /// When it was first heard to say this, or was last told better.
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Peers {
    me: NodeId,
    members: BTreeMap<NodeId, Seat>,
    alive: BTreeMap<NodeId, Incarnation>,
    /// Alive by the word of a third only.
    relayed: BTreeMap<NodeId, Incarnation>,
    heard: BTreeMap<NodeId, Heard>,
    masters: BTreeMap<NodeId, Proven>,
}

impl Peers {
    pub(super) const fn new(me: NodeId) -> Self {
        Self {
            me,
            members: BTreeMap::new(),
            alive: BTreeMap::new(),
            relayed: BTreeMap::new(),
            heard: BTreeMap::new(),
            masters: BTreeMap::new(),
        }
    }

    pub(super) fn set_members(&mut self, members: BTreeMap<NodeId, Seat>) {
        self.masters.retain(|node, _| members.contains_key(node));
        self.members = members;
    }

    /// Takes who is alive; answers with those who came, or came back in another life.
    pub(super) fn set_alive(&mut self, mut alive: BTreeMap<NodeId, Incarnation>) -> BTreeSet<NodeId> {
        alive.remove(&self.me);
        let same = |node: &NodeId, before: &Incarnation| alive.get(node) == Some(before);
        let gone: Vec<_> = self
            .alive
            .iter()
            .filter(|(n, i)| !same(n, i))
            .map(|(n, _)| *n)
            .collect();
        for node in gone {
            self.heard.remove(&node);
            let outlived = |proven: &Proven| {
                alive
                    .get(&node)
                    .or_else(|| self.relayed.get(&node))
                    .is_none_or(|life| *life > proven.reign.reign.incarnation)
            };
            if self.masters.get(&node).is_some_and(outlived) {
                self.masters.remove(&node);
            }
        }
        let came = alive
            .iter()
            .filter(|(node, life)| self.alive.get(*node) != Some(*life))
            .map(|(node, _)| *node)
            .collect();
        self.alive = alive;
        came
    }

    pub(super) fn set_relayed(&mut self, relayed: BTreeMap<NodeId, Incarnation>) {
        self.relayed = relayed;
    }

    pub(super) fn hear(&mut self, member: NodeId, reign: Option<ReignId>, now: Instant) {
        if self.alive.contains_key(&member) {
            let same = self.heard.get(&member).filter(|heard| heard.reign == reign);
            let since = same.map_or(now, |heard| heard.since);
            self.heard.insert(
                member,
                Heard {
                    reign,
                    at: now,
                    since,
                },
            );
        }
    }

    /// Whether a member in reach has followed nobody for so long; it is then asked after anew.
    pub(super) fn is_forlorn(&mut self, member: &NodeId, wait: Duration, now: Instant) -> bool {
        let Some(heard) = self.heard.get_mut(member).filter(|heard| heard.reign.is_none()) else {
            return false;
        };
        let forlorn = now.since(heard.since) >= wait;
        if forlorn {
            heard.since = now;
        }
        forlorn
    }

    /// Whether the master of a reign is out of reach but alive by the word of a third, and a member in reach follows it.
    pub(super) fn leads_beyond(&self, reign: ReignId) -> bool {
        self.leads_beyond_others_than(None, reign)
    }

    /// The same, whatever `except` is said to follow: whoever claims follows nobody any more.
    pub(super) fn leads_beyond_others_than(&self, except: Option<&NodeId>, reign: ReignId) -> bool {
        let lives = self
            .relayed
            .get(&reign.node)
            .is_some_and(|life| *life <= reign.incarnation);
        let follows =
            |(member, heard): (&NodeId, &Heard)| Some(member) != except && heard.reign == Some(reign);
        lives && self.heard.iter().any(follows)
    }

    /// What a member announced counts no more.
    pub(super) fn forget(&mut self, member: &NodeId) {
        self.heard.remove(member);
    }

    /// Believes that the reign's node leads, if it is alive.
    pub(super) fn prove(&mut self, reign: VerifiedReign, now: Instant) {
        let node = reign.reign.node;
        if self
            .masters
            .get(&node)
            .is_none_or(|known| known.reign.reign <= reign.reign)
        {
            self.masters.insert(node, Proven { reign, at: now });
        }
    }

    /// Whoever granted another reign leads none.
    pub(super) fn unprove(&mut self, node: &NodeId) {
        self.masters.remove(node);
    }

    pub(super) fn unprove_all(&mut self) {
        self.masters.clear();
    }

    pub(super) fn is_entitled(&self, node: &NodeId) -> bool {
        self.members.contains_key(node)
    }

    pub(super) fn is_alive(&self, node: &NodeId) -> bool {
        self.alive.contains_key(node)
    }

    /// Whether somebody else may lead at all.
    pub(super) fn has_others(&self) -> bool {
        self.members.keys().any(|node| *node != self.me)
    }

    /// The master-capable members that are seen alive, sorted, with this node.
    pub(super) fn electorate(&self) -> Vec<NodeId> {
        let seen = |node: &&NodeId| **node == self.me || self.alive.contains_key(node);
        self.members.keys().filter(seen).copied().collect()
    }

    pub(super) fn rank(&self) -> u32 {
        rank::rank(&self.me, self.electorate().iter(), &self.members)
    }

    /// The most senior of the others that could lead.
    pub(super) fn heir(&self) -> Option<NodeId> {
        let others = self.electorate().into_iter().filter(|node| *node != self.me);
        others.min_by_key(|node| rank::seniority(node, &self.members))
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &VerifiedReign> {
        self.masters
            .values()
            .filter(|proven| self.lives(proven))
            .map(|proven| &proven.reign)
    }

    pub(super) fn living_reign(&self, node: &NodeId) -> Option<&VerifiedReign> {
        self.masters
            .get(node)
            .filter(|proven| self.lives(proven))
            .map(|proven| &proven.reign)
    }

    /// Whether a member that is alive tells of a master whose document this node lacks.
    pub(super) fn hears_master(&self) -> bool {
        self.heard.iter().any(|(member, heard)| {
            heard
                .reign
                .is_some_and(|reign| match self.alive.get(&reign.node) {
                    _ if reign.node == self.me => false,
                    // A node that is seen here speaks for itself.
                    Some(life) => {
                        *member == reign.node
                            && *life <= reign.incarnation
                            && self
                                .masters
                                .get(member)
                                .is_none_or(|proven| proven.reign.reign < reign)
                    }
                    None => true,
                })
        })
    }

    /// The members that are alive and do not announce `reign`.
    pub(super) fn unaware(&self, reign: ReignId) -> Vec<NodeId> {
        let follows = |node: &NodeId| self.heard.get(node).is_some_and(|h| h.reign == Some(reign));
        self.alive.keys().filter(|node| !follows(node)).copied().collect()
    }

    /// Whether `one` goes on where both lead.
    pub(super) fn stronger(&self, one: Strength, other: Strength) -> bool {
        let seniority = |strength: Strength| rank::seniority(&strength.node, &self.members);
        one.grants > other.grants || (one.grants == other.grants && seniority(one) < seniority(other))
    }

    fn lives(&self, proven: &Proven) -> bool {
        let reign = proven.reign.reign;
        let alive = self
            .alive
            .get(&reign.node)
            .is_some_and(|life| *life <= reign.incarnation);
        let disowned = self
            .heard
            .get(&reign.node)
            .is_some_and(|heard| heard.reign != Some(reign) && heard.at >= proven.at + RECORD_DELAY);
        alive && !disowned
    }
}

impl From<&VerifiedReign> for Strength {
    fn from(reign: &VerifiedReign) -> Self {
        Self {
            grants: reign.grants,
            node: reign.reign.node,
        }
    }
}
