//! How far this node trusts itself: the Lifeguard factor stretches its timers, and doubt keeps it from acting.

use crate::{
    machine::Instant,
    membership::numbers::{FACTOR_DECAY, FACTOR_LIMIT},
};

#[derive(Debug, Clone)]
pub(super) struct Awareness {
    factor: u32,
    /// When the factor last rose or fell.
    moved: Instant,
    doubt: Option<Instant>,
}

impl Awareness {
    /// A node that just started has met nobody: it is in doubt.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            factor: 1,
            moved: now,
            doubt: Some(now),
        }
    }

    /// The node was late, or accused a member wrongly.
    pub(super) fn raise(&mut self, now: Instant) {
        self.decay(now);
        self.factor = (self.factor + 1).min(FACTOR_LIMIT);
        self.moved = now;
    }

    /// Lets the factor fall by what the time since its last move allows.
    pub(super) fn decay(&mut self, now: Instant) {
        while self.factor > 1 && now >= self.moved + FACTOR_DECAY {
            self.factor -= 1;
            self.moved = self.moved + FACTOR_DECAY;
        }
    }

    pub(super) const fn factor(&self) -> u32 {
        self.factor
    }

    /// Since when the node is in doubt.
    pub(super) const fn doubt(&self) -> Option<Instant> {
        self.doubt
    }

    /// Begins the doubt anew; returns whether there was none.
    pub(super) fn begin_doubt(&mut self, now: Instant) -> bool {
        self.doubt.replace(now).is_none()
    }

    pub(super) fn end_doubt(&mut self) {
        self.doubt = None;
    }
}
