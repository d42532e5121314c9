//! The shape that all machines share: a plain value, `handle(now, input)`, an ordered list of outputs, one deadline.
//!
//! The order of the outputs carries meaning ("persist before send"); a driver obeys the list and knows no rules.

use std::{ops::Add, time::Duration};

/// A moment of a node's own liveness clock (CLOCK_BOOTTIME), as the time since some fixed moment in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The moment `since_origin` after the clock's origin.
    pub const fn at(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}

/// A machine: all that decides, nothing that acts.
pub trait Machine {
    /// What may happen to it.
    type Input;
    /// What it wants done, in order.
    type Output;

    /// Takes one input at `now` and appends what should be done.
    fn handle(&mut self, now: Instant, input: Self::Input, out: &mut Vec<Self::Output>);

    /// When it wants to be woken (by its wake-up input) if nothing happens before; `None`: never.
    fn next_wakeup(&self) -> Option<Instant>;
}
