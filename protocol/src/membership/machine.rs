//! The machine: pings out, acknowledgements in, and a state for every member.
//!
//! A newer record never makes its author alive by itself: it has the author pinged at once, and the acknowledgement does.
//! The same holds for one that left. A lost member is called once in a while, so that both sides of a cut find out
//! when it heals.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    ids::NodeId,
    machine::{Instant, Machine},
    membership::{
        Heard, MemberHint, MemberState, NodeRecord, Table, Version,
        announce::Announce,
        awareness::Awareness,
        io::{Input, Judgement, Output},
        numbers::{FIRST_PINGS, TABLES, TURN},
        peer::Peer,
        relay::Relays,
        rival::Rival,
        rng::Rng,
    },
    signed::Signed,
};

/// Who is alive, in the eyes of one node.
#[derive(Debug, Clone)]
pub struct Membership {
    pub(super) announce: Announce,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    barred: BTreeSet<NodeId>,
    /// The ledger was heard: before, an empty mesh means nothing.
    pub(super) introduced: bool,
    pub(super) awareness: Awareness,
    pub(super) relays: Relays,
    pub(super) rng: Rng,
    pub(super) rival: Option<Rival>,
    nonce: u64,
    next_turn: Instant,
    first_pings: u32,
    /// What `next_wakeup` said last: by it the machine measures its own lateness.
    pub(super) promised: Option<Instant>,
}

impl Membership {
    /// A node that starts `now` and says `own` of itself. It is in doubt until the first [`Input::Members`] and until
    /// it has met one of them or lost all.
    pub fn new(now: Instant, own: NodeRecord, seed: u64) -> Self {
        Self {
            announce: Announce::new(now, own),
            peers: BTreeMap::new(),
            barred: BTreeSet::new(),
            introduced: false,
            awareness: Awareness::new(now),
            relays: Relays::default(),
            rng: Rng::new(seed),
            rival: None,
            nonce: 0,
            next_turn: now + TURN,
            first_pings: FIRST_PINGS,
            promised: None,
        }
    }

    /// What this node says of itself.
    pub const fn own(&self) -> &NodeRecord {
        self.announce.own()
    }

    /// The newest record of another member.
    pub fn record(&self, node: &NodeId) -> Option<&Arc<NodeRecord>> {
        Some(&self.peers.get(node)?.heard.as_ref()?.record)
    }

    /// Whether this node must not act: it was late, slept or just started and has met nobody since, or perhaps it is not
    /// the only holder of its key.
    pub const fn in_doubt(&self) -> bool {
        self.awareness.doubt().is_some() || self.rival.is_some()
    }

    /// A copy of all that others may look at.
    pub fn table(&self) -> Table {
        Table {
            own: Arc::new(self.own().clone()),
            members: self
                .peers
                .iter()
                .map(|(node, peer)| (*node, peer.seen()))
                .collect(),
            in_doubt: self.in_doubt(),
        }
    }

    /// The newest signed records of the others after `cursor`, in the order of their authors.
    pub fn records_after(&self, cursor: Option<NodeId>) -> impl Iterator<Item = (NodeId, &Arc<Signed>)> {
        let start = cursor.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.peers
            .range((start, std::ops::Bound::Unbounded))
            .filter_map(|(node, peer)| Some((*node, &peer.heard.as_ref()?.signed)))
    }

    /// Judges a gossiped record by what its (proven) sender claims, and counts it against its author's rate.
    pub fn judge(&mut self, now: Instant, author: NodeId, version: Version) -> Judgement {
        if self.barred.contains(&author) {
            return Judgement::Reject;
        }
        if !self.wants(&author, version) {
            return Judgement::Ignore;
        }
        let admitted = self.peers.get_mut(&author).is_none_or(|peer| peer.admits(now));
        if admitted {
            Judgement::Accept
        } else {
            Judgement::Ignore
        }
    }

    /// Whether a record is news: of a member (or, which is a bad sign, of this node) and newer than what is known.
    pub fn wants(&self, author: &NodeId, version: Version) -> bool {
        match self.peers.get(author) {
            Some(peer) => peer.version() < Some(version),
            None => *author == self.own().node && version > self.own().version(),
        }
    }

    fn set_members(
        &mut self,
        now: Instant,
        mut members: BTreeMap<NodeId, MemberHint>,
        barred: BTreeSet<NodeId>,
        out: &mut Vec<Output>,
    ) {
        members.retain(|node, _| *node != self.own().node && !barred.contains(node));
        self.barred = barred;
        self.peers.retain(|node, _| members.contains_key(node));
        let known = self.peers.len();
        for (node, hint) in members {
            let peer = self.peers.entry(node).or_insert_with(|| Peer::new(now, hint));
            peer.hint = hint;
        }
        let grew = self.peers.len() > known;
        if self.introduced && grew {
            let mut alive = self.reachable(None);
            for to in std::iter::from_fn(|| self.rng.take(&mut alive)).take(TABLES) {
                out.push(Output::SendTable { to });
            }
        }
        self.introduced = true;
    }

