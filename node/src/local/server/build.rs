//! `build` and `rebuild`: the change, then what becomes of its jobs until all have ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use pacmesh_protocol::{
    ids::{Digest, JobId, RequestId, Term},
    ledger::{
        kinds::{GenerationKey, JobState, JobV1},
        view::View,
    },
    wire::{AcceptedJob, Change, LiveJob, Submission},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    caller::{Caller, End, Log},
    events, jobs, logs,
    office::Office,
};
use crate::{
    local::{
        marks::{AttemptMark, BuildMark, LogMark, OpenJob},
        request::{BuildSource, LocalReply, LocalRequest},
        views::BuildEvent,
    },
    master::carry_as,
    rooms::Rooms,
};

/// How often ends that wait for their files are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Every so many looks the master is asked what runs.
const ASK_EVERY: u32 = 5;
/// How long a publication waits until this node shows it.
const SHOW_WAIT: Duration = Duration::from_secs(15);
/// How long the rest of a log may take once its job has ended.
const LOG_REST: Duration = Duration::from_secs(1);
/// Longest label of a source, in characters (protocol, `Submission`).
const LABEL: usize = 200;

pub(super) async fn build(
    office: &Office,
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    request: LocalRequest,
) -> Result<(), End> {
    let before = rooms.ledger.view();
    let (id, accepted, wait) = match request {
        LocalRequest::ResumeBuild { mark, log } => {
            return Follower::new(rooms, caller, mark, log).follow().await;
        }
        LocalRequest::Build {
            sources,
            repository,
            arches,
            options,
            track,
            wait,
            request,
        } => {
            let trees: Vec<Digest> = sources.iter().map(|source| source.tree).collect();
            let sources = sources.into_iter().map(submission).collect();
            let outcome = carry_as(
                rooms,
                request,
                Change::Submit {
                    repository,
                    arches,
                    options,
                    track,
                    sources,
                },
            )
            .await;
            office.parcels.release(&rooms.blobs, &trees).await;
            (request, outcome?.0, wait)
        }
        LocalRequest::Rebuild { bases, wait, request } => {
            let change = Change::Rebuild {
                repository: None,
                bases: bases.clone(),
            };
            let (accepted, _) = carry_as(rooms, request, change).await?;
            for base in bases
                .iter()
                .filter(|base| !accepted.iter().any(|job| job.base == **base))
            {
                let text = format!("{base} was never built here: 'pacmesh build' its directory");
                caller.say(LocalReply::Note(text)).await?;
            }
            if accepted.is_empty() {
                return Err("nothing is to be rebuilt: 'pacmesh packages' lists what there is".into());
            }
            (request, accepted, wait)
        }
        _ => return Err("this request builds nothing".into()),
    };
    let mark = BuildMark {
        open: accepted.iter().map(|job| opened(&before, &id, job)).collect(),
        ..BuildMark::default()
    };
    let mut follower = Follower::new(rooms, caller, mark, None);
    follower.tell_queued().await?;
    if !wait {
        return caller.done("").await;
    }
    follower.follow().await
}

fn submission(source: BuildSource) -> Submission {
    Submission {
        tree: source.tree,
        label: source.label.chars().take(LABEL).collect(),
        origin: source.origin,
        epoch: source.epoch,
    }
}

/// How a job that was just accepted stands with the caller, by the view before it was asked for.
fn opened(before: &View, request: &RequestId, job: &AcceptedJob) -> OpenJob {
    // Asked again after an answer was lost, the view before shows already what this very request brought.
    let earlier = before.job(&job.job).filter(|_| before.request(request).is_none());
    let published = earlier.is_some_and(|value| value.state == JobState::Published);
    OpenJob {
        job: job.job,
        base: job.base.to_string(),
        outdated: earlier.filter(|_| job.known).and_then(outdated),
        queued: !(job.known && published),
        told: None,
    }
}

/// The log that is shown.
struct Shown {
    job: JobId,
    log: Log,
}

/// A job that has not ended for the caller.
struct Open {
    mark: OpenJob,
    ended: Option<Instant>,
}

struct Follower<'a> {
    rooms: &'a Arc<Rooms>,
    caller: &'a mut Caller,
    open: BTreeMap<JobId, Open>,
    running: BTreeMap<JobId, AttemptMark>,
    log: Option<Shown>,
    /// How much of the log of each job's last attempt was passed on.
    logs: BTreeMap<JobId, LogMark>,
    published: usize,
    failed: usize,
}

