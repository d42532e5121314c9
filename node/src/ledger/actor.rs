//! The one thread that owns the file and the facts: it gathers what waits into one transaction, syncs, publishes,
//! and only then answers. A disk that fails ends it, since what it knows would no longer be what is kept.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use pacmesh_protocol::{
    codec,
    ids::{Digest, Incarnation, RecordHash, RequestId},
    ledger::{
        Ledger, Merged,
        horizon::Overtaken,
        named::Named,
        record::{Entry, Record, RecordV1, ReignId},
        view::View,
    },
    signed::{Sign, Signed, Verify},
    wire::{RECORD_BATCH, RECORD_BATCH_BYTES},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    error::{LedgerError, chain},
    handle::MergeSummary,
    store::{Changes, Owner, Store},
};
use crate::clock;

/// Most operations in one transaction: enough to share a sync, few enough to answer soon.
const GROUP: usize = 256;
/// How often loading tries again what an order of arrival made it drop.
const LOAD_PASSES: usize = 8;
/// Where overtaken jobs are kept until something newer stands in their place.
const OVERTAKEN: &str = "overtaken-jobs";
/// Most overtaken jobs that are remembered; the newest.
const OVERTAKEN_KEPT: usize = 32;
/// Greatest length of their encoding, in bytes: three names, a version and change for each.
const OVERTAKEN_BYTES: usize = 64 << 10;
/// Greatest step over its own incarnation that a node believes: two Unix times are never further apart until 2106.
const INCARNATION_STEP: u64 = 1 << 32;

/// Signature and lengths around a body, in bytes, at most.
const ENVELOPE: usize = 80;

type Answer<T> = oneshot::Sender<Result<T, LedgerError>>;

/// What the thread is asked.
pub(super) enum Operation {
    Merge(Vec<Record>, Answer<MergeSummary>),
    Append(Draft, Answer<Record>),
    Learn(Incarnation, Answer<()>),
    PutMeta(String, Vec<u8>, Answer<()>),
    GetMeta(String, Answer<Option<Vec<u8>>>),
    TreeTop(Answer<Vec<Digest>>),
    TreeBranch(u8, Answer<Vec<Digest>>),
    TreeLeaf(u8, u8, Answer<Vec<RecordHash>>),
    Lacking(Vec<RecordHash>, Answer<Vec<RecordHash>>),
    Pull(Vec<RecordHash>, Answer<Vec<Signed>>),
    Unread(Answer<Vec<RecordHash>>),
    Named(Answer<Named>),
    All(Answer<Vec<Record>>),
    Close(oneshot::Sender<()>),
}

/// A record of this node before it has its place.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) entries: Vec<Entry>,
    pub(super) reign: ReignId,
    pub(super) request: Option<RequestId>,
}

/// Where the thread finds what it needs.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) key: Arc<dyn Sign>,
    pub(super) verify: Arc<dyn Verify>,
    pub(super) outside: Outside,
}

/// What others see of the thread, always as of the last sync.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) added: broadcast::Sender<Arc<Vec<Record>>>,
    pub(super) incarnation: Arc<AtomicU64>,
    /// Why it ended.
    pub(super) end: Arc<OnceLock<Arc<str>>>,
}

/// What the handle watches, once the file is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) root: watch::Receiver<Digest>,
    pub(super) overtaken: watch::Receiver<Arc<Vec<Overtaken>>>,
}

/// The thread's body: opens, says so, serves until it is closed, its handles are gone or the disk fails.
pub(super) fn run(
    open: impl FnOnce() -> Result<(Store, Owner), LedgerError>,
    setup: Setup,
    queue: mpsc::Receiver<Operation>,
    opened: oneshot::Sender<Result<Opened, LedgerError>>,
) {
    match open().and_then(|(store, owner)| Actor::new(store, owner, setup)) {
        Ok((actor, watching)) => {
            if opened.send(Ok(watching)).is_ok() {
                actor.serve(queue);
            }
        }
        Err(error) => drop(opened.send(Err(error))),
    }
}

