//! The durable attempt folder: all that is needed to run, adopt, report or forget an attempt.
//!
//! A stage runs under a runner process that outlives this daemon. What the daemon knows it reads from the folder, so a
//! daemon that starts anew knows the same: a lock that is held means a runner lives, a status file means a
//! stage ended, neither means that the runner was lost, which is the worker's fault and never the job's.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    time::Duration,
};

use pacmesh_protocol::{
    codec::{self, CodecError},
    ledger::kinds::BuildOptions,
    names::{Architecture, PackageFileName},
    work::FailureClass,
};
use rustix::{
    fs::FlockOperation,
    io::Errno,
    process::{Pid, Signal},
};
use serde::{Deserialize, Serialize};

use super::{
    layout::{Layout, create_folder, is_plain_folder, write_atomically},
    sandbox::Identity,
};
use crate::source::{self, SourceError, TreeLimits};

/// Longest spec and status, in bytes; a build root has at most some thousand inputs.
const SPEC_LIMIT: usize = 1 << 20;

/// Longest archive that is taken from a build, in bytes (FORMATS, "Numbers": 16 GiB).
const ARCHIVE_LIMIT: u64 = 16 << 30;

/// Most files that are looked at behind a build.
const ARCHIVES_LIMIT: usize = 1024;

/// Longest .SRCINFO, in bytes (FORMATS, "Numbers": probe 1 MiB output).
pub(super) const SRCINFO_LIMIT: u64 = 1 << 20;

/// How long a runner may take to end its sandbox before it is killed itself.
const GRACE: Duration = Duration::from_secs(5);

/// Why an attempt folder cannot be used. The folder stays as it is; removing it is always possible.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The disk or file system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An id that would not be a plain folder name.
    #[error("'{0}' is not an attempt id: 1 to 100 of a-z A-Z 0-9 . _ -, starting with a letter or digit")]
    Id(String),
    /// A file of the folder is not what this program wrote.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// A stage is already running.
    #[error("a stage of {} is already running", .0.display())]
    Busy(PathBuf),
    /// The source tree cannot be written.
    #[error("cannot unpack the source tree")]
    Source(#[from] SourceError),
    /// The PKGBUILD has no line that could be changed, or is no file any more.
    #[error("cannot set pkgrel: {0}")]
    Pkgrel(&'static str),
}

/// Which part of an attempt a runner runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunStage {
    /// Metadata only, without network.
    Probe,
    /// Sources, `prepare()`, `pkgver()`; with network.
    Prepare,
    /// `build()`, `check()`, `package()`; without network.
    Build,
}

impl RunStage {
    const ALL: [Self; 3] = [Self::Probe, Self::Prepare, Self::Build];
}

impl fmt::Display for RunStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Prepare => "prepare",
            Self::Build => "build",
        })
    }
}

impl FromStr for RunStage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.to_string() == text)
            .ok_or_else(|| format!("'{text}' is not a stage: probe, prepare or build"))
    }
}

/// An archive that the build root contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputArchive {
    /// Its file name.
    pub file: PackageFileName,
    /// Where its bytes are; absolute, and pinned by the caller while the attempt lives.
    pub path: PathBuf,
}

/// What a stage may cost (FORMATS, "Numbers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// A probe, and every other reading of metadata.
    pub probe: Duration,
    /// *prepare* and *build*, each.
    pub build: Duration,
    /// Between two outputs of *prepare* and *build*.
    pub silence: Duration,
    /// The log over all stages, in bytes.
    pub log: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(60),
            build: Duration::from_secs(12 * 3600),
            silence: Duration::from_secs(2 * 3600),
            log: 64 << 20,
        }
    }
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// `CARCH`; for a job of arch `any`, the machine's.
    pub arch: Architecture,
    /// SOURCE_DATE_EPOCH, in seconds.
    pub epoch: u64,
    /// How it is built.
    pub options: BuildOptions,
    /// What the build root contains besides the environment.
    pub inputs: Vec<InputArchive>,
    /// `make -j` of this attempt.
    pub make_jobs: u32,
    /// The bounds of its stages.
    pub limits: Limits,
    /// The caller's own bytes (its order), kept and given back unread.
    pub note: Vec<u8>,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Which.
    pub stage: RunStage,
    /// How.
    pub outcome: StageOutcome,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageOutcome {
    /// It did what it was for.
    Done,
    /// It did not.
    Failed {
        /// Whose fault, and which part.
        class: FailureClass,
        /// One line for people.
        reason: String,
    },
    /// It was told to stop.
    Cancelled,
}

