//! When the own record is announced: changes within 200 ms together, and at least every five seconds.

use crate::{
    machine::Instant,
    membership::{
        NodeRecord,
        numbers::{HEARTBEAT, JOIN},
    },
};

#[derive(Debug, Clone)]
pub(super) struct Announce {
    own: NodeRecord,
    /// When the first change that was not announced yet was made.
    changed: Option<Instant>,
    begun: Instant,
    /// When the last announcement was made; `None`: never.
    last: Option<Instant>,
}

impl Announce {
    pub(super) const fn new(now: Instant, own: NodeRecord) -> Self {
        Self {
            own,
            begun: now,
            changed: None,
            last: None,
        }
    }

    pub(super) const fn own(&self) -> &NodeRecord {
        &self.own
    }

    /// Takes what the node says of itself from now on. Who it is, and which record of which life, is not its to say.
    pub(super) fn change(&mut self, now: Instant, mut record: NodeRecord) {
        record.node = self.own.node;
        record.incarnation = self.own.incarnation;
        record.sequence = self.own.sequence;
        record.goodbye = self.own.goodbye;
        record
            .addresses
            .truncate(crate::membership::record::ADDRESS_LIMIT);
        if record != self.own {
            self.own = record;
            self.changed.get_or_insert(now);
        }
    }

    /// Somebody new is there who may not have heard the own record: it is due as if it had changed.
    pub(super) fn repeat(&mut self, now: Instant) {
        self.changed.get_or_insert(now);
    }

    /// When the next announcement is due. 200 ms between two of them is the five per second that others accept.
    pub(super) fn due(&self) -> Instant {
        let Some(last) = self.last else {
            return self.begun;
        };
        let heartbeat = last + HEARTBEAT;
        match self.changed {
            Some(changed) => heartbeat.min((changed + JOIN).max(last + JOIN)),
            None => heartbeat,
        }
    }

    /// The next record of this life.
    pub(super) fn announce(&mut self, now: Instant) -> Box<NodeRecord> {
        self.own.sequence += 1;
        self.changed = None;
        self.last = Some(now);
        Box::new(self.own.clone())
    }

    /// The last record of this life.
    pub(super) fn goodbye(&mut self, now: Instant) -> Box<NodeRecord> {
        self.own.goodbye = true;
        self.announce(now)
    }
}
