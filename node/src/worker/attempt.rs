//! The durable attempt folder: all that is needed to run, adopt, report or forget an attempt.
//!
//! A stage runs under a runner process that outlives this daemon. What the daemon knows it reads from the folder, so a
//! daemon that starts anew knows the same: a lock that is held means a runner lives, a status file means a
//! stage ended, neither means that the runner was lost, which is the worker's fault and never the job's.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pacmesh_protocol::work::FailureClass;

use super::{
    layout::{Layout, create_folder, write_atomically},
    leftovers,
    running::is_locked,
    sandbox::Identity,
    spec::{io_error, read_bounded, read_spec, write_spec},
};
pub use super::{
    leftovers::BuiltArchive,
    running::RunningStage,
    spec::{
        AttemptError, AttemptSpec, InputArchive, Limits, RunStage, RunnerCommand, StageOutcome, StageStatus,
    },
};
use crate::source::{self, TreeLimits};

/// Longest .SRCINFO, in bytes (FORMATS, "Numbers": probe 1 MiB output).
pub(super) const SRCINFO_LIMIT: u64 = 1 << 20;

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
    /// Makes the folder `root/id`, which must not exist yet; `root` must be absolute and on a local disk.
    ///
    /// `tree` is the source tree blob. On an error the folder is removed again. The folder survives the daemon; after a
    /// power failure it may be damaged, which [`Self::open`] says.
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
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        // A folder of this id that is there already is somebody's attempt, and none of ours to remove.
        fs::create_dir(folder.layout.root()).map_err(io_error("create", folder.layout.root()))?;
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
        write_spec(&self.layout, &self.spec)
    }

    /// Opens a folder that an earlier process made.
    pub fn open(root: &Path, id: &str) -> Result<Self, AttemptError> {
        let layout = Layout::new(root.join(checked_id(id)?));
        let spec = read_spec(&layout)?;
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
        tracing::info!(attempt = self.id, %stage, "a runner starts");
        Ok(RunningStage::new(self.layout.clone(), stage, Some(child)))
    }

    /// What the folder is doing, after this daemon was started anew.
    ///
    /// A stage that neither runs nor ended was lost, and is recorded so.
    pub fn adopt(&self) -> Result<Adopted, AttemptError> {
        let Some(stage) = self.last_stage() else {
            return Ok(Adopted::Idle);
        };
        let running = RunningStage::new(self.layout.clone(), stage, None);
        if is_locked(&self.layout)? {
            return Ok(Adopted::Running(running));
        }
        let lost = StageOutcome::Failed {
            class: FailureClass::Lost,
            reason: format!("the runner of the stage {stage} vanished"),
        };
        running.settle(lost).map(Adopted::Ended)
    }

    /// Whether a runner works in it.
    pub(super) fn is_running(&self) -> bool {
        // What cannot be asked is rather left alone.
        is_locked(&self.layout).unwrap_or(true)
    }

    fn last_stage(&self) -> Option<RunStage> {
        let started = fs::read_to_string(self.layout.runner()).ok()?;
        started.split_whitespace().nth(1)?.parse().ok()
    }

    /// Writes `pkgrel` into the PKGBUILD; the stage *build* fails as a mismatch if .SRCINFO then shows another.
    pub fn set_pkgrel(&self, pkgrel: &str) -> Result<(), AttemptError> {
        let path = self.layout.tree().join("PKGBUILD");
        leftovers::replace_pkgrel(&path, pkgrel)?;
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
        leftovers::archives(&self.layout.pkgdest())
    }

    /// Removes the folder with all that builds left in it. Its stage must not run any more.
    pub fn remove(&self) -> Result<(), AttemptError> {
        leftovers::remove(self.layout.root())
    }

    fn identity(&self) -> Identity {
        Identity::for_attempt(self.layout.root())
    }
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
