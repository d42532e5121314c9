//! What an attempt is told, what it answers, and how both are kept on disk.

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use pacmesh_protocol::{
    codec::{self, CodecError},
    ledger::kinds::BuildOptions,
    names::{Architecture, PackageFileName},
    work::FailureClass,
};
use serde::{Deserialize, Serialize};

use super::layout::{Layout, write_atomically};
use crate::source::SourceError;

/// Longest spec and status, in bytes; a build root has at most some thousand inputs.
const SPEC_LIMIT: usize = 1 << 20;

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
    /// A probe.
    pub probe: Duration,
    /// *prepare* and *build*, each.
    pub build: Duration,
    /// Between two outputs of *prepare* and *build*, and the reading of metadata within them.
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
    /// The hidden subcommand `runner` of this very program: also when an upgrade has replaced its file, so that a build
    /// is begun and ended by one version.
    pub fn this_program() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec!["runner".into()],
        }
    }
}

/// Writes how a stage ended, once.
pub(super) fn write_status(layout: &Layout, status: &StageStatus) -> Result<(), AttemptError> {
    let path = layout.status(status.stage);
    let bytes = codec::encode(status, SPEC_LIMIT).map_err(damaged(&path))?;
    write_atomically(&path, &bytes, 0o600).map_err(io_error("write", &path))
}

/// Writes what is to be run.
pub(super) fn write_spec(layout: &Layout, spec: &AttemptSpec) -> Result<(), AttemptError> {
    let path = layout.spec();
    let bytes = codec::encode(spec, SPEC_LIMIT).map_err(damaged(&path))?;
    write_atomically(&path, &bytes, 0o600).map_err(io_error("write", &path))
}

/// Reads the spec of the folder that `layout` describes.
pub(super) fn read_spec(layout: &Layout) -> Result<AttemptSpec, AttemptError> {
    read_value(&layout.spec())
}

/// How a stage ended, if it has.
pub(super) fn read_status(layout: &Layout, stage: RunStage) -> Result<Option<StageStatus>, AttemptError> {
    match read_value(&layout.status(stage)) {
        Ok(status) => Ok(Some(status)),
        Err(AttemptError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_value<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, AttemptError> {
    let bytes = read_bounded(path, SPEC_LIMIT as u64).map_err(io_error("read", path))?;
    codec::decode(&bytes, SPEC_LIMIT).map_err(damaged(path))
}

/// At most `limit` bytes of a file of ours.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An adapter for `map_err`: what was tried on which path.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AttemptError {
    let path = path.to_owned();
    move |source| AttemptError::Io { action, path, source }
}

fn damaged(path: &Path) -> impl FnOnce(CodecError) -> AttemptError {
    let path = path.to_owned();
    move |source| AttemptError::Damaged { path, source }
}
