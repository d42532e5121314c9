//! The order of runs within a stage, and whose fault it is when one fails.
//!
//! Faults of the worker are told apart by evidence that a build cannot forge: bwrap's own report, the free disk, the
//! kernel's count of processes that it killed for want of memory. Only then makepkg's words are believed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use pacmesh_protocol::work::FailureClass;

use super::{
    attempt::{AttemptSpec, RunStage, SRCINFO_LIMIT, StageOutcome},
    install,
    layout::{Layout, write_atomically},
    log::LogWriter,
    makepkg::{self, Failure},
    process::{self, Bounds, Cancel, Ended, Stop},
    runner::class_of_io,
    sandbox::{self, Identity, Options, SandboxError},
};

/// Less free disk than this behind a failure means that the disk was the reason, in bytes.
const DISK_FULL: u64 = 128 << 20;

/// Why a stage could not be run; always a fault of the worker.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    #[error("cannot set up the sandbox")]
    Sandbox(#[from] SandboxError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Fault(String, FailureClass),
}

impl StageError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// Its class.
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Sandbox(SandboxError::Write { source, .. }) | Self::Io { source, .. } => {
                class_of_io(source.kind())
            }
            Self::Sandbox(SandboxError::Replaced(_)) => FailureClass::Prepare,
            Self::Fault(_, class) => *class,
        }
    }

    /// The error and its causes in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

/// Runs one stage to its end.
pub(super) async fn run(
    layout: &Layout,
    spec: &AttemptSpec,
    stage: RunStage,
    cancel: &mut Cancel,
) -> Result<StageOutcome, StageError> {
    let log = LogWriter::append(&layout.log(), spec.limits.log).map_err(StageError::io("write the log"))?;
    let mut run = Run {
        layout,
        spec,
        stage,
        identity: Identity::for_attempt(layout.root()),
        log,
        cancel,
    };
    let ended = match stage {
        RunStage::Probe => run.probe().await,
        RunStage::Prepare => run.prepare().await,
        RunStage::Build => run.build().await,
    };
    match ended {
        Ok(()) => Ok(StageOutcome::Done),
        Err(Interrupted::Outcome(outcome)) => Ok(outcome),
        Err(Interrupted::Error(error)) => Err(error),
    }
}

/// The end of a stage before its last run.
enum Interrupted {
    Outcome(StageOutcome),
    Error(StageError),
}

impl<E: Into<StageError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// One run within a stage.
struct Task<'a> {
    bounds: Bounds,
    script: &'static str,
    arguments: &'a [String],
    input: Stdio,
}

impl<'a> Task<'a> {
    fn new(bounds: Bounds, script: &'static str, arguments: &'a [String]) -> Self {
        Self {
            bounds,
            script,
            arguments,
            input: Stdio::null(),
        }
    }
}

struct Run<'a> {
    layout: &'a Layout,
    spec: &'a AttemptSpec,
    stage: RunStage,
    identity: Identity,
    log: LogWriter,
    cancel: &'a mut Cancel,
}