/// How to start a runner; the attempt's folder and the stage are added as the last two arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerCommand {
    /// The program, usually this one.
    pub program: PathBuf,
    /// What comes before the folder and the stage.
    pub arguments: Vec<OsString>,
}

impl RunnerCommand {
    /// This program's hidden subcommand `runner`.
    pub fn this_program() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: vec!["runner".into()],
        })
    }
}

/// One archive behind a build, opened so that its name cannot be exchanged any more.
#[derive(Debug)]
pub struct BuiltArchive {
    /// Its name, parsed.
    pub file: PackageFileName,
    /// Length, in bytes.
    pub size: u64,
    /// The bytes.
    pub bytes: File,
}

/// What a folder is doing.
#[derive(Debug)]
pub enum Adopted {
    /// No stage was started yet.
    Idle,
    /// A runner lives.
    Running(RunningStage),
    /// The last stage ended so.
    Ended(StageStatus),
}

/// An attempt on disk.
#[derive(Debug, Clone)]
pub struct AttemptFolder {
    id: String,
    spec: AttemptSpec,
    layout: Layout,
}

impl AttemptFolder {
    /// Makes the folder `root/id`, durable when this returns; `root` must be absolute and on a local disk.
    ///
    /// `tree` is the source tree blob. On an error the folder is removed again.
    pub fn create(
        root: &Path,
        id: &str,
        spec: AttemptSpec,
        makepkg_conf: &str,
        tree: impl Read,
    ) -> Result<Self, AttemptError> {
        let layout = Layout::new(root.join(checked_id(id)?));
        let folder = Self {
            id: id.to_owned(),
            spec,
            layout,
        };
        match folder.fill(makepkg_conf, tree) {
            Ok(()) => Ok(folder),
            Err(error) => {
                // The first error tells more than one of cleaning up.
                let _ = folder.remove();
                Err(error)
            }
        }
    }

    fn fill(&self, makepkg_conf: &str, tree: impl Read) -> Result<(), AttemptError> {
        let root = self.layout.root();
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(io_error("close", root))?;
        source::unpack(tree, &self.layout.tree(), TreeLimits::default())?;
        for name in Layout::writable() {
            let path = root.join(name);
            create_folder(&path).map_err(io_error("create", &path))?;
            self.identity()
                .hand_over(&path)
                .map_err(io_error("hand over", &path))?;
        }
        let conf = self.layout.makepkg_conf();
        write_atomically(&conf, makepkg_conf.as_bytes(), 0o644).map_err(io_error("write", &conf))?;
        let path = self.layout.spec();
        let bytes = codec::encode(&self.spec, SPEC_LIMIT).map_err(damaged(&path))?;
        write_atomically(&path, &bytes, 0o600).map_err(io_error("write", &path))
    }

    /// Opens a folder that an earlier process made.
    pub fn open(root: &Path, id: &str) -> Result<Self, AttemptError> {
        let layout = Layout::new(root.join(checked_id(id)?));
        let spec = read_value(&layout.spec())?;
        Ok(Self {
            id: id.to_owned(),
            spec,
            layout,
        })
    }

