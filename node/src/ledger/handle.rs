//! What everybody else holds of the ledger. Calls wait for the sync; `view` and `root` are as of the last one.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use pacmesh_protocol::{
    ids::{Digest, Incarnation, MeshId, RecordHash, RequestId},
    ledger::{
        Ledger,
        horizon::Overtaken,
        named::Named,
        record::{Entry, Record, ReignId},
        view::View,
    },
    signed::{Sign, Signed, Verify},
    wire::RECORD_BATCH,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    actor::{self, Draft, Opened, Operation, Outside, Setup},
    error::{LedgerError, chain},
    store::{Owner, Store},
};

/// Most operations that wait for the thread; beyond it callers wait.
const QUEUE: usize = 1024;
/// Most announcements that a listener may be behind before it must look for itself.
const ANNOUNCEMENTS: usize = 1024;

/// What became of records from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeSummary {
    /// Kept and not known before.
    pub added: Vec<RecordHash>,
    /// One reason for each that was not believed.
    pub refused: Vec<String>,
    /// By authors that are not known, or not yet, as ones who may write them; not kept.
    pub skipped: Vec<RecordHash>,
}

/// The ledger of this node; the thread behind it ends with its last handle, or by [`LedgerHandle::close`].
#[derive(Clone)]
pub struct LedgerHandle {
    queue: mpsc::Sender<Operation>,
    mesh: MeshId,
    verify: Arc<dyn Verify>,
    view: watch::Receiver<Arc<View>>,
    root: watch::Receiver<Digest>,
    overtaken: watch::Receiver<Arc<Vec<Overtaken>>>,
    added: broadcast::Sender<Arc<Vec<Record>>>,
    incarnation: Arc<AtomicU64>,
    end: Arc<OnceLock<Arc<str>>>,
}

impl std::fmt::Debug for LedgerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerHandle")
            .field("mesh", &self.mesh)
            .finish_non_exhaustive()
    }
}

impl LedgerHandle {
    /// Opens or creates the file, reads every record, and begins a new incarnation of the node that `key` names.
    pub async fn open(
        path: &Path,
        mesh: MeshId,
        key: Arc<dyn Sign>,
        verify: Arc<dyn Verify>,
    ) -> Result<Self, LedgerError> {
        let (file, node) = (path.to_owned(), key.node());
        let open = move || Store::open(&file, mesh, node);
        // The database panics on some damage that it can only come across.
        let damaged = || LedgerError::Damaged {
            path: path.to_owned(),
            reason: "its pages do not fit together".into(),
        };
        Self::start(open, mesh, key, verify).await?.ok_or_else(damaged)
    }

