//! One sandboxed program, watched: its output goes to the log, its time and silence are bounded, and when this returns
//! nothing that it started is alive.
//!
//! Only the runner uses this. It makes itself the reaper of orphans, and the kernel reports the first process of a pid
//! namespace dead only after all others in it are, so "no children left" means "the sandbox is dead".

use std::{io, os::fd::OwnedFd, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::Child,
    time::{Instant, sleep_until},
};

use super::log::LogWriter;

/// How long the dying sandbox may take, once it was killed.
const DEATH: Duration = Duration::from_secs(60);

/// What a run may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// All of it.
    pub(super) total: Duration,
    /// Between two outputs.
    pub(super) silence: Duration,
    /// Standard output, in bytes, where it is kept apart from the log.
    pub(super) capture: Option<usize>,
}

/// Why a run was stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It took too long.
    Time,
    /// It printed nothing for too long.
    Silence,
    /// It printed more than may be captured.
    Output,
    /// It was told to.
    Cancelled,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code, unless a signal ended it.
    pub(super) code: Option<i32>,
    /// Set where it was stopped.
    pub(super) stop: Option<Stop>,
    /// Standard output, if it was captured.
    pub(super) captured: Vec<u8>,
}

/// The runner's wish to stop.
pub(super) type Cancel = tokio::signal::unix::Signal;

/// Runs `command` to its end, with `input` as its standard input; afterwards no process of it is left.
pub(super) async fn run(
    command: std::process::Command,
    input: Stdio,
    bounds: Bounds,
    log: &mut LogWriter,
    cancel: &mut Cancel,
) -> io::Result<Ended> {
    let (child, outputs) = spawn(command, input, bounds.capture.is_some())?;
    let mut watch = Watch {
        child,
        outputs,
        bounds,
        captured: Vec::new(),
        stop: None,
    };
    let code = watch.until_exit(log, cancel).await?;
    // A sandbox that cannot be shown dead must not be read from.
    reap_orphans().await?;
    watch.drain(log).await?;
    Ok(Ended {
        code,
        stop: watch.stop,
        captured: watch.captured,
    })
}

struct Outputs {
    log: Option<Receiver>,
    capture: Option<Receiver>,
}

fn spawn(mut command: std::process::Command, input: Stdio, capture: bool) -> io::Result<(Child, Outputs)> {
    let (log_end, log_writer) = io::pipe()?;
    let capture_end = if capture {
        let (end, writer) = io::pipe()?;
        command.stdout(writer);
        Some(end)
    } else {
        command.stdout(log_writer.try_clone()?);
        None
    };
    command.stderr(log_writer).stdin(input);
    let mut command = tokio::process::Command::from(command);
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn()?;
    // The parent's copies of the writing ends live in the command and would keep the pipes open.
    drop(command);
    let receiver = |end| Receiver::from_owned_fd(OwnedFd::from(end));
    let outputs = Outputs {
        log: Some(receiver(log_end)?),
        capture: capture_end.map(receiver).transpose()?,
    };
    Ok((child, outputs))
}

struct Watch {
    child: Child,
    outputs: Outputs,
    bounds: Bounds,
    captured: Vec<u8>,
    stop: Option<Stop>,
}

impl Watch {
    async fn until_exit(&mut self, log: &mut LogWriter, cancel: &mut Cancel) -> io::Result<Option<i32>> {
        let started = Instant::now();
        let mut heard = started;
        loop {
            let stopped = self.stop.is_some();
            let out_of_time = started + self.bounds.total;
            let too_silent = heard + self.bounds.silence;
            let stop = tokio::select! {
                biased;
                status = self.child.wait() => return Ok(status?.code()),
                _ = cancel.recv(), if !stopped => Some(Stop::Cancelled),
                () = sleep_until(out_of_time), if !stopped => Some(Stop::Time),
                () = sleep_until(too_silent), if !stopped => Some(Stop::Silence),
                read = self.outputs.read(&mut self.captured, log) => {
                    read?;
                    heard = Instant::now();
                    self.over_capture().then_some(Stop::Output)
                }
            };
            if let Some(stop) = stop.filter(|_| !stopped) {
                self.stop = Some(stop);
                self.kill();
            }
        }
    }

    fn over_capture(&mut self) -> bool {
        let limit = self.bounds.capture.unwrap_or(0);
        let over = self.captured.len() > limit;
        self.captured.truncate(limit);
        over
    }

    /// The outermost process is killed; the sandbox dies with its parent (`bwrap --die-with-parent`).
    fn kill(&mut self) {
        let group = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            // Already gone is as good as killed.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }

    /// What is still in the pipes; their other ends are closed, because nothing lives that could hold them.
    async fn drain(&mut self, log: &mut LogWriter) -> io::Result<()> {
        let limit = self.bounds.capture.unwrap_or(0);
        while self.outputs.is_open() {
            let read = self.outputs.read(&mut self.captured, log);
            match tokio::time::timeout(Duration::from_secs(5), read).await {
                Ok(read) => read?,
                Err(_) => break,
            }
            if self.captured.len() > limit {
                self.stop = self.stop.or(Some(Stop::Output));
                self.captured.truncate(limit);
            }
        }
        Ok(())
    }
}

impl Outputs {
    fn is_open(&self) -> bool {
        self.log.is_some() || self.capture.is_some()
    }

    /// Reads from whichever has bytes; waits for ever once both are closed.
    async fn read(&mut self, captured: &mut Vec<u8>, log: &mut LogWriter) -> io::Result<()> {
        let mut from_log = [0; 16 << 10];
        let mut from_capture = [0; 16 << 10];
        tokio::select! {
            count = read_some(&mut self.log, &mut from_log) => log.write(&from_log[..count?]),
            count = read_some(&mut self.capture, &mut from_capture) => {
                captured.extend(&from_capture[..count?]);
                Ok(())
            }
        }
    }
}

async fn read_some(pipe: &mut Option<Receiver>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(open) = pipe else {
        return std::future::pending().await;
    };
    let count = open.read(buffer).await?;
    if count == 0 {
        *pipe = None;
    }
    Ok(count)
}

async fn reap_orphans() -> io::Result<()> {
    let deadline = Instant::now() + DEATH;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) if Instant::now() > deadline => {
                return Err(io::Error::other("processes of the sandbox do not die"));
            }
            Ok(None) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