impl<'a> Follower<'a> {
    fn new(rooms: &'a Arc<Rooms>, caller: &'a mut Caller, mark: BuildMark, log: Option<LogMark>) -> Self {
        let open = mark
            .open
            .into_iter()
            .map(|mark| (mark.job, Open { mark, ended: None }));
        Self {
            rooms,
            caller,
            open: open.collect(),
            running: BTreeMap::new(),
            log: None,
            logs: log.into_iter().map(|log| (log.job, log)).collect(),
            published: mark.published,
            failed: mark.failed,
        }
    }

    async fn tell_queued(&mut self) -> Result<(), End> {
        let queued = self.open.values().filter(|open| open.mark.queued);
        let events: Vec<_> = queued
            .map(|open| events::queued(&open.mark.job, &open.mark.base))
            .collect();
        for event in events {
            self.caller.say(LocalReply::Event(event)).await?;
        }
        self.tell_mark().await
    }

    /// Tells an event, and then that it was told.
    async fn tell(&mut self, event: BuildEvent) -> Result<(), End> {
        self.caller.say(LocalReply::Event(event)).await?;
        self.tell_mark().await
    }

    async fn tell_mark(&mut self) -> Result<(), End> {
        let mark = BuildMark {
            open: self.open.values().map(|open| open.mark.clone()).collect(),
            published: self.published,
            failed: self.failed,
        };
        self.caller.say(LocalReply::BuildMark(Box::new(mark))).await
    }

    /// Tells what happens until every job has ended.
    async fn follow(&mut self) -> Result<(), End> {
        let mut views = self.rooms.ledger.subscribe();
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        while !self.open.is_empty() {
            tokio::select! {
                changed = views.changed() => {
                    if changed.is_err() {
                        // This node is stopping; its next life is asked for the rest.
                        return Err(End::Gone);
                    }
                }
                _ = tick.tick() => {
                    if looks % ASK_EVERY == 0 {
                        self.look_at_running().await?;
                    }
                    looks = looks.wrapping_add(1);
                }
                piece = next_piece(&mut self.log) => {
                    self.take_piece(piece).await?;
                    continue;
                }
            }
            self.tell_ends(&mut views).await?;
        }
        self.caller
            .say(LocalReply::Event(events::finished(self.published, self.failed)))
            .await
    }

    async fn look_at_running(&mut self) -> Result<(), End> {
        let ids = self.open.keys().copied().collect();
        let term = self.rooms.master.leadership().term();
        let Some(live) = jobs::live(self.rooms, ids).await else {
            return Ok(());
        };
        self.running = live.iter().filter_map(|live| running(live, term)).collect();
        for (id, attempt) in self.running.clone() {
            self.tell_started(id, attempt).await?;
        }
        self.choose_log().await;
        Ok(())
    }

    async fn tell_started(&mut self, id: JobId, attempt: AttemptMark) -> Result<(), End> {
        let Some(open) = self.open.get_mut(&id) else {
            return Ok(());
        };
        let told = open.mark.told.replace(attempt);
        if told.is_some_and(|told| told.is(&attempt)) {
            return Ok(());
        }
        let base = open.mark.base.clone();
        self.tell(events::started(
            self.rooms,
            &id,
            &base,
            attempt.worker,
            attempt.number,
        ))
        .await
    }

    /// A log is shown only while exactly one job is being built: two would be mixed.
    async fn choose_log(&mut self) {
        let mut running = self.running.iter().filter(|(id, _)| self.open.contains_key(id));
        let only = match (running.next(), running.next()) {
            (Some((id, attempt)), None) => Some((*id, *attempt)),
            _ => None,
        };
        let Some((job, attempt)) = only else {
            self.log = None;
            return;
        };
        let seen = self.logs.get(&job).filter(|seen| seen.attempt.is(&attempt));
        let (bytes, whole) = seen.map_or((0, false), |seen| (seen.bytes, seen.whole));
        let is_shown = seen.is_some() && self.log.as_ref().is_some_and(|shown| shown.job == job);
        let mark = LogMark {
            job,
            attempt,
            bytes,
            whole,
        };
        self.logs.insert(job, mark);
        if is_shown || whole {
            return;
        }
        self.log = match logs::open(self.rooms, attempt.worker, job, bytes, true).await {
            Ok(log) => Some(Shown { job, log }),
            Err(error) => {
                tracing::debug!(error, "a log cannot be shown yet");
                None
            }
        };
    }