    /// Starts the thread on what `open` opens; `None` if it panics there.
    pub(super) async fn start(
        open: impl FnOnce() -> Result<(Store, Owner), LedgerError> + Send + 'static,
        mesh: MeshId,
        key: Arc<dyn Sign>,
        verify: Arc<dyn Verify>,
    ) -> Result<Option<Self>, LedgerError> {
        let (added, _) = broadcast::channel(ANNOUNCEMENTS);
        let (incarnation, end) = (Arc::new(AtomicU64::new(0)), Arc::new(OnceLock::new()));
        let outside = Outside {
            added: added.clone(),
            incarnation: incarnation.clone(),
            end: end.clone(),
        };
        let setup = Setup {
            key,
            verify: verify.clone(),
            outside,
        };
        let (queue, operations) = mpsc::channel(QUEUE);
        let (opened, wait) = oneshot::channel();
        std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || actor::run(open, setup, operations, opened))
            .map_err(LedgerError::Thread)?;
        let Ok(opened) = wait.await else {
            return Ok(None);
        };
        let Opened {
            view,
            root,
            overtaken,
        } = opened?;
        Ok(Some(Self {
            queue,
            mesh,
            verify,
            view,
            root,
            overtaken,
            added,
            incarnation,
            end,
        }))
    }

    /// Verifies records from outside and keeps what is new, admissions and verdicts first; synced when it returns.
    ///
    /// Records of one call up to [`RECORD_BATCH`] are kept in one transaction. Bad records are told in the summary.
    pub async fn merge(&self, records: Vec<Signed>) -> Result<MergeSummary, LedgerError> {
        let (mesh, verify) = (self.mesh, self.verify.clone());
        let (mut records, refused) = tokio::task::spawn_blocking(move || verified(records, &mesh, &*verify))
            .await
            .map_err(|_| self.closed())?;
        let mut summary = MergeSummary {
            refused,
            ..MergeSummary::default()
        };
        // The admission of an author may be in a later transaction than its records.
        loop {
            let tried = records.len();
            let mut skipped = BTreeSet::new();
            for batch in records.chunks(RECORD_BATCH) {
                let part = self
                    .ask(|answer| Operation::Merge(batch.to_vec(), answer))
                    .await?;
                summary.added.extend(part.added);
                summary.refused.extend(part.refused);
                skipped.extend(part.skipped);
            }
            records.retain(|record| skipped.contains(&record.hash()));
            if tried <= RECORD_BATCH || records.len() == tried {
                break;
            }
        }
        summary.skipped = records.iter().map(Record::hash).collect();
        Ok(summary)
    }

    /// Writes, signs and keeps a record of this node; synced when it returns.
    pub async fn append(
        &self,
        entries: Vec<Entry>,
        reign: ReignId,
        request: Option<RequestId>,
    ) -> Result<Record, LedgerError> {
        let draft = Draft {
            entries,
            reign,
            request,
        };
        self.ask(|answer| Operation::Append(draft, answer)).await
    }

    /// What is in force.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// What is in force, from here on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Records that were not known before, from here on, each after it was synced.
    pub fn added(&self) -> broadcast::Receiver<Arc<Vec<Record>>> {
        self.added.subscribe()
    }

    /// The digest over all records.
    pub fn root(&self) -> Digest {
        *self.root.borrow()
    }

    /// Jobs asked for here, or accepted here, that fell behind the horizon before they had ended.
    pub fn overtaken(&self) -> Arc<Vec<Overtaken>> {
        self.overtaken.borrow().clone()
    }

    /// The first level of the digest tree.
    pub async fn tree_top(&self) -> Result<Vec<Digest>, LedgerError> {
        self.ask(Operation::TreeTop).await
    }

    /// The second level below a first byte.
    pub async fn tree_branch(&self, first: u8) -> Result<Vec<Digest>, LedgerError> {
        self.ask(|answer| Operation::TreeBranch(first, answer)).await
    }

    /// The records below two bytes.
    pub async fn tree_leaf(&self, first: u8, second: u8) -> Result<Vec<RecordHash>, LedgerError> {
        self.ask(|answer| Operation::TreeLeaf(first, second, answer))
            .await
    }

    /// Those of `hashes` that are not held.
    pub async fn lacking(&self, hashes: Vec<RecordHash>) -> Result<Vec<RecordHash>, LedgerError> {
        self.ask(|answer| Operation::Lacking(hashes, answer)).await
    }

    /// Held records among `hashes`, in that order, as many as fit one frame.
    pub async fn pull(&self, hashes: Vec<RecordHash>) -> Result<Vec<Signed>, LedgerError> {
        self.ask(|answer| Operation::Pull(hashes, answer)).await
    }

    /// Records with something that this binary does not read.
    pub async fn unread(&self) -> Result<Vec<RecordHash>, LedgerError> {
        self.ask(Operation::Unread).await
    }

    /// The blobs that its records name.
    pub async fn named(&self) -> Result<Named, LedgerError> {
        self.ask(Operation::Named).await
    }

    /// All records that are held, for a backup.
    pub async fn all(&self) -> Result<Vec<Record>, LedgerError> {
        self.ask(Operation::All).await
    }

    /// Whose facts these are.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// A small value of another room.
    pub async fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let key = key.to_owned();
        self.ask(|answer| Operation::GetMeta(key, answer)).await
    }

    /// Keeps a small value of another room; synced when it returns.
    pub async fn put_meta(&self, key: &str, value: Vec<u8>) -> Result<(), LedgerError> {
        let key = key.to_owned();
        self.ask(|answer| Operation::PutMeta(key, value, answer)).await
    }

    /// In which of its lives this node writes.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Takes `known` + 1 where another node knows of a life of this one that is not lower than its own; synced.
    pub async fn learn_incarnation(&self, known: Incarnation) -> Result<(), LedgerError> {
        self.ask(|answer| Operation::Learn(known, answer)).await
    }

    /// Waits until the ledger has ended, because its disk failed or it was closed; says why.
    pub async fn ended(&self) -> LedgerError {
        let mut view = self.view.clone();
        while view.changed().await.is_ok() {}
        self.closed()
    }

    /// Does what waits, then releases the file; later calls are refused.
    pub async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.queue.send(Operation::Close(closed)).await.is_ok() {
            // An error says that the thread ended already, which is what was wanted.
            let _ = wait.await;
        }
    }

    async fn ask<T>(
        &self,
        operation: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> Operation,
    ) -> Result<T, LedgerError> {
        let (answer, wait) = oneshot::channel();
        self.queue
            .send(operation(answer))
            .await
            .map_err(|_| self.closed())?;
        wait.await.unwrap_or_else(|_| Err(self.closed()))
    }

    fn closed(&self) -> LedgerError {
        LedgerError::Closed {
            reason: self
                .end
                .get()
                .cloned()
                .unwrap_or_else(|| "its thread is gone".into()),
        }
    }
}

/// Believed records in the order in which they are best merged, and why the others are not believed.
fn verified(records: Vec<Signed>, mesh: &MeshId, verify: &dyn Verify) -> (Vec<Record>, Vec<String>) {
    let (mut believed, mut refused) = (Vec::with_capacity(records.len()), Vec::new());
    for signed in records {
        match Record::verify(signed, mesh, verify) {
            Ok(record) => believed.push(record),
            Err(error) => refused.push(chain(&error)),
        }
    }
    believed.sort_by_cached_key(|record| (Ledger::turn(record), record.author(), record.position()));
    (believed, refused)
}
