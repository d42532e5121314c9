//! Programs that a test runs: always bounded in time, always with what they said.

use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::wait::within;

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// As typed, for messages.
    pub command: String,
    /// The exit code, 128 + N after a signal N; `None` where it was ended for taking too long.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Panics unless it succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Panics unless it failed with `code` and said why in one line, which is returned.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self}");
        let said = self.stderr.trim_end();
        assert_eq!(said.lines().count(), 1, "the reason is not one line: {self}");
        said.to_owned()
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// Standard output as one JSON value per line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"));
        self.stdout.lines().map(parse).collect()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self
            .code
            .map_or("took too long".to_owned(), |code| format!("exit {code}"));
        write!(
            f,
            "'{}': {end}\n--- stdout\n{}--- stderr\n{}",
            self.command, self.stdout, self.stderr
        )
    }
}

/// Runs a program to its end, with `input` on its standard input; its whole process group is ended after `timeout`.
pub fn run(mut command: Command, input: &str, timeout: Duration) -> Outcome {
    let text = words(&command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start '{text}': {error}"));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    if let Some(mut pipe) = child.stdin.take() {
        use std::io::Write;
        // A program that ends without reading its input is judged by its exit code.
        let _ = pipe.write_all(input.as_bytes());
    }
    let code = within(timeout, || child.try_wait().ok().flatten()).map(|status| {
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    });
    if code.is_none() {
        signal_group(&child, Signal::KILL);
        let _ = child.wait();
    }
    Outcome {
        command: text,
        code,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    }
}

/// Runs a program of the system and panics unless it succeeds within a minute; gives its standard output.
#[track_caller]
pub fn must(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command, "", Duration::from_secs(60)).ok().stdout
}

/// Signals a child that was started as the leader of a process group, with all that belong to the group.
pub fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        // A group that is gone needs no signal.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// The ids of all processes in whose command line `mark` stands.
pub fn marked(mark: &str) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(mark)
        })
        .collect()
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A command as it would be typed.
pub fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
