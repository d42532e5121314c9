//! The runner: a small process per stage that outlives the daemon which started it.
//!
//! It holds the attempt's lock for its whole life, writes log and status into the folder, and is the only parent of
//! the sandbox: when it dies, however it dies, the sandbox dies too, and when it writes a status the sandbox is dead.
//! systemd must leave it alone when it stops the daemon (`KillMode=process`).

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use pacmesh_protocol::work::FailureClass;
use rustix::fs::FlockOperation;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    layout::{Layout, write_atomically},
    spec::{AttemptError, RunStage, StageOutcome, StageStatus, read_spec, write_status},
    stage,
};

/// Added to the niceness of what builds; I/O priority follows it (ioprio_set(2)). A probe is short and somebody waits for
/// it: behind the builds of a busy machine it would take seconds.
const NICENESS: i32 = 10;

/// How often the scheduler is told of it where others tell it of theirs, and how long after.
const WORDS: u32 = 8;
const WORD_PAUSE: Duration = Duration::from_millis(110);

/// Why a runner could not do its work. The daemon finds no status and calls the stage lost.
#[derive(Debug, thiserror::Error)]
enum RunnerError {
    #[error("usage: runner FOLDER probe|prepare|build")]
    Usage,
    #[error("cannot become a runner")]
    Setup(#[source] io::Error),
    #[error("another runner holds the folder's lock")]
    Locked,
    #[error("the stage has ended already")]
    Ended,
    #[error("the folder cannot be used")]
    Folder(#[from] AttemptError),
}

/// The hidden subcommand `runner FOLDER STAGE`; `arguments` are those two.
pub fn runner_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("pacmesh runner: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            // Standard error is the folder's runner.log; without it there is nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), RunnerError> {
    let (layout, stage) = parse(arguments)?;
    // What builds has no terminal, hence none to type into (TIOCSTI), and stays in this session: see `step_back`.
    rustix::process::setsid().map_err(|error| RunnerError::Setup(error.into()))?;
    if stage != RunStage::Probe {
        rustix::process::nice(NICENESS).map_err(|error| RunnerError::Setup(error.into()))?;
        step_back();
    }
    let this = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(this)).map_err(|error| RunnerError::Setup(error.into()))?;
    let _lock = lock(&layout)?;
    if layout.status(stage).exists() {
        return Err(RunnerError::Ended);
    }
    let started = format!("{} {stage}\n", this.as_raw_nonzero());
    write_atomically(&layout.runner(), started.as_bytes(), 0o600).map_err(RunnerError::Setup)?;
    let spec = read_spec(&layout)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunnerError::Setup)?;
    let outcome = runtime.block_on(async {
        let mut cancel = signal(SignalKind::terminate()).map_err(RunnerError::Setup)?;
        // Not the terminal's business either, should one be left.
        let _interrupt = signal(SignalKind::interrupt()).map_err(RunnerError::Setup)?;
        let _hangup = signal(SignalKind::hangup()).map_err(RunnerError::Setup)?;
        Ok::<_, RunnerError>(stage::run(&layout, &spec, stage, &mut cancel).await)
    })?;
    let outcome = outcome.unwrap_or_else(|error| StageOutcome::Failed {
        class: error.class(),
        reason: super::makepkg::one_line(&error.chain()),
    });
    write_status(&layout, &StageStatus { stage, outcome })?;
    Ok(())
}

/// A session is a group of its own to the scheduler, with as large a share as all others together in theirs, and niceness
/// counts only within it: the group is made nice, too (sched(7), "The autogroup feature"). The sandbox begins no other
/// session, or what it runs would take as much as the daemon. Kernels without groups have no such file; others take one
/// such word in a tenth of a second.
fn step_back() {
    for _ in 0..WORDS {
        let written = std::fs::write("/proc/self/autogroup", NICENESS.to_string());
        if !written.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
        std::thread::sleep(WORD_PAUSE);
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Layout, RunStage), RunnerError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let [folder, stage] = arguments.as_slice() else {
        return Err(RunnerError::Usage);
    };
    let folder = PathBuf::from(folder);
    let stage = stage.to_str().and_then(|stage| stage.parse().ok());
    match stage {
        Some(stage) if folder.is_absolute() => Ok((Layout::new(folder), stage)),
        _ => Err(RunnerError::Usage),
    }
}

fn lock(layout: &Layout) -> Result<File, RunnerError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(layout.lock())
        .map_err(RunnerError::Setup)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RunnerError::Locked),
        Err(error) => Err(RunnerError::Setup(error.into())),
    }
}

/// Keeps the class of a fault of the worker that is not an exit of makepkg.
pub(super) const fn class_of_io(kind: io::ErrorKind) -> FailureClass {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
            FailureClass::Disk
        }
        io::ErrorKind::OutOfMemory => FailureClass::Memory,
        _ => FailureClass::Sandbox,
    }
}
