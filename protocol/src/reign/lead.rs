//! The time of leading: what must be merged before the first order, and who has yet to learn of the reign.

use std::{collections::BTreeSet, time::Duration};

use super::{
    io::Output,
    machine::{ReignMachine, State},
    peers::Strength,
    proof::VerifiedReign,
};
use crate::{ids::NodeId, machine::Instant};

/// First wait before the document is sent again to members that do not announce the reign; doubled up to the last.
const ANNOUNCE_FIRST: Duration = Duration::from_secs(1);
const ANNOUNCE_LAST: Duration = Duration::from_secs(30);
/// Wait before a granter whose ledger could not be merged is asked again.
const MERGE_RETRY: Duration = Duration::from_millis(500);
/// A master that doubted itself may have been succeeded: for this long after, it yields to any other master.
const HUMBLE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Lead {
    pub(super) verified: VerifiedReign,
    pub(super) merging: BTreeSet<NodeId>,
    merge_at: Option<Instant>,
    announce_at: Option<Instant>,
    announce_wait: Duration,
    /// It contends with another master only from here on.
    composed_at: Instant,
}

impl Lead {
    pub(super) fn new(verified: VerifiedReign, merging: BTreeSet<NodeId>, now: Instant) -> Self {
        Self {
            verified,
            merging,
            merge_at: None,
            announce_at: Some(now + ANNOUNCE_FIRST),
            announce_wait: ANNOUNCE_FIRST,
            composed_at: now,
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        [self.merge_at, self.announce_at].into_iter().flatten().min()
    }

    pub(super) fn merge_failed(&mut self, granter: NodeId, now: Instant) {
        if self.merging.contains(&granter) {
            self.merge_at.get_or_insert(now + MERGE_RETRY);
        }
    }

    /// The doubt began or ended at `now`.
    pub(super) fn doubted(&mut self, now: Instant) {
        self.composed_at = now + HUMBLE;
    }

    /// Members came: they are told soon again.
    pub(super) fn members_came(&mut self, now: Instant) {
        self.announce_wait = ANNOUNCE_FIRST;
        self.announce_at = Some(now + ANNOUNCE_FIRST);
    }

    fn merge_again(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.merge_at.is_some_and(|at| at <= now) {
            self.merge_at = None;
            out.extend(
                self.merging
                    .iter()
                    .map(|granter| Output::MergeFrom { granter: *granter }),
            );
        }
    }
}

/// What a master does about another one.
enum Verdict {
    Stay,
    StepDown,
    Contest,
}

impl ReignMachine {
    /// Leading goes on, unless the node may not lead, a higher reign is proven, or another master is met.
    pub(super) fn hold(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.judge_rivals(now) {
            Verdict::StepDown => self.step_down(out),
            Verdict::Contest => self.contest(now, out),
            Verdict::Stay => self.tend(now, out),
        }
    }

    fn judge_rivals(&self, now: Instant) -> Verdict {
        let State::Leading(lead) = &self.state else {
            return Verdict::Stay;
        };
        let (mine, me) = (&lead.verified, self.identity.node);
        let succeeded =
            |rival: &&VerifiedReign| rival.reign > mine.reign && rival.asked.binary_search(&me).is_ok();
        // One that was asked by this reign's claim learns of it, and then steps down by the same rule.
        let rival = |rival: &&VerifiedReign| {
            rival.reign > mine.reign || mine.asked.binary_search(&rival.reign.node).is_err()
        };
        if !self.may_lead() || self.peers.living().any(|reign| succeeded(&reign)) {
            return Verdict::StepDown;
        }
        let mut rivals = self.peers.living().filter(rival).peekable();
        if rivals.peek().is_none() {
            let outdone = self
                .highest
                .as_ref()
                .is_some_and(|highest| highest.reign > mine.reign);
            return if outdone { Verdict::StepDown } else { Verdict::Stay };
        }
        let composed = !self.in_doubt() && now >= lead.composed_at;
        if composed && rivals.all(|rival| self.peers.stronger(Strength::from(mine), rival.into())) {
            Verdict::Contest
        } else {
            Verdict::StepDown
        }
    }

    /// Two reigns met and this one goes on, under a new term that all are asked for.
    fn contest(&mut self, now: Instant, out: &mut Vec<Output>) {
        let State::Leading(lead) = &self.state else {
            return;
        };
        self.settling = Some(lead.verified.grants);
        // Those asked compare both reigns, hence they must have seen this one.
        let own = self.own_document.take();
        self.step_down(out);
        out.extend(own.map(|document| Output::Broadcast(Box::new(document))));
        self.claim(now, out);
    }

    pub(super) fn step_down(&mut self, out: &mut Vec<Output>) {
        if let State::Leading(lead) = &self.state {
            out.push(Output::Relinquish {
                reign: lead.verified.reign,
            });
        }
        self.own_document = None;
        self.state = State::Idle;
        self.wait = None;
    }

    /// Merges what is left and tells those who do not know.
    fn tend(&mut self, now: Instant, out: &mut Vec<Output>) {
        let State::Leading(lead) = &mut self.state else {
            return;
        };
        lead.merging.retain(|granter| self.peers.is_alive(granter));
        lead.merge_again(now, out);
        let unaware = self.peers.unaware(lead.verified.reign);
        if unaware.is_empty() {
            lead.announce_at = None;
            lead.announce_wait = ANNOUNCE_FIRST;
            return;
        }
        let due = *lead.announce_at.get_or_insert(now + lead.announce_wait);
        if due > now {
            return;
        }
        lead.announce_wait = (lead.announce_wait * 2).min(ANNOUNCE_LAST);
        lead.announce_at = Some(now + lead.announce_wait);
        if !self.in_doubt() {
            self.tell(unaware, out);
        }
    }

    /// Sends this node's own document.
    pub(super) fn tell(&self, to: impl IntoIterator<Item = NodeId>, out: &mut Vec<Output>) {
        let Some(document) = &self.own_document else {
            return;
        };
        out.extend(to.into_iter().map(|to| Output::SendDocument {
            to,
            document: Box::new(document.clone()),
        }));
    }
}
