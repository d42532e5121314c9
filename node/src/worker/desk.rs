//! The worker's desk: takes orders up to its slots, knows what runs, and keeps reports until a master acknowledged them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use pacmesh_protocol::{
    ids::{Digest, JobId, NodeId},
    ledger::record::ReignId,
    names::{Architecture, EnvironmentName},
    wire::{Reply, Request},
    work::{Fence, Inventory, Order, Report, RunningAttempt, Stage},
};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
};
use tracing::Instrument;

use super::{
    attempt::AttemptFolder,
    collect,
    journey::{self, Journey},
    kept, probe, tidy,
};
use crate::{clock, error::chain, rooms::Rooms};

/// How many probes run at once; they are short and read bash.
const PROBES: usize = 2;
/// How much of a log is read at once, in bytes.
const LOG_CHUNK: usize = 64 << 10;
/// Between two looks at a log that grows.
const LOG_PAUSE: Duration = Duration::from_millis(200);

/// What is known of an attempt from outside its own task.
#[derive(Debug)]
pub(super) struct Slip {
    /// As ordered; an adoption changes its fence.
    pub(super) order: Order,
    pub(super) folder: PathBuf,
    pub(super) stage: Stage,
    pub(super) started_ms: u64,
    pub(super) report: Option<Report>,
    pub(super) cancel: watch::Sender<bool>,
}

/// What lies on the desk. The lock is held for look-ups and small changes, never over an await.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) slips: BTreeMap<JobId, Slip>,
    /// A planned stop has begun: nothing new is taken.
    pub(super) closing: bool,
}

/// The way to the worker's room.
#[derive(Debug, Clone)]
pub struct WorkerHandle {
    desk: Arc<Mutex<Desk>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    probes: Arc<Semaphore>,
    slots: usize,
    /// The last reign that was told what is here.
    pub(super) told: Arc<watch::Sender<Option<ReignId>>>,
}

impl WorkerHandle {
    /// A worker with room for `slots` attempts at once.
    pub fn new(slots: u32) -> Self {
        Self {
            desk: Arc::default(),
            tasks: Arc::default(),
            probes: Arc::new(Semaphore::new(PROBES)),
            slots: slots as usize,
            told: Arc::default(),
        }
    }

    /// Takes up what an earlier life of this node left: attempts that run on, and reports that wait.
    pub async fn resume(&self, rooms: &Arc<Rooms>) {
        let root = rooms.config.home.builds();
        let ids = match AttemptFolder::list(&root) {
            Ok(ids) => ids,
            Err(error) => {
                tracing::warn!(error = chain(&error), "earlier attempts cannot be listed");
                return;
            }
        };
        for id in ids {
            if let Some((journey, report)) = Journey::reopen(&root, &id) {
                tracing::info!(attempt = id, "taking up an earlier attempt");
                self.start(rooms, journey, report);
            } else if let Ok(folder) = AttemptFolder::open(&root, &id) {
                // A probe, or an attempt that never began: nobody waits for it.
                probe::clear(folder).await;
            } else {
                let _ = std::fs::remove_dir_all(root.join(&id));
            }
        }
    }

    /// Answers a request of the master; who may ask was checked before.
    pub async fn ask(&self, rooms: &Arc<Rooms>, master: NodeId, request: Request) -> Reply {
        match request {
            Request::Probe {
                tree,
                arch,
                environment,
                ..
            } => self.probe(rooms, master, tree, arch, environment).await,
            Request::Order { order } => self.order(rooms, master, *order),
            Request::Cancel { job, fence } => self.cancel(job, fence),
            Request::Adopt { job, old, new } => self.adopt(job, old, new).await,
            Request::Inventory { reign } => {
                let inventory = self.inventory();
                self.told.send_replace(Some(reign));
                Reply::Inventory(Box::new(inventory))
            }
            _ => refused("this request is not the worker's"),
        }
    }

