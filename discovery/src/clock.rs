//! The two clocks of liveness: CLOCK_BOOTTIME counts sleep, CLOCK_MONOTONIC does not (clock_gettime(2)).

use std::time::Duration;

use pacmesh_protocol::machine::Instant;
use rustix::time::{ClockId, clock_gettime};

/// The difference of the clocks grows by more than this only in sleep (FORMATS, "sleep seen").
const SLEEP: Duration = Duration::from_secs(1);

/// This moment on CLOCK_BOOTTIME: what [`pacmesh_protocol::membership::Seen`] counts in.
pub fn now() -> Instant {
    Instant::at(read(ClockId::Boottime))
}

fn read(clock: ClockId) -> Duration {
    // Both clocks count up from boot: a negative part cannot be.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Notices that the machine slept.
#[derive(Debug)]
pub(crate) struct SleepWatch {
    asleep: Duration,
}

impl SleepWatch {
    pub(crate) fn new() -> Self {
        Self { asleep: asleep() }
    }

    /// Whether the machine slept since the last call.
    pub(crate) fn slept(&mut self) -> bool {
        self.grew(asleep())
    }

    fn grew(&mut self, asleep: Duration) -> bool {
        let before = std::mem::replace(&mut self.asleep, asleep);
        asleep.saturating_sub(before) > SLEEP
    }
}

/// How long the machine has slept since it was booted. Monotonic is read first, so that a pause between the two
/// readings can only be seen as sleep, never hide one.
fn asleep() -> Duration {
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stays_awake_is_not_taken_for_sleeping() {
        assert!(!SleepWatch::new().slept());
    }

    #[test]
    fn sleep_since_the_last_look_is_seen_once() {
        let before = Duration::from_secs(100);
        let mut watch = SleepWatch { asleep: before };
        assert!(!watch.grew(before + SLEEP));
        assert!(watch.grew(before + SLEEP * 3));
        assert!(!watch.grew(before + SLEEP * 3));
    }
}
