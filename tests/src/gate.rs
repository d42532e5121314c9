//! Builds that end when the test says so, and the traces that builds leave.

use std::path::{Path, PathBuf};

use crate::{cluster::Node, fixtures::package};

/// A package whose `build()` counts aloud until its gate is opened.
pub fn gated(dir: &Path, name: &str) -> PathBuf {
    let lines = "build() {\n  local n=0\n  until [ -e \"$startdir/gate\" ]; do n=$((n+1)); echo \"tick $n.\"; sleep 0.2; done\n}";
    package(dir, name, lines)
}

/// Opens the gates of all builds that are under way on a node.
pub fn open_gates(node: &Node) {
    for attempt in attempts(node) {
        // A folder that is just being made or removed has no gate to be opened.
        let _ = std::fs::write(attempt.join("tree/gate"), "");
    }
}

/// The folders of the attempts that a node has.
pub fn attempts(node: &Node) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(builds(node)) else {
        return Vec::new();
    };
    let folders = entries.flatten().map(|entry| entry.path());
    folders
        .filter(|path| {
            !path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("probe"))
        })
        .collect()
}

fn builds(node: &Node) -> PathBuf {
    ["cache/builds", "builds"]
        .iter()
        .map(|name| node.home.join(name))
        .find(|path| path.is_dir())
        .unwrap_or_else(|| node.home.join("builds"))
}

/// How often runners were started for a stage, on all these nodes in all their lives.
pub fn runner_starts(nodes: &[Node], stage: &str) -> usize {
    let mark = format!("stage={stage}");
    let of_node = |node: &Node| {
        let log = node.log();
        let starts = log.lines().filter(|line| line.contains("a runner starts"));
        starts.filter(|line| line.contains(&mark)).count()
    };
    nodes.iter().map(of_node).sum()
}

/// The numbers that a gated build counted, as a log shows them.
pub fn ticks(log: &str) -> Vec<u32> {
    let number = |line: &str| line.strip_prefix("tick ")?.strip_suffix('.')?.parse().ok();
    log.lines().filter_map(number).collect()
}
