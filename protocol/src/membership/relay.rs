//! Round trips tried on behalf of others: every inquiry taken ends with one answer.

use std::time::Duration;

use crate::{
    ids::NodeId,
    machine::Instant,
    membership::numbers::{RELAY_WAIT, RELAYS},
};

#[derive(Debug, Clone)]
struct Relay {
    ask: u64,
    about: NodeId,
    begun: Instant,
    deadline: Instant,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Relays(Vec<Relay>);

impl Relays {
    /// Whether the inquiry was taken: there is a bound.
    pub(super) fn take(&mut self, now: Instant, ask: u64, about: NodeId, wait: Duration) -> bool {
        let room = self.0.len() < RELAYS;
        if room {
            let deadline = now + wait.min(RELAY_WAIT);
            self.0.push(Relay {
                ask,
                about,
                begun: now,
                deadline,
            });
        }
        room
    }

    /// The inquiries that an acknowledgement of a ping sent at `sent` answers.
    pub(super) fn reached(&mut self, about: NodeId, sent: Instant) -> Vec<u64> {
        self.remove(|relay| relay.about == about && relay.begun <= sent)
    }

    /// The inquiries whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<u64> {
        self.remove(|relay| relay.deadline <= now)
    }

    /// All inquiries.
    pub(super) fn clear(&mut self) -> Vec<u64> {
        self.remove(|_| true)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().map(|relay| relay.deadline).min()
    }

    fn remove(&mut self, done: impl Fn(&Relay) -> bool) -> Vec<u64> {
        let mut asks = Vec::new();
        self.0.retain(|relay| {
            let over = done(relay);
            if over {
                asks.push(relay.ask);
            }
            !over
        });
        asks
    }
}
