//! The way in: a handle that many may hold. Calls wait for room in a bounded queue, and do nothing after the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use pacmesh_protocol::{
    ids::NodeId,
    membership::{MemberHint, NodeRecord, Table},
};
use tokio::sync::{mpsc, oneshot, watch};

/// A change of the own record.
pub(crate) type Change = Box<dyn FnOnce(&mut NodeRecord) + Send>;

/// What a handle asks of the actor.
pub(crate) enum Request {
    /// The ledger's view of who may talk.
    Members(BTreeMap<NodeId, MemberHint>, BTreeSet<NodeId>),
    /// The own record changes.
    Update(Change),
    /// Credentials passed: libp2p may talk to this member at this discovery address.
    Dial(NodeId, SocketAddr),
    /// The candidate is no member of ours.
    Refused(NodeId),
    /// This member is connected elsewhere, so it is there.
    Met(NodeId),
    /// Ask others after this member at once.
    Confirm(NodeId),
    /// Say goodbye, then end.
    Goodbye(oneshot::Sender<()>),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Members(..) => "Members",
            Self::Update(_) => "Update",
            Self::Dial(..) => "Dial",
            Self::Refused(_) => "Refused",
            Self::Met(_) => "Met",
            Self::Confirm(_) => "Confirm",
            Self::Goodbye(_) => "Goodbye",
        })
    }
}

/// Longest time that a goodbye may take, its thread's end included.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// Discovery, from outside. When the last handle is dropped discovery ends without a goodbye, as if it had crashed.
#[derive(Debug, Clone)]
pub struct DiscoveryHandle {
    inner: Arc<Owner>,
    table: watch::Receiver<Arc<Table>>,
}

impl DiscoveryHandle {
    pub(crate) fn new(
        requests: mpsc::Sender<Request>,
        table: watch::Receiver<Arc<Table>>,
        thread: JoinHandle<()>,
    ) -> Self {
        let inner = Arc::new(Owner {
            requests: Some(requests),
            thread: Some(thread),
        });
        Self { inner, table }
    }

    /// Tells who the ledger says may talk, and who is barred (suspended or revoked: connections are cut at once).
    /// This node itself may be among `members`; it is left out.
    pub async fn set_members(&self, members: BTreeMap<NodeId, MemberHint>, barred: BTreeSet<NodeId>) {
        self.send(Request::Members(members, barred)).await;
    }

    /// Changes the own record (name, reign, running, load …). It is announced within 200 ms together with other
    /// changes. Id, incarnation, sequence and goodbye are kept whatever `change` does.
    pub async fn update(&self, change: impl FnOnce(&mut NodeRecord) + Send + 'static) {
        self.send(Request::Update(Box::new(change))).await;
    }

    /// Lets libp2p dial a member whose credential passed, at its discovery address (transport port − 1).
    /// A node that is not among the members of the last [`Self::set_members`] is not dialled.
    pub async fn dial(&self, node: NodeId, address: SocketAddr) {
        self.send(Request::Dial(node, address)).await;
    }

    /// Remembers for ten minutes that this candidate is none of ours.
    pub async fn refused(&self, node: NodeId) {
        self.send(Request::Refused(node)).await;
    }

    /// A member was met over another connection: it is pinged at once if it counts as silent. Without this a cut that has
    /// healed is noticed only when the turn comes to each lost member.
    pub async fn met(&self, node: NodeId) {
        self.send(Request::Met(node)).await;
    }

    /// Has others asked after a member that did not answer elsewhere; the table tells the outcome.
    pub async fn confirm_lost(&self, node: NodeId) {
        self.send(Request::Confirm(node)).await;
    }

    /// Who is there. Changes of state arrive at once, round-trip times about once a second.
    pub fn table(&self) -> watch::Receiver<Arc<Table>> {
        self.table.clone()
    }

    /// Says goodbye to all, then ends discovery; other handles of it do nothing from then on. Returns after at most
    /// two seconds.
    pub async fn goodbye(self) {
        let (done, ended) = oneshot::channel();
        self.send(Request::Goodbye(done)).await;
        if tokio::time::timeout(GOODBYE_WAIT, ended).await.is_err() {
            tracing::debug!("the goodbye was not heard in time");
        }
    }

    async fn send(&self, request: Request) {
        if let Some(requests) = &self.inner.requests
            && let Err(lost) = requests.send(request).await
        {
            tracing::debug!(request = ?lost.0, "discovery has ended");
        }
    }
}

/// The end of the thread: closing the queue ends its loop, then it is joined.
#[derive(Debug)]
struct Owner {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of discovery panicked");
        }
    }
}