/// An answer that waits for the sync.
type Waiting = Box<dyn FnOnce(Result<(), Arc<str>>)>;

struct Actor {
    store: Store,
    ledger: Ledger,
    owner: Owner,
    key: Arc<dyn Sign>,
    outside: Outside,
    view: watch::Sender<Arc<View>>,
    root: watch::Sender<Digest>,
    /// Jobs of this node that fell behind the horizon before they had ended.
    overtaken: watch::Sender<Arc<Vec<Overtaken>>>,
    changes: Changes,
    waiting: Vec<Waiting>,
}

impl Actor {
    fn new(store: Store, owner: Owner, setup: Setup) -> Result<(Self, Opened), LedgerError> {
        let Setup { key, verify, outside } = setup;
        let mut ledger = Ledger::new(owner.mesh, owner.node, verify);
        load(&mut ledger, store.records()?);
        // Those were told when it happened.
        ledger.take_overtaken();
        let kept = store.meta(OVERTAKEN)?;
        let kept = kept.and_then(|bytes| codec::decode::<Vec<Overtaken>>(&bytes, OVERTAKEN_BYTES).ok());
        let (overtaken, watched_overtaken) = watch::channel(Arc::new(kept.unwrap_or_default()));
        let (view, watched_view) = watch::channel(ledger.view());
        let (root, watched_root) = watch::channel(ledger.tree().root());
        outside.incarnation.store(owner.incarnation, Ordering::Release);
        let actor = Self {
            store,
            ledger,
            owner,
            key,
            outside,
            view,
            root,
            overtaken,
            changes: Changes::default(),
            waiting: Vec::new(),
        };
        Ok((
            actor,
            Opened {
                view: watched_view,
                root: watched_root,
                overtaken: watched_overtaken,
            },
        ))
    }

    fn serve(mut self, mut queue: mpsc::Receiver<Operation>) {
        while let Some(first) = queue.blocking_recv() {
            let mut closing = self.apply(first);
            for _ in 1..GROUP {
                if closing.is_some() {
                    break;
                }
                let Ok(operation) = queue.try_recv() else { break };
                closing = self.apply(operation);
            }
            let failed = self.settle().is_err();
            if let Some(closed) = closing {
                self.end("it was closed");
                drop((self, queue));
                // Whoever closes may be gone; the file is released either way.
                let _ = closed.send(());
                return;
            }
            if failed {
                return;
            }
        }
        self.end("nobody holds it");
    }

    /// Does one operation in memory; its answer waits for [`Self::settle`].
    fn apply(&mut self, operation: Operation) -> Option<oneshot::Sender<()>> {
        match operation {
            Operation::Merge(records, answer) => {
                let summary = self.merge(records);
                self.answer(answer, Ok(summary));
            }
            Operation::Append(draft, answer) => {
                let record = self.append(draft);
                self.answer(answer, record);
            }
            Operation::Learn(known, answer) => {
                let learned = self.learn(known);
                self.answer(answer, learned);
            }
            Operation::PutMeta(key, value, answer) => {
                self.changes.meta.insert(key, value);
                self.answer(answer, Ok(()));
            }
            Operation::GetMeta(key, answer) => {
                let value = match self.changes.meta.get(&key) {
                    Some(value) => Ok(Some(value.clone())),
                    None => self.store.meta(&key),
                };
                self.answer(answer, value);
            }
            Operation::TreeTop(answer) => self.answer(answer, Ok(self.ledger.tree().top())),
            Operation::TreeBranch(first, answer) => self.answer(answer, Ok(self.ledger.tree().branch(first))),
            Operation::TreeLeaf(first, second, answer) => {
                self.answer(answer, Ok(self.ledger.tree().leaf(first, second)));
            }
            Operation::Lacking(mut hashes, answer) => {
                hashes.retain(|hash| !self.ledger.contains(hash));
                self.answer(answer, Ok(hashes));
            }
            Operation::Pull(hashes, answer) => self.answer(answer, Ok(pull(&self.ledger, &hashes))),
            Operation::Unread(answer) => self.answer(answer, Ok(self.ledger.unread())),
            Operation::Named(answer) => {
                let named = self.ledger.named();
                self.answer(answer, Ok(named));
            }
            Operation::All(answer) => {
                let records = self.ledger.records().cloned().collect();
                self.answer(answer, Ok(records));
            }
            Operation::Close(closed) => return Some(closed),
        }
        None
    }