    /// A task of this room's own: the asker may vanish, as a master does that hands over, and its probe is cleared up all
    /// the same.
    async fn probe(
        &self,
        rooms: &Arc<Rooms>,
        master: NodeId,
        tree: Digest,
        arch: Architecture,
        environment: EnvironmentName,
    ) -> Reply {
        let (mut reply, answer) = oneshot::channel();
        let (rooms, probes) = (rooms.clone(), self.probes.clone());
        self.spawn(async move {
            let _permit = tokio::select! {
                Ok(permit) = probes.acquire() => permit,
                () = reply.closed() => return,
            };
            let _ = reply.send(probe::probe(&rooms, master, tree, &arch, &environment).await);
        });
        answer
            .await
            .map_or_else(|_| refused("this node is stopping"), Reply::Probed)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// How many attempts run.
    pub fn running(&self) -> u32 {
        self.with(|desk| desk.slips.values().filter(|slip| slip.report.is_none()).count() as u32)
    }

    /// Ends the tasks of this life; runners go on by themselves.
    pub async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    fn order(&self, rooms: &Arc<Rooms>, master: NodeId, order: Order) -> Reply {
        let known = self.with(|desk| {
            desk.slips
                .get(&order.job)
                .map(|slip| (slip.order.fence, slip.report.is_some()))
        });
        match known {
            Some((fence, _)) if fence >= order.fence => return Reply::Done,
            // An older attempt of the same job is in the way; it ends, and the master asks again.
            Some((fence, _)) => {
                self.cancel(order.job, fence);
                return refused("an earlier attempt of this job is still ending here");
            }
            None => {}
        }
        if self.with(|desk| desk.closing) {
            return refused("it is about to stop");
        }
        if self.running() as usize >= self.slots {
            return refused("no free slot");
        }
        // Below the disk reserve no work: what is built already must still fit.
        if let Err(error) = rooms.blobs.room_for(0) {
            return refused(&format!("its disk is full: {}", chain(&error)));
        }
        let journey = Journey::new(&rooms.config.home.builds(), master, order);
        self.start(rooms, journey, None);
        Reply::Done
    }

    fn start(&self, rooms: &Arc<Rooms>, journey: Journey, report: Option<Report>) {
        let (cancel, cancelled) = watch::channel(false);
        let slip = Slip {
            order: journey.order.clone(),
            folder: journey.path(),
            stage: if report.is_some() {
                Stage::Done
            } else {
                Stage::Prepare
            },
            started_ms: journey.started_ms,
            report: report.clone(),
            cancel,
        };
        self.with(|desk| desk.slips.insert(slip.order.job, slip));
        let (rooms, worker) = (rooms.clone(), self.clone());
        let order = &journey.order;
        let span = tracing::info_span!(
            "job",
            job = %order.job.short(),
            base = %order.probe.base,
            reign = order.fence.reign.term,
            attempt = order.fence.number
        );
        let whole = async move {
            let job = journey.order.job;
            worker.announce(&rooms).await;
            journey::travel(&rooms, &worker, journey, report, cancelled).await;
            worker.with(|desk| desk.slips.remove(&job));
            worker.announce(&rooms).await;
        };
        self.spawn(whole.instrument(span));
    }

    /// Tells the others how busy this node is.
    async fn announce(&self, rooms: &Rooms) {
        let running = self.running();
        rooms
            .discovery
            .update(move |record| record.running = running)
            .await;
    }

    fn cancel(&self, job: JobId, fence: Fence) -> Reply {
        self.with(|desk| {
            if let Some(slip) = desk.slips.get(&job).filter(|slip| slip.order.fence <= fence) {
                slip.cancel.send_replace(true);
            }
        });
        Reply::Done
    }

    /// The new fence is kept before it is answered: a restart must not say the old one to a master that counts on the
    /// new one, or the attempt would be taken for lost.
    async fn adopt(&self, job: JobId, old: Fence, new: Fence) -> Reply {
        let is_meant = |slip: &Slip| slip.order.fence == old || slip.order.fence == new;
        let folder = self.with(|desk| {
            let slip = desk.slips.get(&job).filter(|slip| is_meant(slip))?;
            Some(slip.folder.clone())
        });
        let Some(folder) = folder else {
            return refused("there is no such attempt here");
        };
        if let Err(error) = kept::keep_fence(folder, &new).await {
            return refused(&format!("the attempt cannot be adopted: {error}"));
        }
        tracing::info!(job = %job.short(), reign = new.reign.term, "an attempt is adopted");
        self.with(|desk| match desk.slips.get_mut(&job) {
            Some(slip) if is_meant(slip) => {
                slip.order.fence = new;
                if let Some(report) = &mut slip.report {
                    report.fence = new;
                }
                Reply::Done
            }
            _ => refused("the attempt ended meanwhile"),
        })
    }

    /// An attempt that was adopted before it had a folder is kept under its new fence.
    pub(super) async fn keep_fence(&self, job: &JobId, ordered: Fence) {
        let adopted = self.with(|desk| {
            let slip = desk.slips.get(job)?;
            (slip.order.fence != ordered).then(|| (slip.folder.clone(), slip.order.fence))
        });
        if let Some((folder, fence)) = adopted
            && let Err(error) = kept::keep_fence(folder, &fence).await
        {
            tracing::warn!(%error, "an adoption could not be kept; a restart would build again");
        }
    }

    fn inventory(&self) -> Inventory {
        self.with(|desk| {
            let mut inventory = Inventory::default();
            for slip in desk.slips.values() {
                match &slip.report {
                    Some(report) => inventory.reports.push(report.clone()),
                    None => inventory.running.push(RunningAttempt {
                        order: slip.order.clone(),
                        stage: slip.stage,
                        started_ms: slip.started_ms,
                    }),
                }
            }
            inventory
        })
    }

    /// The blobs that attempts on this desk read, or that their reports name.
    pub fn uses(&self) -> BTreeSet<Digest> {
        self.with(|desk| {
            let mut used = BTreeSet::new();
            for slip in desk.slips.values() {
                let inputs = slip.order.inputs.iter().map(|input| input.archive);
                used.extend(inputs.chain([slip.order.tree, slip.order.makepkg_conf]));
                used.extend(slip.report.as_ref().into_iter().flat_map(collect::blobs));
            }
            used
        })
    }

    /// The folders of attempts on this desk.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        self.with(|desk| desk.slips.values().map(|slip| slip.folder.clone()).collect())
    }

