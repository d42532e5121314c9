//! Getting blobs from other nodes: one transfer per blob however many ask for it, from one node after the other until
//! it is whole, each going on where the one before stopped.

mod pull;
mod relay;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use pacmesh_protocol::ids::{Digest, NodeId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::pull::Fault;
use super::{BlobStore, error::BlobError};
use crate::transport::Transport;

/// Most blob streams from one node, and in all (FORMATS, "Numbers").
const PER_PEER: usize = 8;
const IN_ALL: usize = 64;
/// Most blobs of one [`Fetcher::fetch_all`] that are fetched at once.
const AT_ONCE: usize = 16;
/// A node that is busy is asked again so often, each time after a pause.
const ROUNDS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Most nodes that are told of in an error.
const TOLD: usize = 8;

/// Why a blob is not here. What was verified of it is kept for the next attempt.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// None of those who might have it could give it.
    #[error("blob {digest} cannot be had: {}", tell(.tried))]
    Unavailable {
        /// Which.
        digest: Digest,
        /// Who was asked, and what came of it.
        tried: Vec<(NodeId, String)>,
    },
    /// It cannot be stored here.
    #[error("a fetched blob cannot be stored")]
    Store(#[source] Arc<BlobError>),
    /// The node stops.
    #[error("the node stops")]
    Stopping,
}

fn tell(tried: &[(NodeId, String)]) -> String {
    if tried.is_empty() {
        return "nobody is known to have it".into();
    }
    let told: Vec<_> = tried
        .iter()
        .take(TOLD)
        .map(|(node, why)| format!("{}: {why}", node.short()))
        .collect();
    told.join("; ")
}

impl From<BlobError> for FetchError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Aborted => Self::Stopping,
            error => Self::Store(Arc::new(error)),
        }
    }
}

/// Fetches blobs. Clones share it; when the last one is dropped, transfers stop where they are.
#[derive(Debug, Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
    _end: Arc<DropGuard>,
}

#[derive(Debug)]
struct Inner {
    store: BlobStore,
    transport: Transport,
    jobs: Mutex<BTreeMap<Digest, Job>>,
    per_peer: Mutex<BTreeMap<NodeId, Arc<Semaphore>>>,
    in_all: Arc<Semaphore>,
    received: AtomicU64,
    stop: CancellationToken,
}

type Outcome = Result<(), FetchError>;

/// One transfer that is under way.
#[derive(Debug)]
struct Job {
    /// Whom to ask next.
    queue: VecDeque<NodeId>,
    /// Who was ever in the queue.
    known: BTreeSet<NodeId>,
    done: watch::Receiver<Option<Outcome>>,
}

impl Fetcher {
    /// Fetches into `store` over `transport`. One per store: two would write the same partial files.
    pub fn new(store: BlobStore, transport: Transport) -> Self {
        let stop = CancellationToken::new();
        let inner = Inner {
            store,
            transport,
            jobs: Mutex::default(),
            per_peer: Mutex::default(),
            in_all: Arc::new(Semaphore::new(IN_ALL)),
            received: AtomicU64::new(0),
            stop: stop.clone(),
        };
        Self {
            inner: Arc::new(inner),
            _end: Arc::new(stop.drop_guard()),
        }
    }

    /// Sees to it that the blob is here: asks the nodes of `from` in turn. Whoever asks for a blob that is on its way
    /// waits for that, and adds its nodes. The transfer goes on if the caller does not wait for its end.
    pub async fn fetch(&self, digest: &Digest, from: &[NodeId]) -> Result<(), FetchError> {
        if self.inner.store.has(digest) {
            return Ok(());
        }
        let mut done = self.inner.clone().job(*digest, from);
        let outcome = done.wait_for(Option::is_some).await;
        outcome
            .ok()
            .and_then(|outcome| outcome.clone())
            .unwrap_or(Err(FetchError::Stopping))
    }

    /// Fetches many; those that are missing in the end, with the reasons.
    pub async fn fetch_all(&self, digests: &[Digest], from: &[NodeId]) -> Vec<(Digest, FetchError)> {
        let digests: BTreeSet<_> = digests.iter().copied().collect();
        stream::iter(digests)
            .map(async |digest| self.fetch(&digest, from).await.err().map(|error| (digest, error)))
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// How many verified bytes came from other nodes so far.
    pub fn received(&self) -> u64 {
        self.inner.received.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Joins the transfer of `digest`, or begins it.
    fn job(self: Arc<Self>, digest: Digest, from: &[NodeId]) -> watch::Receiver<Option<Outcome>> {
        let mut jobs = self.jobs();
        // One whose task has died without an outcome is begun anew.
        if let Some(job) = jobs.get_mut(&digest).filter(|job| job.done.has_changed().is_ok()) {
            for node in from {
                if job.known.insert(*node) {
                    job.queue.push_back(*node);
                }
            }
            return job.done.clone();
        }
        let (sender, done) = watch::channel(None);
        let known: BTreeSet<_> = from.iter().copied().collect();
        let mut queue = VecDeque::with_capacity(known.len());
        for node in from {
            if !queue.contains(node) {
                queue.push_back(*node);
            }
        }
        jobs.insert(
            digest,
            Job {
                queue,
                known,
                done: done.clone(),
            },
        );
        drop(jobs);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                () = self.stop.cancelled() => Err(FetchError::Stopping),
                outcome = self.run(digest) => outcome,
            };
            self.jobs().remove(&digest);
            sender.send_replace(Some(outcome));
        });
        done
    }

    async fn run(&self, digest: Digest) -> Outcome {
        let mut tried = Vec::new();
        let mut busy = Vec::new();
        for round in 0.. {
            while let Some(node) = self.next_source(&digest) {
                match self.pull(digest, node).await {
                    Ok(()) => return Ok(()),
                    Err(Fault::Local(error)) => return Err(error.into()),
                    Err(Fault::Busy) => busy.push(node),
                    Err(fault) => {
                        tracing::debug!(%digest, peer = %node.short(), %fault, "a blob did not come");
                        tried.push((node, fault.to_string()));
                    }
                }
            }
            if busy.is_empty() || round == ROUNDS {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            if let Some(job) = self.jobs().get_mut(&digest) {
                job.queue.extend(busy.drain(..));
            }
        }
        tried.extend(busy.into_iter().map(|node| (node, Fault::Busy.to_string())));
        Err(FetchError::Unavailable { digest, tried })
    }

    fn next_source(&self, digest: &Digest) -> Option<NodeId> {
        self.jobs().get_mut(digest)?.queue.pop_front()
    }

    /// Waits until a stream from `node` may be opened.
    async fn permits(&self, node: NodeId) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let of_peer = {
            let mut peers = self.per_peer.lock().unwrap_or_else(PoisonError::into_inner);
            peers.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            peers
                .entry(node)
                .or_insert_with(|| Arc::new(Semaphore::new(PER_PEER)))
                .clone()
        };
        let of_peer = of_peer.acquire_owned().await.ok()?;
        let of_all = self.in_all.clone().acquire_owned().await.ok()?;
        Some((of_peer, of_all))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<Digest, Job>> {
        // Each change is whole before anything could panic.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