    fn answer<T: 'static>(&mut self, answer: Answer<T>, value: Result<T, LedgerError>) {
        self.waiting.push(Box::new(move |synced| {
            // A caller that no longer waits has not been told anything, which is true.
            let _ = answer.send(match synced {
                Ok(()) => value,
                Err(reason) => Err(LedgerError::Closed { reason }),
            });
        }));
    }

    fn merge(&mut self, records: Vec<Record>) -> MergeSummary {
        let (records, strangers) = self.ledger.let_in(records);
        let mut summary = MergeSummary {
            skipped: strangers.iter().map(Record::hash).collect(),
            ..MergeSummary::default()
        };
        for record in records {
            if record.author() == self.owner.node && !self.ledger.contains(&record.hash()) {
                self.meet_own(&record);
            }
            let hash = record.hash();
            match self.keep(record) {
                Merged::Added { .. } => summary.added.push(hash),
                Merged::Known | Merged::Stale => {}
                Merged::Refused(reason) => summary.refused.push(reason),
            }
        }
        summary.added.retain(|hash| self.ledger.contains(hash));
        summary
    }

    /// A record of this node at a place that it has not written: its disk was restored, or its key has a second
    /// holder. Both end in a life that nobody has seen. (What it wrote and dropped comes back at lower places.)
    fn meet_own(&mut self, record: &Record) {
        let (body, owner) = (record.body(), &self.owner);
        let (place, own) = (
            (body.incarnation, body.sequence),
            (owner.incarnation, owner.sequence),
        );
        if place < own || (place == own && record.hash() == owner.last) {
            return;
        }
        if let Some(next) = body.incarnation.checked_add(1) {
            tracing::warn!(
                incarnation = body.incarnation,
                next,
                "a record of this node that it does not remember"
            );
            self.begin(next);
            self.owner.last = record.hash();
        }
    }

    fn append(&mut self, draft: Draft) -> Result<Record, LedgerError> {
        let body = RecordV1 {
            author: self.owner.node,
            incarnation: self.owner.incarnation,
            sequence: self.owner.sequence + 1,
            prev: self.owner.last,
            reign: draft.reign,
            request: draft.request,
            written_ms: clock::wall_ms(),
            entries: draft.entries,
        };
        let record = Record::write(body, &self.owner.mesh, &*self.key)?;
        match self.keep(record.clone()) {
            Merged::Added { .. } => {}
            Merged::Known | Merged::Stale => {
                return Err(LedgerError::NotKept {
                    reason: "this node said greater things before".into(),
                });
            }
            Merged::Refused(reason) => return Err(LedgerError::NotKept { reason }),
        }
        self.owner.sequence += 1;
        self.owner.last = record.hash();
        self.changes.owner = Some(self.owner);
        Ok(record)
    }

    fn keep(&mut self, record: Record) -> Merged {
        let merged = self.ledger.merge(record.clone());
        if let Merged::Added { dropped } = &merged {
            self.changes.delete.remove(&record.hash());
            self.changes.put.insert(record.hash(), record);
            for hash in dropped {
                self.changes.put.remove(hash);
                self.changes.delete.insert(*hash);
            }
        }
        merged
    }

    fn learn(&mut self, known: Incarnation) -> Result<(), LedgerError> {
        let own = self.owner.incarnation;
        // What it wrote itself in this life is known to others, too.
        if known < own || (known == own && self.owner.sequence > 0) {
            return Ok(());
        }
        if known - own > INCARNATION_STEP {
            return Err(LedgerError::Implausible { known, own });
        }
        let next = known
            .checked_add(1)
            .ok_or(LedgerError::Implausible { known, own })?;
        self.begin(next);
        Ok(())
    }

    fn begin(&mut self, incarnation: Incarnation) {
        self.owner.incarnation = incarnation;
        self.owner.sequence = 0;
        self.changes.owner = Some(self.owner);
    }

    /// Syncs what was done, shows it, then answers everybody who waits.
    fn settle(&mut self) -> Result<(), ()> {
        let overtaken = self.note_overtaken();
        let changes = std::mem::take(&mut self.changes);
        let synced = if changes.is_empty() {
            Ok(())
        } else {
            self.store.commit(&changes)
        };
        let outcome = match synced {
            Ok(()) => {
                if let Some(overtaken) = overtaken {
                    self.overtaken.send_replace(Arc::new(overtaken));
                }
                self.publish(changes);
                Ok(())
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::error!(reason, "the ledger ends");
                Err(self.end(&reason))
            }
        };
        for answer in self.waiting.drain(..) {
            answer(outcome.clone());
        }
        outcome.map_err(|_| ())
    }

    /// The overtaken jobs after these changes, if they are others than before: new ones come, and a job of the same base
    /// that was asked for later takes one away.
    fn note_overtaken(&mut self) -> Option<Vec<Overtaken>> {
        let new = self.ledger.take_overtaken();
        let before = self.overtaken.borrow().clone();
        if new.is_empty() && (before.is_empty() || !self.changes.changes_records()) {
            return None;
        }
        for job in &new {
            tracing::warn!(job = %job.job.short(), base = %job.base, "a job is too old: build it again");
        }
        let view = self.ledger.view();
        let mut all: Vec<Overtaken> = before.iter().cloned().chain(new).collect();
        all.retain(|old| {
            let mut jobs = view.jobs().map(|(_, job)| job);
            !jobs.any(|job| {
                (&job.repository, &job.base) == (&old.repository, &old.base)
                    && job.submitted_ms > old.submitted_ms
            })
        });
        all.drain(..all.len().saturating_sub(OVERTAKEN_KEPT));
        if all == *before {
            return None;
        }
        let bytes = codec::encode(&all, OVERTAKEN_BYTES).unwrap_or_default();
        self.changes.meta.insert(OVERTAKEN.to_owned(), bytes);
        Some(all)
    }

    fn publish(&mut self, changes: Changes) {
        self.outside
            .incarnation
            .store(self.owner.incarnation, Ordering::Release);
        if !changes.changes_records() {
            return;
        }
        self.view.send_replace(self.ledger.view());
        self.root.send_replace(self.ledger.tree().root());
        if !changes.put.is_empty() {
            // Nobody listens: nothing to tell.
            let _ = self
                .outside
                .added
                .send(Arc::new(changes.put.into_values().collect()));
        }
    }

    /// Leaves word of why the thread ends; the first word stays.
    fn end(&self, reason: &str) -> Arc<str> {
        self.outside.end.get_or_init(|| reason.into()).clone()
    }
}

/// Merges what was kept; a record that only a cut keeps may come before the verdict that names the cut.
fn load(ledger: &mut Ledger, mut records: Vec<Record>) {
    records.sort_by_cached_key(|record| (Ledger::turn(record), record.hash()));
    for _ in 0..LOAD_PASSES {
        let before = records.len();
        for record in &records {
            ledger.merge(record.clone());
        }
        records.retain(|record| !ledger.contains(&record.hash()));
        if records.is_empty() || records.len() == before {
            break;
        }
    }
}

/// Held records among those asked for, in the order asked, within the bounds of one frame.
fn pull(ledger: &Ledger, hashes: &[RecordHash]) -> Vec<Signed> {
    let mut bytes = 0;
    hashes
        .iter()
        .filter_map(|hash| ledger.get(hash))
        .take(RECORD_BATCH)
        .map(|record| record.signed().clone())
        .take_while(|signed| {
            bytes += signed.body.len() + ENVELOPE;
            bytes <= RECORD_BATCH_BYTES
        })
        .collect()
}