    fn heard(&mut self, now: Instant, heard: Heard, out: &mut Vec<Output>) {
        let node = heard.record.node;
        let version = heard.record.version();
        if node == self.own().node {
            return self.heard_of_oneself(now, version, heard.record.goodbye, out);
        }
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.version() >= Some(version) {
            return;
        }
        let goodbye = heard.record.goodbye;
        peer.heard = Some(heard);
        if goodbye {
            peer.reset();
            peer.unproven = false;
            self.enter(now, node, MemberState::Left, out);
        } else if peer.state == MemberState::Left {
            peer.unproven = true;
            peer.next_ping = Some(now);
            self.enter(now, node, MemberState::Suspect, out);
        } else if peer.state == MemberState::Lost {
            self.ping(now, node, out);
        }
    }

    fn met(&mut self, now: Instant, node: NodeId, dialled: bool, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&node) else {
            return;
        };
        if dialled {
            out.push(Output::SendTable { to: node });
        }
        // One that said goodbye may still be closing its connections; only a newer record brings it back.
        let unsure = matches!(peer.state, MemberState::Suspect | MemberState::Lost) || peer.relayed;
        if unsure {
            // Others that it meets at the same moment have exchanged tables without our record in theirs.
            self.announce.repeat(now);
            self.ping(now, node, out);
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        for ask in self.relays.expired(now) {
            let reached = Some(false);
            out.push(Output::Answer { ask, reached });
        }
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.check(now, node, out);
        }
        if now >= self.next_turn {
            self.next_turn = now + TURN;
            self.first_pings = FIRST_PINGS;
            self.take_turn(now, out);
        }
        self.press_rival(now, out);
        if now >= self.announce.due() {
            out.push(Output::Publish(self.announce.announce(now)));
        }
    }

    /// Sends the pings that are due; gives every watched member without a timer one where the rules ask for it.
    fn plan(&mut self, now: Instant, out: &mut Vec<Output>) {
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            let close = self.is_close(&node);
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            if !peer.watched() || peer.miss_at.is_some() {
                continue;
            }
            if peer.next_ping.is_none() {
                let first = peer.unproven && !close && self.first_pings > 0;
                if first {
                    self.first_pings -= 1;
                }
                peer.next_ping = (close || first).then_some(now);
            }
            if peer.next_ping.is_some_and(|moment| moment <= now) {
                self.ping(now, node, out);
            }
        }
    }

    pub(super) fn enter(&mut self, now: Instant, node: NodeId, state: MemberState, out: &mut Vec<Output>) {
        if self
            .peers
            .get_mut(&node)
            .is_some_and(|peer| peer.enter(now, state))
        {
            out.push(Output::Changed { node, state });
        }
    }

    /// Master and member, or both may lead.
    pub(super) fn is_close(&self, node: &NodeId) -> bool {
        let own = self.own();
        let master = own.reign.map(|reign| reign.node);
        let both_may_lead = own.roles.has(crate::roles::Role::Master)
            && self.peers.get(node).is_some_and(|peer| peer.hint.master_capable);
        both_may_lead || master == Some(own.node) || master == Some(*node)
    }

    /// The members of this state that no counted ping is under way to.
    pub(super) fn idle(&self, state: MemberState) -> Vec<NodeId> {
        let idle = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.state == state && peer.miss_at.is_none());
        idle.map(|(node, _)| *node).collect()
    }

    /// The members that can be asked something: alive, and by round trips of our own.
    pub(super) fn reachable(&self, except: Option<NodeId>) -> Vec<NodeId> {
        let alive = self.peers.iter().filter(|(node, peer)| {
            peer.state == MemberState::Alive && !peer.relayed && Some(**node) != except
        });
        alive.map(|(node, _)| *node).collect()
    }

    pub(super) const fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }
}

impl Machine for Membership {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        self.awareness.decay(now);
        self.notice_lateness(now, out);
        match input {
            Input::Tick => self.tick(now, out),
            Input::Slept => self.begin_doubt(now, out),
            Input::Members { members, barred } => self.set_members(now, members, barred, out),
            Input::Heard(heard) => self.heard(now, heard, out),
            Input::Met { node, dialled } => self.met(now, node, dialled, out),
            Input::Ack { node, nonce } => self.acked(now, node, nonce, out),
            Input::Asked { ask, about, wait } => self.asked(now, ask, about, wait, out),
            Input::Answered {
                via,
                about,
                nonce,
                reached,
            } => self.answered(now, via, about, nonce, reached, out),
            Input::Confirm(node) => self.confirm(now, node, out),
            Input::Own(record) => self.announce.change(now, *record),
            Input::Goodbye => out.push(Output::Publish(self.announce.goodbye(now))),
        }
        self.plan(now, out);
        self.settle_doubt(out);
        self.promised = self.next_wakeup();
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let factor = self.awareness.factor();
        let peers = self.peers.values().filter_map(|peer| peer.next_wakeup(factor));
        let own = [self.next_turn, self.announce.due()];
        let rival = self.rival.as_ref().map(Rival::next_wakeup);
        let timers = peers.chain(own).chain(rival);
        timers.chain(self.relays.next_deadline()).min()
    }
}
