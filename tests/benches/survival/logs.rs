//! What daemons say, with the time at which they said it: looking costs them nothing, and the time is theirs.

use std::time::SystemTime;

use pacmesh_tests::cluster::Node;

/// Lines of a node's log from some moment on that contain all of `words`, with their times.
pub(crate) fn since(node: &Node, from: SystemTime, words: &[&str]) -> Vec<(SystemTime, String)> {
    node.log()
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .filter_map(|line| Some((time_of(line)?, line.to_owned())))
        .filter(|(time, _)| *time >= from)
        .collect()
}

/// `2026-11-25T21:00:00.123456Z` at the beginning of a line.
fn time_of(line: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(line.split_whitespace().next()?).ok()
}

/// Milliseconds from one moment to another.
pub(crate) fn milliseconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64() * 1000.0
}
