//! One member: the pings that are under way to it, its round-trip time, and how far its silence has gone.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    ids::NodeId,
    machine::Instant,
    membership::{
        Heard, MemberHint, MemberState, Seen, Version,
        numbers::{ASK_WAIT, MISSES, OUTSTANDING, PING_WAIT, RATE, RATE_WINDOW, UNCONFIRMED},
    },
};

/// Others were asked whether they reach a silent member.
#[derive(Debug, Clone)]
pub(super) struct Inquiry {
    pub(super) nonce: u64,
    pub(super) deadline: Instant,
    /// Who has not answered yet.
    pub(super) waiting: BTreeSet<NodeId>,
    /// How many answered that they do not reach it either.
    pub(super) denied: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) hint: MemberHint,
    pub(super) heard: Option<Heard>,
    pub(super) state: MemberState,
    since: Instant,
    pub(super) last_ack: Option<Instant>,
    rtt: Option<Duration>,
    pub(super) relayed: bool,
    /// No timer that began since this node started or last doubted itself has ended yet.
    pub(super) unproven: bool,
    /// Nonce and moment of the pings whose acknowledgement still counts, oldest first.
    pings: VecDeque<(u64, Instant)>,
    /// When the ping that is counted becomes a miss.
    pub(super) miss_at: Option<Instant>,
    pub(super) next_ping: Option<Instant>,
    misses: u32,
    /// When the first ping of the present silence was sent.
    silence: Option<Instant>,
    pub(super) inquiry: Option<Inquiry>,
    /// When its last gossiped records were accepted.
    accepted: VecDeque<Instant>,
}

impl Peer {
    pub(super) fn new(now: Instant, hint: MemberHint) -> Self {
        Self {
            hint,
            heard: None,
            state: MemberState::Suspect,
            since: now,
            last_ack: None,
            rtt: None,
            relayed: false,
            unproven: true,
            pings: VecDeque::new(),
            miss_at: None,
            next_ping: None,
            misses: 0,
            silence: None,
            inquiry: None,
            accepted: VecDeque::new(),
        }
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.heard.as_ref().map(|heard| heard.record.version())
    }

    /// Whether its timers run: neither given up nor gone.
    pub(super) const fn watched(&self) -> bool {
        matches!(self.state, MemberState::Alive | MemberState::Suspect)
    }

    /// Moves to `state`; returns whether it stood otherwise.
    pub(super) fn enter(&mut self, now: Instant, state: MemberState) -> bool {
        let moved = self.state != state;
        if moved {
            self.state = state;
            self.since = now;
        }
        moved
    }

    /// Notes a ping. Only that of a watched member has a miss; a lost one is merely called.
    pub(super) fn sent(&mut self, now: Instant, nonce: u64, factor: u32) {
        if self.pings.len() >= OUTSTANDING {
            self.pings.pop_front();
        }
        self.pings.push_back((nonce, now));
        if self.watched() {
            self.next_ping = None;
            self.miss_at.get_or_insert(now + self.ping_wait() * factor);
            self.silence.get_or_insert(now);
        }
    }

    /// Notes an acknowledgement and returns when its ping was sent; `None`: it is of no ping that still counts.
    pub(super) fn acked(&mut self, now: Instant, nonce: u64) -> Option<Instant> {
        let place = self.pings.iter().position(|(known, _)| *known == nonce)?;
        let (_, sent) = self.pings.drain(..=place).next_back()?;
        let sample = now.since(sent);
        // RFC 6298, 2.3: alpha = 1/8.
        self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        self.last_ack = Some(now);
        self.relayed = false;
        self.unproven = false;
        self.hush();
        Some(sent)
    }

    /// Counts a miss; returns whether others should be asked.
    pub(super) fn miss(&mut self, now: Instant) -> bool {
        self.miss_at = None;
        self.next_ping = Some(now);
        self.misses = self.misses.saturating_add(1);
        self.misses >= MISSES && self.inquiry.is_none()
    }

    /// Treats it as if it had missed its pings: somebody else got no answer from it.
    pub(super) fn accuse(&mut self, now: Instant) {
        self.misses = self.misses.max(MISSES);
        self.silence.get_or_insert(now);
    }

    /// The silence ended.
    pub(super) fn hush(&mut self) {
        self.misses = 0;
        self.miss_at = None;
        self.silence = None;
        self.inquiry = None;
    }

    /// Forgets every timer and every ping under way.
    pub(super) fn reset(&mut self) {
        self.hush();
        self.pings.clear();
        self.next_ping = None;
        self.relayed = false;
    }

    /// When its silence is believed though nobody confirmed it.
    pub(super) fn given_up_at(&self, factor: u32) -> Option<Instant> {
        let silent = self.watched() && self.misses >= MISSES;
        self.silence
            .filter(|_| silent)
            .map(|silence| silence + UNCONFIRMED * factor)
    }

    /// How long a third is given to answer about somebody, when it is as far away as this one.
    pub(super) fn ask_wait(&self) -> Duration {
        self.rtt.unwrap_or_default().saturating_mul(4).max(ASK_WAIT)
    }

    fn ping_wait(&self) -> Duration {
        self.rtt.unwrap_or_default().saturating_mul(4).max(PING_WAIT)
    }

    /// Whether one more gossiped record is within its rate; if so it is counted.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        while self
            .accepted
            .front()
            .is_some_and(|at| now.since(*at) >= RATE_WINDOW)
        {
            self.accepted.pop_front();
        }
        let room = self.accepted.len() < RATE;
        if room {
            self.accepted.push_back(now);
        }
        room
    }

    /// When it next wants something done.
    pub(super) fn next_wakeup(&self, factor: u32) -> Option<Instant> {
        let asked = self.inquiry.as_ref().map(|inquiry| inquiry.deadline);
        [self.miss_at, self.next_ping, asked, self.given_up_at(factor)]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            record: self.heard.as_ref().map(|heard| heard.record.clone()),
            hint: self.hint,
            state: self.state,
            since: self.since,
            last_ack: self.last_ack,
            rtt: self.rtt,
            relayed: self.relayed,
        }
    }
}
