//! Waits for a condition, bounded: a test that waits for a time instead is either slow or wrong.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Between two looks at a condition, at first and at most: most looks start programs, and those that come too often take
/// the time of what is waited for.
const PAUSE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_millis(300);

/// Looks until `look` gives a value, and panics after `timeout`, naming what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, timeout: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(timeout, look).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}"))
}

/// Looks until `look` gives a value; `None` after `timeout`.
pub fn within<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let (begun, end) = (Instant::now(), Instant::now() + timeout);
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        let pause = (begun.elapsed() / 10).clamp(PAUSE, LONGEST_PAUSE);
        // Nobody unparks this thread; a spurious wake-up only looks once more.
        thread::park_timeout(pause.min(end.saturating_duration_since(Instant::now())));
    }
}
