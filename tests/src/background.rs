//! Commands that go on while a test does other things: a `build` that waits, a `logs -f`.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    cluster::Node,
    process::{Outcome, signal_group, words},
    wait::within,
};

/// Tells the outputs of one process's commands apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A command that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Background {
    text: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Background {
    fn start(mut command: Command, place: PathBuf) -> Self {
        let text = words(&command);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stdout = place.with_extension(format!("{number}.out"));
        let stderr = place.with_extension(format!("{number}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("a file for what is said"))
            .stderr(File::create(&stderr).expect("a file for what goes wrong"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start '{text}': {error}"));
        Self {
            text,
            child,
            stdout,
            stderr,
        }
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Waits for its end; a command that takes longer than `timeout` is ended, and has no exit code.
    pub fn end(mut self, timeout: Duration) -> Outcome {
        let ended = within(timeout, || self.child.try_wait().ok().flatten());
        Outcome {
            command: self.text.clone(),
            code: ended.and_then(|status| status.code()),
            stdout: self.stdout(),
            stderr: std::fs::read_to_string(&self.stderr).unwrap_or_default(),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_running() {
            signal_group(&self.child, Signal::KILL);
        }
        // An error says that it was waited for already.
        let _ = self.child.wait();
    }
}

impl Node {
    /// Starts a command of the command line on this node, and goes on.
    pub fn start_cli(&self, arguments: &[&str]) -> Background {
        Background::start(self.command(arguments), self.home.clone())
    }
}