    /// The ids of all folders below `root`, sorted; none where `root` does not exist.
    pub fn list(root: &Path) -> Result<Vec<String>, AttemptError> {
        let items = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error("list", root))?,
        };
        let mut ids: Vec<_> = items
            .filter_map(|item| item.ok()?.file_name().into_string().ok())
            .filter(|name| checked_id(name).is_ok())
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// The folder's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is to be run.
    pub const fn spec(&self) -> &AttemptSpec {
        &self.spec
    }

    /// The log, which grows while a stage runs; it may not exist yet.
    pub fn log_path(&self) -> PathBuf {
        self.layout.log()
    }

    /// At most `limit` bytes of the log from `offset` on.
    pub fn read_log(&self, offset: u64, limit: usize) -> Result<Vec<u8>, AttemptError> {
        let path = self.layout.log();
        let mut bytes = Vec::new();
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
            other => other
                .and_then(|mut file| {
                    file.seek(SeekFrom::Start(offset))?;
                    file.take(limit as u64).read_to_end(&mut bytes)?;
                    Ok(bytes)
                })
                .map_err(io_error("read", &path)),
        }
    }

    /// The .SRCINFO of the last probe, prepare or build; lines that begin with `#` are ours.
    pub fn srcinfo(&self) -> Result<String, AttemptError> {
        let path = self.layout.srcinfo();
        read_bounded(&path, SRCINFO_LIMIT)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(io_error("read", &path))
    }

    /// Starts a stage and returns at once; the runner goes on if this process ends.
    pub fn start_stage(&self, stage: RunStage, runner: &RunnerCommand) -> Result<RunningStage, AttemptError> {
        if is_locked(&self.layout)? {
            return Err(AttemptError::Busy(self.layout.root().to_owned()));
        }
        let status = self.layout.status(stage);
        match fs::remove_file(&status) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &status)(error));
            }
            _ => {}
        }
        let log = self.layout.runner_log();
        let output = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&log)
            .map_err(io_error("write", &log))?;
        let child = Command::new(&runner.program)
            .args(&runner.arguments)
            .arg(self.layout.root())
            .arg(stage.to_string())
            .env_clear()
            .env("PATH", super::sandbox::HOST_PATH)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(io_error("write", &log))?)
            .stderr(output)
            .spawn()
            .map_err(io_error("start", &runner.program))?;
        Ok(RunningStage {
            layout: self.layout.clone(),
            stage,
            child: Some(child),
        })
    }

    /// What the folder is doing, after this daemon was started anew.
    ///
    /// A stage that neither runs nor ended was lost, and is recorded so.
    pub fn adopt(&self) -> Result<Adopted, AttemptError> {
        let Some(stage) = self.last_stage() else {
            return Ok(Adopted::Idle);
        };
        let running = RunningStage {
            layout: self.layout.clone(),
            stage,
            child: None,
        };
        if let Some(status) = running.status()? {
            return Ok(Adopted::Ended(status));
        }
        if is_locked(&self.layout)? {
            return Ok(Adopted::Running(running));
        }
        running.settle().map(Adopted::Ended)
    }

    fn last_stage(&self) -> Option<RunStage> {
        let started = fs::read_to_string(self.layout.runner()).ok()?;
        started.split_whitespace().nth(1)?.parse().ok()
    }

    /// Writes `pkgrel` into the PKGBUILD; the next stage fails as a mismatch if .SRCINFO then shows another.
    ///
    /// As makepkg itself does for `pkgver()`, every line that begins with `pkgrel=` is replaced.
    pub fn set_pkgrel(&self, pkgrel: &str) -> Result<(), AttemptError> {
        let path = self.layout.tree().join("PKGBUILD");
        let text = read_pkgbuild(&path)?;
        let mut found = false;
        let lines: Vec<_> = text
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                if line.starts_with(b"pkgrel=") {
                    found = true;
                    format!("pkgrel={pkgrel}\n").into_bytes()
                } else {
                    line.to_owned()
                }
            })
            .collect();
        if !found {
            return Err(AttemptError::Pkgrel(
                "the PKGBUILD has no line that begins with pkgrel=",
            ));
        }
        // The folder was writable for the build: only its name is safe, so the file is replaced, never followed.
        write_atomically(&path, &lines.concat(), 0o644).map_err(io_error("write", &path))?;
        self.identity()
            .hand_over(&path)
            .map_err(io_error("hand over", &path))?;
        let told = self.layout.pkgrel();
        write_atomically(&told, pkgrel.as_bytes(), 0o600).map_err(io_error("write", &told))
    }

    /// The archives that the build left: plain files with the name of a package, at most 16 GiB each.
    ///
    /// Everything else there is none of ours and not even looked at. Call it when the build stage is done: only then is
    /// the sandbox dead.
    pub fn archives(&self) -> Result<Vec<BuiltArchive>, AttemptError> {
        let path = self.layout.pkgdest();
        if !is_plain_folder(&path) {
            return Ok(Vec::new());
        }
        let mut archives = Vec::new();
        for item in fs::read_dir(&path)
            .map_err(io_error("list", &path))?
            .take(ARCHIVES_LIMIT)
        {
            let item = item.map_err(io_error("list", &path))?;
            let Some(file) = item.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(archive) = open_archive(&item.path(), file)? {
                archives.push(archive);
            }
        }
        archives.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(archives)
    }

    /// Removes the folder with all that builds left in it. Its stage must not run any more.
    pub fn remove(&self) -> Result<(), AttemptError> {
        let root = self.layout.root();
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // makepkg takes away the right to read `pkg/`, and builds may do so anywhere.
                open_up(root).map_err(io_error("open", root))?;
                fs::remove_dir_all(root).map_err(io_error("remove", root))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(io_error("remove", root)),
        }
    }

    fn identity(&self) -> Identity {
        Identity::for_attempt(self.layout.root())
    }
}

