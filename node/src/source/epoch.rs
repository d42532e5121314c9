//! SOURCE_DATE_EPOCH of a source directory (FORMATS, "Jobs and attempts"): never after now.
//!
//! The commit time of the last commit that touched a clean git directory, else the newest packed file's time. In a
//! repository of many packages only the commits of this directory count, so that work on its neighbours changes nothing.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

/// The epoch in seconds, at most `now`; `newest` is the newest packed file's time.
pub(super) fn source_date_epoch(directory: &Path, newest: SystemTime, now: SystemTime) -> u64 {
    commit_time(directory)
        .unwrap_or_else(|| seconds(newest))
        .min(seconds(now))
}

fn commit_time(directory: &Path) -> Option<u64> {
    let changes = git(
        directory,
        &["status", "--porcelain", "--untracked-files=normal", "--", "."],
    )?;
    if !changes.is_empty() {
        return None;
    }
    git(directory, &["log", "-1", "--format=%ct", "--", "."])?
        .trim()
        .parse()
        .ok()
}

/// Standard output of git, or `None` where there is no git, no repository or no commit.
fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        // A repository's own configuration may name programs to run on `status`.
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-C",
        ])
        .arg(directory)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
