//! A stage whose runner may still live, whoever started it.
//!
//! A runner is known by the lock that it holds; its process id alone proves nothing, because ids are used again.

use std::{
    fs::{self, File},
    io,
    process::Child,
    time::Duration,
};

use pacmesh_protocol::work::FailureClass;
use rustix::{
    fs::FlockOperation,
    io::Errno,
    process::{Pid, Signal},
};

use super::{
    layout::Layout,
    spec::{AttemptError, RunStage, StageOutcome, StageStatus, io_error, read_status, write_status},
};

/// How long a runner may take to end its sandbox before it is killed itself.
const GRACE: Duration = Duration::from_secs(5);

/// A stage whose runner may still live.
#[derive(Debug)]
pub struct RunningStage {
    layout: Layout,
    stage: RunStage,
    /// `None` where another process started the runner.
    child: Option<Child>,
}

impl RunningStage {
    pub(super) const fn new(layout: Layout, stage: RunStage, child: Option<Child>) -> Self {
        Self { layout, stage, child }
    }

    /// Which stage.
    pub const fn stage(&self) -> RunStage {
        self.stage
    }

    /// Waits for the end of the stage. A runner that vanished without a word is [`FailureClass::Lost`].
    ///
    /// May be cancelled and called again.
    pub async fn wait(&mut self) -> Result<StageStatus, AttemptError> {
        self.until_dead().await?;
        self.settle(StageOutcome::Failed {
            class: FailureClass::Lost,
            reason: format!("the runner of the stage {} vanished", self.stage),
        })
    }

    /// Stops the stage and all that it started, and waits until that is true.
    pub async fn kill(&mut self) -> Result<StageStatus, AttemptError> {
        self.signal(Signal::TERM)?;
        if let Ok(dead) = tokio::time::timeout(GRACE, self.until_dead()).await {
            dead?;
        } else {
            // The sandbox dies with its runner.
            self.signal(Signal::KILL)?;
            self.until_dead().await?;
        }
        self.settle(StageOutcome::Cancelled)
    }

    /// The runner ends right after its status is written, so its end is all there is to wait for.
    async fn until_dead(&mut self) -> Result<(), AttemptError> {
        let mut pause = Duration::from_millis(10);
        while self.is_alive()? {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        Ok(())
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

    fn is_alive(&mut self) -> Result<bool, AttemptError> {
        match &mut self.child {
            Some(child) => child
                .try_wait()
                .map(|exit| exit.is_none())
                .map_err(io_error("wait for the runner of", self.layout.root())),
            None => is_locked(&self.layout),
        }
    }

    /// What a dead runner left; where it left nothing, `otherwise` is recorded.
    pub(super) fn settle(&self, otherwise: StageOutcome) -> Result<StageStatus, AttemptError> {
        if let Some(status) = read_status(&self.layout, self.stage)? {
            return Ok(status);
        }
        let status = StageStatus {
            stage: self.stage,
            outcome: otherwise,
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

/// Whether a runner lives: it holds the lock until its process ends, however that happens.
pub(super) fn is_locked(layout: &Layout) -> Result<bool, AttemptError> {
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