impl Run<'_> {
    async fn probe(&mut self) -> Result<(), Interrupted> {
        let options = Options {
            frozen_tree: true,
            ..self.options()
        };
        let mark = [makepkg::PKGVER_MARK.to_owned()];
        let task = Task::new(self.metadata_bounds(), makepkg::PROBE_SCRIPT, &mark);
        let captured = self.sandboxed(&options, task).await?;
        self.keep_srcinfo(&captured)
    }

    async fn prepare(&mut self) -> Result<(), Interrupted> {
        self.install().await?;
        let options = Options {
            network: true,
            ..self.options()
        };
        let arguments = makepkg::arguments(self.stage, &self.spec.options);
        let task = Task::new(self.build_bounds(), makepkg::PREPARE_SCRIPT, &arguments);
        self.sandboxed(&options, task).await?;
        self.srcinfo().await
    }

    async fn build(&mut self) -> Result<(), Interrupted> {
        self.srcinfo().await?;
        self.check_pkgrel()?;
        let options = Options {
            frozen_pkgbuild: true,
            ..self.options()
        };
        let arguments = makepkg::arguments(self.stage, &self.spec.options);
        let task = Task::new(self.build_bounds(), makepkg::BUILD_SCRIPT, &arguments);
        self.sandboxed(&options, task).await.map(drop)
    }

    /// Extracts the inputs into the layer, as the build's uid, and lists them for pacman.
    async fn install(&mut self) -> Result<(), Interrupted> {
        install::write_database(self.layout, &self.spec.inputs)
            .map_err(StageError::io("write the list of installed packages"))?;
        let options = Options {
            frozen_tree: true,
            opened_layer: true,
            ..Options::default()
        };
        for input in &self.spec.inputs {
            self.note(&format!("installing {}", input.file))?;
            // Opened with the daemon's rights: the build's uid could not read the store.
            let archive = File::open(&input.path).map_err(StageError::io("open what it depends on"))?;
            let task = Task {
                bounds: self.build_bounds(),
                script: makepkg::INSTALL_SCRIPT,
                arguments: &[],
                input: archive.into(),
            };
            self.sandboxed(&options, task).await.map_err(not_the_jobs_fault)?;
        }
        Ok(())
    }

    async fn srcinfo(&mut self) -> Result<(), Interrupted> {
        let options = Options {
            frozen_tree: true,
            ..self.options()
        };
        let task = Task::new(self.metadata_bounds(), makepkg::SRCINFO_SCRIPT, &[]);
        let captured = self.sandboxed(&options, task).await?;
        self.keep_srcinfo(&captured)
    }

    fn keep_srcinfo(&self, text: &[u8]) -> Result<(), Interrupted> {
        write_atomically(&self.layout.srcinfo(), text, 0o600)
            .map_err(StageError::io("write .SRCINFO"))
            .map_err(Interrupted::from)
    }

    /// The PKGBUILD must show the pkgrel that it was told to have.
    fn check_pkgrel(&self) -> Result<(), Interrupted> {
        let Ok(told) = fs::read_to_string(self.layout.pkgrel()) else {
            return Ok(());
        };
        let srcinfo = fs::read(self.layout.srcinfo()).map_err(StageError::io("read .SRCINFO"))?;
        let srcinfo = String::from_utf8_lossy(&srcinfo);
        let shown = srcinfo
            .lines()
            .find_map(|line| line.trim().strip_prefix("pkgrel = "))
            .unwrap_or("none");
        if shown == told {
            return Ok(());
        }
        Err(Interrupted::Outcome(StageOutcome::Failed {
            class: FailureClass::Mismatch,
            reason: makepkg::one_line(&format!(
                "the PKGBUILD was told pkgrel={told} and shows pkgrel = {shown}"
            )),
        }))
    }

    fn options(&self) -> Options {
        let mut environment = vec![
            ("CARCH".to_owned(), self.spec.arch.to_string()),
            ("SOURCE_DATE_EPOCH".to_owned(), self.spec.epoch.to_string()),
        ];
        if self.spec.make_jobs > 0 {
            environment.push(("MAKEFLAGS".to_owned(), format!("-j{}", self.spec.make_jobs)));
        }
        Options {
            layered: self.stage != RunStage::Probe && !self.spec.inputs.is_empty(),
            environment,
            ..Options::default()
        }
    }

    const fn build_bounds(&self) -> Bounds {
        Bounds {
            total: self.spec.limits.build,
            silence: self.spec.limits.silence,
            capture: None,
        }
    }

    /// Somebody waits for a probe; within a build, which gives way to all else on the machine, nobody does.
    const fn metadata_bounds(&self) -> Bounds {
        let limits = &self.spec.limits;
        let is_probe = matches!(self.stage, RunStage::Probe);
        Bounds {
            total: if is_probe { limits.probe } else { limits.silence },
            silence: Duration::from_secs(3600),
            capture: Some(SRCINFO_LIMIT as usize),
        }
    }

    fn note(&mut self, text: &str) -> Result<(), StageError> {
        self.log.note(text).map_err(StageError::io("write the log"))
    }

    /// One run; its captured output if it succeeded.
    async fn sandboxed(&mut self, options: &Options, task: Task<'_>) -> Result<Vec<u8>, Interrupted> {
        let started = self.started_mark();
        for path in [&started, &self.layout.sandbox_status()] {
            remove_if_there(path).map_err(StageError::io("remove the marks of an earlier run"))?;
        }
        let command = sandbox::command(self.layout, self.identity, options, task.script, task.arguments)?;
        let killed_before = killed_for_memory();
        let ended = process::run(command, task.input, task.bounds, &mut self.log, self.cancel)
            .await
            .map_err(StageError::io("run the sandbox"))?;
        if ended.stop == Some(Stop::Cancelled) {
            return Err(Interrupted::Outcome(StageOutcome::Cancelled));
        }
        if ended.code == Some(0) && ended.stop.is_none() {
            return Ok(ended.captured);
        }
        let (class, reason) = self.judge(&ended, killed_for_memory() > killed_before);
        self.note(&format!("failed ({}): {reason}", class.name()))?;
        Err(Interrupted::Outcome(StageOutcome::Failed { class, reason }))
    }

    /// Written by the first line of every script: the walls stood and bash ran.
    fn started_mark(&self) -> PathBuf {
        self.layout.root().join("logdest/started")
    }

    fn judge(&self, ended: &Ended, killed_for_memory: bool) -> (FailureClass, String) {
        let has_started = self.started_mark().symlink_metadata().is_ok();
        if free_disk(self.layout).is_some_and(|free| free < DISK_FULL) {
            let text = "the disk of the worker is full".to_owned();
            return (FailureClass::Disk, text);
        }
        if !has_started && ended.stop.is_none() {
            let text = "the sandbox could not be set up, the log says why".to_owned();
            return (FailureClass::Sandbox, text);
        }
        if killed_for_memory && ended.stop.is_none() {
            let text = "the worker ran out of memory".to_owned();
            return (FailureClass::Memory, text);
        }
        let failure = Failure {
            stage: self.stage,
            code: ended.code,
            stop: ended.stop,
            findings: self.log.findings(),
        };
        failure.judge()
    }
}

/// What a build depends on was verified: that it cannot be extracted is not the job's doing.
fn not_the_jobs_fault(interrupted: Interrupted) -> Interrupted {
    match interrupted {
        Interrupted::Outcome(StageOutcome::Failed { class, reason }) if !class.is_workers_fault() => {
            let reason = format!("cannot install what it depends on: {reason}");
            StageError::Fault(reason, FailureClass::Sandbox).into()
        }
        other => other,
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Free bytes for an ordinary user on the attempt's disk.
fn free_disk(layout: &Layout) -> Option<u64> {
    let disk = rustix::fs::statvfs(layout.root()).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How often the kernel killed for want of memory since it started (`oom_kill` of /proc/vmstat, proc(5)).
fn killed_for_memory() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
        .unwrap_or(0)
}
