//! The handle through which the rest of the node dials, asks and listens.

use std::{collections::BTreeSet, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use pacmesh_protocol::{
    entry::{Knock, KnockReply, Welcome},
    ids::{Digest, JobId, NodeId},
    wire::{FRAME_LIMIT, Reply, Request},
};
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::DropGuard;

use super::{
    BlobStream, Gate, KnockError, PeerEvent, RequestError, Service, TransportConfig, TransportError, blob,
    connection::{Answer, Link},
    endpoint::Inner,
    error::{CloseCode, DialError},
    join, log,
};
use crate::{blobs::BlobStore, frame::encode_frame};

/// How long answers that are under way may take when the transport closes.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the last packets may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The transport of one node. Clones share it; when the last one is dropped, everything ends at once.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
    _end: Arc<DropGuard>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("node", &self.inner.endpoint.identity.node())
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Opens the socket and lets members in. Must be called within a tokio runtime.
    pub fn bind(
        config: &TransportConfig,
        blobs: BlobStore,
        gate: Arc<dyn Gate>,
        service: Arc<dyn Service>,
    ) -> Result<Self, TransportError> {
        let inner = Inner::start(config, blobs, gate, service)?;
        let end = Arc::new(inner.abort.clone().drop_guard());
        Ok(Self { inner, _end: end })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.endpoint.quinn.local_addr()
    }

    /// Connects to whoever is at `address`, or only to `expect`. A node that is connected already stays so.
    pub async fn dial(&self, expect: Option<NodeId>, address: SocketAddr) -> Result<NodeId, DialError> {
        self.inner.dial(expect, address).await
    }

    /// Tells where `node` may be found; at most eight addresses are kept, none forgets it.
    pub fn set_addresses(&self, node: NodeId, addresses: Vec<SocketAddr>) {
        self.inner.peers().set_addresses(node, addresses);
    }

    /// Asks `node`, dialling it first if need be, and waits for its reply: all within `limit`.
    ///
    /// Whoever asks anew after an error must be content with the request being done twice.
    pub async fn request(
        &self,
        node: NodeId,
        request: &Request,
        limit: Duration,
    ) -> Result<Reply, RequestError> {
        let exchange = async {
            let (link, mut answer) = self.send(node, request).await?;
            link.reply(&mut answer).await
        };
        timeout(limit, exchange)
            .await
            .unwrap_or(Err(RequestError::Timeout { node, limit }))
    }

    /// Follows the log of an attempt on `node` from byte `offset` on. The stream ends when the log does, with `follow`
    /// when the attempt does; an error in it means that it was cut off.
    pub async fn open_log(
        &self,
        node: NodeId,
        job: JobId,
        offset: u64,
        follow: bool,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, RequestError> {
        self.open_log_by(node, Request::Log { job, offset, follow }).await
    }

    /// Follows the log of an attempt on `worker` through `node`, which reaches it.
    pub async fn open_log_beyond(
        &self,
        node: NodeId,
        worker: NodeId,
        job: JobId,
        offset: u64,
        follow: bool,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, RequestError> {
        let request = Request::LogBeyond {
            worker,
            job,
            offset,
            follow,
        };
        self.open_log_by(node, request).await
    }

    async fn open_log_by(
        &self,
        node: NodeId,
        request: Request,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, RequestError> {
        let limit = log::OPENING;
        let opening = async {
            let (link, answer) = self.send(node, &request).await?;
            log::open(link, answer).await
        };
        timeout(limit, opening)
            .await
            .unwrap_or(Err(RequestError::Timeout { node, limit }))
    }

    /// Opens a blob on `node` from byte `offset` on, a multiple of 16 KiB. The caller keeps the limits on streams.
    pub(crate) async fn open_blob(
        &self,
        node: NodeId,
        digest: Digest,
        offset: u64,
    ) -> Result<BlobStream, RequestError> {
        let limit = blob::OPENING;
        let opening = async {
            let (link, answer) = self.send(node, &Request::Blob { blob: digest, offset }).await?;
            blob::open(link, answer).await
        };
        timeout(limit, opening)
            .await
            .unwrap_or(Err(RequestError::Timeout { node, limit }))
    }

    /// Who is connected.
    pub fn connected(&self) -> Vec<NodeId> {
        self.inner.peers().connected()
    }

    /// Who connects and disconnects from now on. A listener that lags asks [`Transport::connected`].
    pub fn events(&self) -> broadcast::Receiver<PeerEvent> {
        self.inner.events.subscribe()
    }

    /// Closes the connection to `node`; it may come back.
    pub fn disconnect(&self, node: NodeId, reason: &str) {
        let link = self.inner.peers().link(node);
        if let Some(link) = link {
            link.close(CloseCode::Finished, reason);
        }
    }

    /// Closes the connections of these nodes and makes no others with them, until the set is replaced.
    pub fn bar(&self, nodes: BTreeSet<NodeId>) {
        let links = self.inner.peers().bar(nodes);
        for link in links {
            link.close(CloseCode::Refused, "this node is suspended or revoked");
        }
    }

    /// Knocks at the member at `address`. `build` gets what the member shows, its node id and the session's exporter
    /// value; it verifies the first before it makes a knock, or says why not.
    pub async fn knock<F>(&self, address: SocketAddr, build: F) -> Result<KnockReply, KnockError>
    where
        F: FnOnce(&Welcome, NodeId, [u8; 32]) -> Result<Knock, String> + Send,
    {
        join::knock(&self.inner.endpoint, address, build).await
    }

    /// Ends: no new work, a moment for what is under way, then all connections are closed and all tasks have ended.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.peers().stop();
        inner.stop.cancel();
        inner.tasks.close();
        let _late = timeout(DRAIN, inner.tasks.wait()).await;
        inner.abort.cancel();
        inner
            .endpoint
            .quinn
            .close(CloseCode::Stopping.code(), b"this node stops");
        inner.tasks.wait().await;
        let _silent = timeout(FAREWELL, inner.endpoint.quinn.wait_idle()).await;
    }

    /// Sends one request over the open connection or a new one.
    async fn send(&self, node: NodeId, request: &Request) -> Result<(Arc<Link>, Answer), RequestError> {
        let frame =
            encode_frame(request, FRAME_LIMIT).map_err(|source| RequestError::Frame { node, source })?;
        // Twice, because the connection at hand may have ended unnoticed.
        for _ in 0..2 {
            let link = self
                .inner
                .link(node)
                .await
                .map_err(|source| RequestError::Dial { node, source })?;
            if let Some(answer) = link.send(&frame).await? {
                return Ok((link, answer));
            }
        }
        Err(RequestError::Dial {
            node,
            source: DialError::Resting(node),
        })
    }

    #[cfg(test)]
    pub(crate) fn open_connections(&self) -> usize {
        self.inner.endpoint.quinn.open_connections()
    }
}