    /// Removes what attempts left that are not on this desk any more.
    pub async fn tidy(&self, rooms: &Rooms) {
        tidy::tidy(self, rooms).await;
    }

    /// The attempt's fence now; an adoption may have changed it.
    pub(super) fn fence(&self, job: &JobId) -> Option<Fence> {
        self.with(|desk| desk.slips.get(job).map(|slip| slip.order.fence))
    }

    pub(super) fn set_stage(&self, job: &JobId, stage: Stage) {
        self.with(|desk| {
            if let Some(slip) = desk.slips.get_mut(job) {
                slip.stage = stage;
            }
        });
    }

    pub(super) fn set_report(&self, job: &JobId, report: Report) {
        self.with(|desk| {
            if let Some(slip) = desk.slips.get_mut(job) {
                slip.report = Some(report);
            }
        });
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Desk) -> T) -> T {
        look(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The log of a job whose attempt is here, from `offset` on; with `follow` until the attempt ends.
    pub async fn log(
        &self,
        rooms: &Arc<Rooms>,
        job: JobId,
        offset: u64,
        follow: bool,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, String> {
        let path = self.with(|desk| desk.slips.get(&job).map(|slip| slip.folder.clone()));
        if let Some(folder) = path {
            return Ok(self.live_log(job, folder, offset, follow));
        }
        let view = rooms.ledger.view();
        let log = view.job(&job).and_then(|value| value.end.as_ref()?.log);
        let Some(log) = log else {
            return Err("there is no log of this job yet: see 'pacmesh why'".to_owned());
        };
        if !rooms.obtain(&[log], &[]).await.is_empty() {
            return Err("no machine in reach keeps the log of this job: start more of them".to_owned());
        }
        let path = rooms
            .blobs
            .path(&log)
            .ok_or("the log vanished while it was looked for: ask again")?;
        Ok(file_from(path, offset))
    }

    fn live_log(
        &self,
        job: JobId,
        folder: PathBuf,
        offset: u64,
        follow: bool,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let worker = self.clone();
        let state = (worker, folder, offset, false);
        stream::unfold(state, move |(worker, folder, offset, last)| async move {
            let mut last = last;
            loop {
                let running =
                    worker.with(|desk| desk.slips.get(&job).is_some_and(|slip| slip.report.is_none()));
                let path = folder.clone();
                let read = tokio::task::spawn_blocking(move || read_log(&path, offset)).await;
                let bytes = match read {
                    Ok(Ok(bytes)) => bytes,
                    // The folder goes away with its attempt.
                    Ok(Err(_)) => return None,
                    Err(error) => {
                        return Some((Err(io::Error::other(error)), (worker, folder, offset, true)));
                    }
                };
                if !bytes.is_empty() {
                    let next = offset + bytes.len() as u64;
                    return Some((Ok(Bytes::from(bytes)), (worker, folder, next, last)));
                }
                if last || !follow {
                    return None;
                }
                // One more look after the end: what was written meanwhile belongs to it.
                last = !running;
                if !last {
                    tokio::time::sleep(LOG_PAUSE).await;
                }
            }
        })
        .boxed()
    }
}

fn refused(reason: &str) -> Reply {
    Reply::Refused {
        reason: reason.to_owned(),
    }
}

fn read_log(folder: &std::path::Path, offset: u64) -> Result<Vec<u8>, String> {
    let (Some(root), Some(id)) = (folder.parent(), folder.file_name().and_then(|name| name.to_str())) else {
        return Err("no folder".to_owned());
    };
    match AttemptFolder::open(root, id) {
        Ok(folder) => folder.read_log(offset, LOG_CHUNK).map_err(|error| chain(&error)),
        // Not made yet: the tree is still on its way.
        Err(_) if !folder.exists() => Ok(Vec::new()),
        Err(error) => Err(chain(&error)),
    }
}

fn file_from(path: PathBuf, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
    use tokio::io::AsyncSeekExt;
    stream::once(async move {
        let mut file = tokio::fs::File::open(path).await?;
        file.seek(io::SeekFrom::Start(offset)).await?;
        Ok(tokio_util::io::ReaderStream::with_capacity(file, LOG_CHUNK))
    })
    .flat_map(|opened: io::Result<_>| match opened {
        Ok(reader) => reader.boxed(),
        Err(error) => stream::once(async move { Err(error) }).boxed(),
    })
    .boxed()
}

/// Wall clock, for attempts.
pub(super) fn started_now() -> u64 {
    clock::wall_ms()
}
