//! From a ping to a verdict: acknowledgements, misses, the word of a third, and the end of patience.

use std::time::Duration;

use crate::{
    ids::NodeId,
    machine::Instant,
    membership::{
        MemberState, Membership,
        io::Output,
        numbers::{ASKED, CLOSE_PING},
        peer::Inquiry,
    },
};

impl Membership {
    pub(super) fn acked(&mut self, now: Instant, node: NodeId, nonce: u64, out: &mut Vec<Output>) {
        let close = self.is_close(&node);
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let wrongly_accused = peer.state == MemberState::Suspect && peer.last_ack.is_some() && !peer.unproven;
        let Some(sent) = peer.acked(now, nonce) else {
            return;
        };
        peer.next_ping = close.then_some((sent + CLOSE_PING).max(now));
        if wrongly_accused {
            self.awareness.raise(now);
        }
        for ask in self.relays.reached(node, sent) {
            let reached = Some(true);
            out.push(Output::Answer { ask, reached });
        }
        self.enter(now, node, MemberState::Alive, out);
        if self.awareness.doubt().is_some_and(|doubt| doubt <= sent) {
            self.end_doubt(out);
        }
    }

    pub(super) fn asked(
        &mut self,
        now: Instant,
        ask: u64,
        about: NodeId,
        wait: Duration,
        out: &mut Vec<Output>,
    ) {
        let reached = match self.peers.get(&about) {
            None => Some(about == self.own().node),
            Some(peer) if peer.state == MemberState::Left => Some(false),
            Some(_) if self.relays.take(now, ask, about, wait) => return self.ping(now, about, out),
            Some(_) => None,
        };
        out.push(Output::Answer { ask, reached });
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        via: NodeId,
        about: NodeId,
        nonce: u64,
        reached: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&about) else {
            return;
        };
        let Some(inquiry) = peer.inquiry.as_mut().filter(|inquiry| inquiry.nonce == nonce) else {
            return;
        };
        if !inquiry.waiting.remove(&via) {
            return;
        }
        if reached {
            let first = !std::mem::replace(&mut peer.relayed, true);
            peer.hush();
            peer.unproven = false;
            peer.next_ping = Some(now + CLOSE_PING);
            if first {
                self.awareness.raise(now);
            }
            return self.enter(now, about, MemberState::Alive, out);
        }
        inquiry.denied += 1;
        if inquiry.waiting.is_empty() {
            self.lose(now, about, out);
        }
    }

    pub(super) fn confirm(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.watched()) else {
            return;
        };
        peer.accuse(now);
        let inquire = peer.inquiry.is_none();
        self.ping(now, node, out);
        self.enter(now, node, MemberState::Suspect, out);
        if inquire {
            self.inquire(now, node, out);
        }
    }

    /// Lets the timers of one member act that are due.
    pub(super) fn check(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let factor = self.awareness.factor();
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.watched()) else {
            return;
        };
        let due = |moment: Option<Instant>| moment.is_some_and(|moment| moment <= now);
        let ask = due(peer.miss_at) && peer.miss(now);
        if let Some(inquiry) = peer.inquiry.take_if(|inquiry| inquiry.deadline <= now)
            && inquiry.denied > 0
        {
            return self.lose(now, node, out);
        }
        if due(peer.given_up_at(factor)) {
            return self.lose(now, node, out);
        }
        if ask {
            if !peer.relayed {
                self.enter(now, node, MemberState::Suspect, out);
            }
            self.inquire(now, node, out);
        }
    }

    /// One random member that nobody else of us pings often, and one random lost one.
    pub(super) fn take_turn(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut alive = self.idle(MemberState::Alive);
        alive.retain(|node| !self.is_close(node));
        let mut lost = self.idle(MemberState::Lost);
        for nodes in [&mut alive, &mut lost] {
            if let Some(node) = self.rng.take(nodes) {
                self.ping(now, node, out);
            }
        }
    }

    pub(super) fn ping(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let nonce = self.next_nonce();
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.sent(now, nonce, self.awareness.factor());
            out.push(Output::Ping { node, nonce });
        }
    }

    /// Asks up to two others; with nobody to ask the longer timer decides alone.
    pub(super) fn inquire(&mut self, now: Instant, about: NodeId, out: &mut Vec<Output>) {
        let mut others = self.reachable(Some(about));
        let vias: Vec<NodeId> = std::iter::from_fn(|| self.rng.take(&mut others))
            .take(ASKED)
            .collect();
        let waits = vias
            .iter()
            .filter_map(|via| Some(self.peers.get(via)?.ask_wait()));
        let Some(wait) = waits.max().map(|wait| wait * self.awareness.factor()) else {
            return;
        };
        let nonce = self.next_nonce();
        if let Some(peer) = self.peers.get_mut(&about) {
            peer.inquiry = Some(Inquiry {
                nonce,
                deadline: now + wait,
                waiting: vias.iter().copied().collect(),
                denied: 0,
            });
        }
        // The rest of the time is for the way of question and answer.
        let wait = wait * 3 / 4;
        out.extend(vias.into_iter().map(|via| Output::AskIndirect {
            via,
            about,
            nonce,
            wait,
        }));
    }

    pub(super) fn lose(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.reset();
            peer.unproven = false;
        }
        self.enter(now, node, MemberState::Lost, out);
    }
}
