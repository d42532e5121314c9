//! One attempt from its order to the acknowledgement of its report; it can be taken up in any stage after a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    codec,
    ids::{Digest, NodeId},
    names::PackageVersion,
    wire::{FRAME_LIMIT, Reply, Request},
    work::{FailureClass, Order, Outcome, Probe, Report, Stage},
};
use tokio::sync::watch;

use super::{
    attempt::{
        Adopted, AttemptFolder, AttemptSpec, InputArchive, Limits, RunStage, RunnerCommand, StageOutcome,
    },
    collect,
    desk::{WorkerHandle, started_now},
    environment::HostEnvironment,
    kept::{self, Note},
    srcinfo,
};
use crate::{error::chain, rooms::Rooms};

/// Longest makepkg.conf, in bytes.
const CONF_LIMIT: u64 = 64 << 10;
/// How long the master may take to name a pkgrel or to take a report with large archives.
const MASTER_WAIT: Duration = Duration::from_secs(600);
/// Between two attempts to reach a master: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An attempt and where it lives.
#[derive(Debug)]
pub(super) struct Journey {
    pub(super) order: Order,
    pub(super) started_ms: u64,
    master: NodeId,
    root: PathBuf,
    id: String,
    folder: Option<AttemptFolder>,
}

/// Why an attempt ends early.
#[derive(Debug)]
enum Stop {
    Failed(FailureClass, String),
    Cancelled,
}

impl Stop {
    fn lost(reason: impl Into<String>) -> Self {
        Self::Failed(FailureClass::Lost, reason.into())
    }

    fn mismatch(reason: impl Into<String>) -> Self {
        Self::Failed(FailureClass::Mismatch, reason.into())
    }
}

impl Journey {
    /// A new attempt.
    pub(super) fn new(root: &Path, master: NodeId, order: Order) -> Self {
        let reign = order.fence.reign;
        let id = format!("{}-{}-{}", order.job.short(), reign.term, order.fence.number);
        Self {
            order,
            started_ms: started_now(),
            master,
            root: root.to_owned(),
            id,
            folder: None,
        }
    }

    /// An attempt of an earlier life, with its report if it ended.
    pub(super) fn reopen(root: &Path, id: &str) -> Option<(Self, Option<Report>)> {
        let folder = AttemptFolder::open(root, id).ok()?;
        let note: Note = codec::decode(&folder.spec().note, FRAME_LIMIT).ok()?;
        let mut order = note.order;
        let mut report = kept::report(&root.join(id));
        if let Some(fence) = kept::fence(&root.join(id)) {
            order.fence = fence;
            report = report.map(|report| Report { fence, ..report });
        }
        let journey = Self {
            order,
            started_ms: note.started_ms,
            master: note.master,
            root: root.to_owned(),
            id: id.to_owned(),
            folder: Some(folder),
        };
        Some((journey, report))
    }

    /// Its folder.
    pub(super) fn path(&self) -> PathBuf {
        self.root.join(&self.id)
    }
}

/// Runs or goes on with an attempt, reports it, and clears up once the report is acknowledged.
pub(super) async fn travel(
    rooms: &Arc<Rooms>,
    worker: &WorkerHandle,
    mut journey: Journey,
    report: Option<Report>,
    cancelled: watch::Receiver<bool>,
) {
    let job = journey.order.job;
    let report = match report {
        Some(report) => report,
        None => {
            let report = work(rooms, worker, &mut journey, cancelled.clone()).await;
            keep_report(&journey, &report).await;
            worker.set_report(&job, report.clone());
            report
        }
    };
    worker.set_stage(&job, Stage::Done);
    deliver(rooms, worker, report.clone(), cancelled).await;
    collect::unpin(rooms, &report).await;
    if let Some(folder) = journey.folder {
        super::probe::clear(folder).await;
    }
}

/// Durable before it is told: the archives are pinned, the report is synced.
async fn keep_report(journey: &Journey, report: &Report) {
    if let Err(error) = kept::keep_report(journey.path(), report).await {
        tracing::warn!(%error, "a report could not be kept; a restart would build again");
    }
}