    async fn take_piece(&mut self, piece: Piece) -> Result<(), End> {
        let Some(shown) = &self.log else { return Ok(()) };
        let Some(mark) = self.logs.get_mut(&shown.job) else {
            return Ok(());
        };
        match piece {
            Some(Ok(bytes)) => {
                mark.bytes += bytes.len() as u64;
                let mark = *mark;
                self.caller.bytes(&bytes).await?;
                self.caller.say(LocalReply::LogMark(mark)).await
            }
            // It is opened again where it was cut off.
            Some(Err(_)) => {
                self.log = None;
                Ok(())
            }
            None => {
                mark.whole = true;
                self.log = None;
                Ok(())
            }
        }
    }

    async fn tell_ends(&mut self, views: &mut watch::Receiver<Arc<View>>) -> Result<(), End> {
        let view = views.borrow_and_update().clone();
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            let Some(job) = view.job(&id).filter(|job| self.has_ended(&id, job)) else {
                continue;
            };
            if job.state == JobState::Published && !self.may_tell(&view, &id) {
                continue;
            }
            self.finish_log(&id).await?;
            self.tell_end(&view, id, job).await?;
        }
        Ok(())
    }

    fn has_ended(&self, id: &JobId, job: &JobV1) -> bool {
        let outdated = self.open.get(id).and_then(|open| open.mark.outdated);
        match job.state {
            JobState::Queued => false,
            JobState::Published => true,
            JobState::Failed { .. } | JobState::Cancelled => outdated.is_none_or(|old| job.generation > old),
        }
    }

    /// A publication is told once this node shows it, or after a while.
    fn may_tell(&mut self, view: &View, id: &JobId) -> bool {
        let Some(open) = self.open.get_mut(id) else {
            return true;
        };
        let since = *open.ended.get_or_insert_with(Instant::now);
        since.elapsed() >= SHOW_WAIT || is_shown(self.rooms, view, id)
    }

    async fn finish_log(&mut self, id: &JobId) -> Result<(), End> {
        let deadline = Instant::now() + LOG_REST;
        while self.log.as_ref().is_some_and(|shown| shown.job == *id) {
            match timeout(deadline.duration_since(Instant::now()), next_piece(&mut self.log)).await {
                Ok(piece) => self.take_piece(piece).await?,
                Err(_) => self.log = None,
            }
        }
        Ok(())
    }

    async fn tell_end(&mut self, view: &View, id: JobId, job: &JobV1) -> Result<(), End> {
        if let Some(end) = &job.end
            && let Some(worker) = end.worker
            && self
                .open
                .get(&id)
                .is_some_and(|open| open.mark.queued && open.mark.told.is_none())
        {
            let attempt = AttemptMark {
                worker,
                number: end.attempts,
                term: self.rooms.master.leadership().term(),
            };
            self.tell_started(id, attempt).await?;
        }
        let copies = match job.state {
            JobState::Published => jobs::copies_of(self.rooms, view, &[(&id, job)])
                .await
                .get(&id)
                .copied()
                .unwrap_or(0),
            _ => 0,
        };
        if job.state == JobState::Published {
            self.published += 1;
        } else {
            self.failed += 1;
        }
        self.open.remove(&id);
        self.running.remove(&id);
        self.tell(events::ended(self.rooms, &id, job, copies)).await
    }
}

/// The generation of a job that ended before it was asked for again.
fn outdated(job: &JobV1) -> Option<u64> {
    matches!(job.state, JobState::Failed { .. } | JobState::Cancelled).then_some(job.generation)
}

fn running(live: &LiveJob, term: Term) -> Option<(JobId, AttemptMark)> {
    let attempt = AttemptMark {
        worker: live.worker?,
        number: live.attempts,
        term,
    };
    Some((live.job, attempt))
}

type Piece = Option<std::io::Result<bytes::Bytes>>;

async fn next_piece(shown: &mut Option<Shown>) -> Piece {
    match shown {
        Some(shown) => shown.log.next().await,
        None => std::future::pending().await,
    }
}

/// Whether this node's files show what a job published; true where it serves none.
fn is_shown(rooms: &Rooms, view: &View, id: &JobId) -> bool {
    if rooms.discovery.table().borrow().own.repository_port.is_none() {
        return true;
    }
    let catalogue = rooms.repository.catalogue();
    view.all_releases()
        .filter(|(_, release)| release.job == *id)
        .all(|(key, release)| {
            let place = GenerationKey {
                repository: key.repository.clone(),
                arch: key.arch.clone(),
            };
            catalogue.shown(&place).is_some_and(|shown| {
                shown
                    .archives
                    .get(&release.file)
                    .is_some_and(|archive| archive.blake3 == release.archive)
            })
        })
}