/// A stage whose runner may still live.
#[derive(Debug)]
pub struct RunningStage {
    layout: Layout,
    stage: RunStage,
    child: Option<Child>,
}

impl RunningStage {
    /// Which stage.
    pub const fn stage(&self) -> RunStage {
        self.stage
    }

    /// Waits for the end of the stage. A runner that vanished without a word is [`FailureClass::Lost`].
    ///
    /// May be cancelled and called again.
    pub async fn wait(&mut self) -> Result<StageStatus, AttemptError> {
        let mut pause = Duration::from_millis(10);
        loop {
            let alive = self.is_alive()?;
            if let Some(status) = self.status()? {
                self.reap(alive).await;
                return Ok(status);
            }
            if !alive {
                return self.settle();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Stops the stage and all that it started, and waits until that is true.
    pub async fn kill(&mut self) -> Result<StageStatus, AttemptError> {
        self.signal(Signal::TERM)?;
        if let Ok(ended) = tokio::time::timeout(GRACE, self.wait()).await {
            return ended;
        }
        self.signal(Signal::KILL)?;
        self.wait().await
    }

    /// The process id of the runner, while it is known.
    pub fn runner_pid(&self) -> Option<u32> {
        match &self.child {
            Some(child) => Some(child.id()),
            None => {
                let started = fs::read_to_string(self.layout.runner()).ok()?;
                started.split_whitespace().next()?.parse().ok()
            }
        }
    }

    fn status(&self) -> Result<Option<StageStatus>, AttemptError> {
        match read_value(&self.layout.status(self.stage)) {
            Ok(status) => Ok(Some(status)),
            Err(AttemptError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_alive(&mut self) -> Result<bool, AttemptError> {
        match &mut self.child {
            Some(child) => child
                .try_wait()
                .map(|exit| exit.is_none())
                .map_err(io_error("wait for the runner of", self.layout.root())),
            None => is_locked(&self.layout),
        }
    }

    /// The runner ends right after its status is written; a zombie would stay until this process ends.
    async fn reap(&mut self, mut alive: bool) {
        for _ in 0..500 {
            if !alive {
                return;
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
            alive = self.is_alive().unwrap_or(false);
        }
    }

    /// Records that a dead runner left no status; one that it wrote in its last moment counts.
    fn settle(&self) -> Result<StageStatus, AttemptError> {
        if let Some(status) = self.status()? {
            return Ok(status);
        }
        let status = StageStatus {
            stage: self.stage,
            outcome: StageOutcome::Failed {
                class: FailureClass::Lost,
                reason: format!("the runner of the stage {} vanished", self.stage),
            },
        };
        write_status(&self.layout, &status)?;
        Ok(status)
    }

    /// Signals the runner, but never a stranger that inherited its process id.
    fn signal(&mut self, signal: Signal) -> Result<(), AttemptError> {
        if !self.is_alive()? {
            return Ok(());
        }
        let pid = self
            .runner_pid()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        match pid.map(|pid| rustix::process::kill_process(pid, signal)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(io_error("signal the runner of", self.layout.root())(error.into())),
        }
    }
}

/// Writes how a stage ended, once.
pub(super) fn write_status(layout: &Layout, status: &StageStatus) -> Result<(), AttemptError> {
    let path = layout.status(status.stage);
    let bytes = codec::encode(status, SPEC_LIMIT).map_err(damaged(&path))?;
    write_atomically(&path, &bytes, 0o600).map_err(io_error("write", &path))
}

/// Reads the spec of the folder that `layout` describes.
pub(super) fn read_spec(layout: &Layout) -> Result<AttemptSpec, AttemptError> {
    read_value(&layout.spec())
}

fn read_value<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, AttemptError> {
    let bytes = read_bounded(path, SPEC_LIMIT as u64).map_err(io_error("read", path))?;
    codec::decode(&bytes, SPEC_LIMIT).map_err(damaged(path))
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_pkgbuild(path: &Path) -> Result<Vec<u8>, AttemptError> {
    let file = open_plain(path)
        .map_err(io_error("read", path))?
        .ok_or(AttemptError::Pkgrel("the PKGBUILD is no plain file any more"))?;
    let mut bytes = Vec::new();
    file.take(SRCINFO_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    Ok(bytes)
}

/// Opens a file that a build left; `None` if it is anything but a plain file. Never follows and never blocks.
fn open_plain(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::OFlags;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path);
    match opened {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
    }
}

fn open_archive(path: &Path, file: PackageFileName) -> Result<Option<BuiltArchive>, AttemptError> {
    // Sockets cannot be opened at all; they are no more a package than a link is.
    let Ok(Some(bytes)) = open_plain(path) else {
        return Ok(None);
    };
    let size = bytes.metadata().map_err(io_error("look at", path))?.len();
    if size > ARCHIVE_LIMIT {
        return Err(io_error("take", path)(io::Error::other(
            "it is larger than 16 GiB",
        )));
    }
    Ok(Some(BuiltArchive { file, size, bytes }))
}

/// Whether a runner lives: it holds the lock until its process ends, however that happens.
fn is_locked(layout: &Layout) -> Result<bool, AttemptError> {
    let path = layout.lock();
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(io_error("open", &path))?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(io_error("lock", &path)(error.into())),
    }
}

/// Gives the owner all rights on folders below `path`, without following links.
fn open_up(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for item in fs::read_dir(path)? {
        let path = item?.path();
        if is_plain_folder(&path) {
            open_up(&path)?;
        }
    }
    Ok(())
}

fn checked_id(id: &str) -> Result<&str, AttemptError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let starts_well = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts_well && id.len() <= 100 && id.bytes().all(plain) {
        Ok(id)
    } else {
        Err(AttemptError::Id(id.chars().take(100).collect()))
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AttemptError {
    let path = path.to_owned();
    move |source| AttemptError::Io { action, path, source }
}

fn damaged(path: &Path) -> impl FnOnce(CodecError) -> AttemptError {
    let path = path.to_owned();
    move |source| AttemptError::Damaged { path, source }
}