/// Tells whoever leads, until somebody has recorded it. Bounded in rate, not in time: results outlive masters.
async fn deliver(
    rooms: &Arc<Rooms>,
    worker: &WorkerHandle,
    mut report: Report,
    mut cancelled: watch::Receiver<bool>,
) {
    let mut pause = PAUSE;
    let mut leadership = rooms.master.watch();
    loop {
        if let Some(fence) = worker.fence(&report.job) {
            report.fence = fence;
        }
        let master = leadership.borrow_and_update().master();
        if let Some(master) = master {
            let request = Request::Report {
                report: Box::new(report.clone()),
            };
            match rooms.ask(master, request, MASTER_WAIT).await {
                Ok(Reply::Done) => return,
                other => tracing::debug!(job = %report.job.short(), ?other, "a report was not taken yet"),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if *cancelled.borrow() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = cancelled.changed() => {}
            // A new master hears of it at once.
            Ok(()) = leadership.changed() => pause = PAUSE,
        }
    }
}

async fn work(
    rooms: &Arc<Rooms>,
    worker: &WorkerHandle,
    journey: &mut Journey,
    mut cancelled: watch::Receiver<bool>,
) -> Report {
    let order = journey.order.clone();
    let mut report = Report {
        job: order.job,
        generation: order.generation,
        fence: order.fence,
        stage: Stage::Prepare,
        version: None,
        srcinfo: None,
        outcome: Outcome::Cancelled,
        log: None,
        inputs: order.inputs.iter().map(|input| input.archive).collect(),
        environment: order.environment.clone(),
        started_ms: journey.started_ms,
    };
    let done = build(rooms, worker, journey, &mut report, &mut cancelled).await;
    if let Some(folder) = &journey.folder {
        report.log = collect::keep_log(rooms, folder).await;
    }
    report.outcome = match done {
        Ok(()) => match collect_packages(rooms, worker, journey, &mut report).await {
            Ok(outcome) => outcome,
            Err(stop) => failed(stop),
        },
        Err(stop) => failed(stop),
    };
    if let Some(fence) = worker.fence(&order.job) {
        report.fence = fence;
    }
    report
}

fn failed(stop: Stop) -> Outcome {
    match stop {
        Stop::Cancelled => Outcome::Cancelled,
        Stop::Failed(class, error) => Outcome::Failed {
            class,
            error: error.chars().take(500).collect(),
        },
    }
}

/// Stages *prepare* and *build*; leaves version and srcinfo in the report.
async fn build(
    rooms: &Arc<Rooms>,
    worker: &WorkerHandle,
    journey: &mut Journey,
    report: &mut Report,
    cancelled: &mut watch::Receiver<bool>,
) -> Result<(), Stop> {
    let order = journey.order.clone();
    let folder = match &journey.folder {
        Some(folder) => folder.clone(),
        None => {
            let folder = open(rooms, journey).await?;
            journey.folder = Some(folder.clone());
            worker.keep_fence(&order.job, order.fence).await;
            folder
        }
    };
    let mut adopted = Some(folder.adopt().map_err(|error| Stop::lost(chain(&error)))?);
    stage(&folder, RunStage::Prepare, &mut adopted, cancelled).await?;
    let is_building = matches!(&adopted, Some(later) if is_of(later, RunStage::Build));
    if !is_building {
        let seen = read_probe(&folder, &order)?;
        compare(&order.probe, &seen, false)?;
        let version = ask_pkgrel(rooms, worker, &order, seen.version, cancelled).await?;
        folder
            .set_pkgrel(version.pkgrel())
            .map_err(|error| Stop::mismatch(chain(&error)))?;
    }
    report.stage = Stage::Build;
    worker.set_stage(&order.job, Stage::Build);
    stage(&folder, RunStage::Build, &mut adopted, cancelled).await?;
    let built = read_probe(&folder, &order)?;
    compare(&order.probe, &built, true)?;
    let text = folder.srcinfo().map_err(|error| Stop::lost(chain(&error)))?;
    report.srcinfo = Some(Digest::of(text.as_bytes()));
    report.version = Some(built.version);
    Ok(())
}

/// Fetches what the order names and makes the folder.
async fn open(rooms: &Arc<Rooms>, journey: &Journey) -> Result<AttemptFolder, Stop> {
    let order = &journey.order;
    let host = HostEnvironment::detect().map_err(|error| Stop::lost(chain(&error)))?;
    let wanted: Vec<Digest> = [order.tree, order.makepkg_conf]
        .into_iter()
        .chain(order.inputs.iter().map(|i| i.archive))
        .collect();
    let missing = rooms.obtain(&wanted, &[journey.master]).await;
    if !missing.is_empty() {
        return Err(Stop::lost(format!(
            "{} of the blobs it needs are out of reach",
            missing.len()
        )));
    }
    let conf = rooms
        .blobs
        .read(&order.makepkg_conf, CONF_LIMIT)
        .await
        .map_err(|error| Stop::lost(chain(&error)))?;
    let conf = String::from_utf8_lossy(&conf).into_owned();
    let vanished = || Stop::lost("a blob vanished");
    let mut inputs = Vec::new();
    for input in &order.inputs {
        let path = rooms.blobs.path(&input.archive).ok_or_else(vanished)?;
        inputs.push(InputArchive {
            file: input.file.clone(),
            path,
        });
    }
    let tree = rooms.blobs.path(&order.tree).ok_or_else(vanished)?;
    let note = Note {
        master: journey.master,
        order: order.clone(),
        started_ms: journey.started_ms,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let spec = AttemptSpec {
        arch: if order.arch.is_any() {
            host.arch
        } else {
            order.arch.clone()
        },
        epoch: order.epoch,
        options: order.options,
        inputs,
        make_jobs: (cores / rooms.config.slots).max(1),
        limits: Limits::default(),
        note: codec::encode(&note, FRAME_LIMIT).map_err(|error| Stop::lost(chain(&error)))?,
    };
    let (root, id) = (journey.root.clone(), journey.id.clone());
    tokio::task::spawn_blocking(move || {
        let blob = std::fs::File::open(&tree).map_err(|error| error.to_string())?;
        AttemptFolder::create(&root, &id, spec, &conf, std::io::BufReader::new(blob))
            .map_err(|error| chain(&error))
    })
    .await
    .map_err(|error| Stop::lost(error.to_string()))?
    .map_err(|error| Stop::Failed(FailureClass::Disk, error))
}

fn is_of(adopted: &Adopted, stage: RunStage) -> bool {
    match adopted {
        Adopted::Idle => false,
        Adopted::Running(running) => running.stage() == stage,
        Adopted::Ended(status) => status.stage == stage,
    }
}

/// Runs a stage, or goes on with it where an earlier life began it; one that a later stage follows is done.
async fn stage(
    folder: &AttemptFolder,
    stage: RunStage,
    adopted: &mut Option<Adopted>,
    cancelled: &mut watch::Receiver<bool>,
) -> Result<(), Stop> {
    if *cancelled.borrow() {
        return Err(Stop::Cancelled);
    }
    let earlier = match adopted.take() {
        Some(later) if stage == RunStage::Prepare && is_of(&later, RunStage::Build) => {
            *adopted = Some(later);
            return Ok(());
        }
        Some(same) if is_of(&same, stage) => Some(same),
        _ => None,
    };
    let status = match earlier {
        Some(Adopted::Ended(status)) => status,
        other => {
            let mut running = match other {
                Some(Adopted::Running(running)) => running,
                _ => {
                    let runner = RunnerCommand::this_program();
                    folder
                        .start_stage(stage, &runner)
                        .map_err(|error| Stop::lost(chain(&error)))?
                }
            };
            let ended = tokio::select! {
                ended = running.wait() => ended,
                _ = cancelled.changed() => running.kill().await,
            };
            ended.map_err(|error| Stop::lost(chain(&error)))?
        }
    };
    match status.outcome {
        StageOutcome::Done => Ok(()),
        StageOutcome::Cancelled => Err(Stop::Cancelled),
        StageOutcome::Failed { class, reason } => Err(Stop::Failed(class, reason)),
    }
}

fn read_probe(folder: &AttemptFolder, order: &Order) -> Result<Probe, Stop> {
    let text = folder.srcinfo().map_err(|error| Stop::lost(chain(&error)))?;
    let arch = &folder.spec().arch;
    let parsed = srcinfo::parse(&text, arch).map_err(|error| Stop::mismatch(chain(&error)))?;
    let mut probe = parsed.probe;
    probe.has_pkgver = order.probe.has_pkgver;
    Ok(probe)
}

/// What differs from the probe beyond `pkgver()` fails, with both lines (DESIGN, "Building").
fn compare(promised: &Probe, seen: &Probe, with_new_pkgrel: bool) -> Result<(), Stop> {
    let differs = |what: &str, a: String, b: String| {
        Err(Stop::mismatch(format!(
            "the PKGBUILD changed its {what}: it said '{a}', and now says '{b}'"
        )))
    };
    if promised.base != seen.base {
        return differs("pkgbase", promised.base.to_string(), seen.base.to_string());
    }
    if promised.arches != seen.arches {
        return differs(
            "arch",
            format!("{:?}", promised.arches),
            format!("{:?}", seen.arches),
        );
    }
    if promised.packages != seen.packages {
        let pair = promised.packages.iter().zip(&seen.packages).find(|(a, b)| a != b);
        let (a, b) = pair.map_or_else(
            || {
                (
                    format!("{} packages", promised.packages.len()),
                    format!("{} packages", seen.packages.len()),
                )
            },
            |(a, b)| {
                (
                    format!("{} {:?} {:?}", a.name, a.depends, a.provides),
                    format!("{} {:?} {:?}", b.name, b.depends, b.provides),
                )
            },
        );
        // Provisions may name the version that pkgver() has just raised.
        let names = |probe: &Probe| {
            probe
                .packages
                .iter()
                .map(|p| (p.name.clone(), p.arch.clone(), p.depends.clone()))
                .collect::<Vec<_>>()
        };
        if !promised.has_pkgver || names(promised) != names(seen) {
            return differs("packages", a, b);
        }
    }
    if promised.makedepends != seen.makedepends || promised.checkdepends != seen.checkdepends {
        return differs(
            "makedepends",
            promised.makedepends.join(" "),
            seen.makedepends.join(" "),
        );
    }
    let same_version = if with_new_pkgrel {
        promised.version.upstream() == seen.version.upstream()
    } else {
        promised.version == seen.version
    };
    if !promised.has_pkgver && !same_version {
        return differs("version", promised.version.to_string(), seen.version.to_string());
    }
    Ok(())
}

/// Asks whoever leads for a free pkgrel; waits where nobody does.
async fn ask_pkgrel(
    rooms: &Arc<Rooms>,
    worker: &WorkerHandle,
    order: &Order,
    version: PackageVersion,
    cancelled: &mut watch::Receiver<bool>,
) -> Result<PackageVersion, Stop> {
    loop {
        let fence = worker.fence(&order.job).unwrap_or(order.fence);
        if let Some(master) = rooms.master.leadership().master() {
            let request = Request::Prepared {
                job: order.job,
                fence,
                version: version.clone(),
            };
            let answer = tokio::select! {
                answer = rooms.ask(master, request, MASTER_WAIT) => answer,
                _ = cancelled.changed() => return Err(Stop::Cancelled),
            };
            match answer {
                Ok(Reply::Build { version }) => return Ok(version),
                other => tracing::debug!(job = %order.job.short(), ?other, "no pkgrel yet"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = cancelled.changed() => {}
        }
        if *cancelled.borrow() {
            return Err(Stop::Cancelled);
        }
    }
}

async fn collect_packages(
    rooms: &Arc<Rooms>,
    worker: &WorkerHandle,
    journey: &Journey,
    report: &mut Report,
) -> Result<Outcome, Stop> {
    let Some(folder) = &journey.folder else {
        return Err(Stop::lost("there is no folder"));
    };
    report.stage = Stage::Collect;
    worker.set_stage(&journey.order.job, Stage::Collect);
    let packages = collect::collect(rooms, folder)
        .await
        .map_err(|error| Stop::Failed(FailureClass::Disk, error))?;
    if packages.is_empty() {
        return Err(Stop::mismatch("no package came out: see its package function"));
    }
    report.stage = Stage::Done;
    Ok(Outcome::Built(packages))
}
