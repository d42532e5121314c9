//! This crate's one `now`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pacmesh_protocol::machine::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Wall clock, in milliseconds since 1970; never used to order anything.
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64
}

/// The liveness clock: goes on while the machine sleeps (clock_gettime(2), CLOCK_BOOTTIME).
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    Instant::at(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
}

/// A wall clock time as RFC 3339 in UTC, to the second.
pub fn rfc3339(ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
