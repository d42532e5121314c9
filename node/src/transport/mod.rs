//! Between two nodes: one QUIC connection per pair, on which both sides have proved their key and shown a credential
//! before anything else is read.
//!
//! * [`Transport`] is the handle; it dials, asks, and tells who is connected. It is the only way in and out.
//! * [`Gate`] decides who may connect, [`Service`] answers; both are implemented by those who know the ledger.
//! * Blobs are served from the [`BlobStore`](crate::blobs::BlobStore) without asking anybody: a member may read them.
//!
//! This is the only module that knows quinn and rustls. What a stranger may cost is bounded by `door` and by the
//! windows of a connection that is not yet admitted.

mod blob;
mod connection;
mod dial;
mod door;
mod endpoint;
mod error;
mod greeting;
mod handle;
mod join;
mod log;
mod peers;
mod serve;
mod socket;
mod tls;

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use pacmesh_protocol::{
    entry::{CarriedKnock, Hello, KnockReply, Welcome},
    ids::{Digest, JobId, NodeId},
    wire::{Reply, Request},
};
use zeroize::Zeroizing;

pub use self::{
    blob::BlobStream,
    error::{DialError, KnockError, RequestError, TransportError},
    handle::Transport,
    join::Joiner,
};

/// What a transport needs to know.
#[derive(Debug)]
pub struct TransportConfig {
    /// The ed25519 seed of the node key.
    pub seed: Zeroizing<[u8; 32]>,
    /// The node that the seed must belong to.
    pub node: NodeId,
    /// Where to listen (UDP); port 0 takes a free one, `[::]` both families.
    pub listen: SocketAddr,
}

/// Decides who may connect.
#[async_trait]
pub trait Gate: Send + Sync {
    /// What this node shows to `peer`, whose key TLS has proved.
    async fn hello(&self, peer: Option<NodeId>) -> Hello;

    /// Verifies what `peer` showed, offline, and merges the records of its credential. An error is the reason why it
    /// is refused, in words for the people there.
    async fn admit(&self, peer: NodeId, hello: Hello) -> Result<(), String>;

    /// What a joiner is shown first; `None` while no invitation is open.
    async fn welcome(&self) -> Option<Welcome>;

    /// Carries a knock to the master. The transport vouches for the binding: joiner, member and exporter are those of
    /// the session.
    async fn knock(&self, from: SocketAddr, knock: CarriedKnock) -> KnockReply;
}

/// Answers the requests of members.
#[async_trait]
pub trait Service: Send + Sync {
    /// Answers everything but [`Request::Blob`] and [`Request::Log`].
    async fn request(&self, peer: NodeId, request: Request) -> Reply;

    /// Opens the log of an attempt from `offset` on; with `follow` the stream ends when the attempt does. An error is
    /// the reason why there is none, in words for people.
    async fn log(
        &self,
        peer: NodeId,
        job: JobId,
        offset: u64,
        follow: bool,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, String>;

    /// The same for an attempt on `worker`, which `peer` cannot reach.
    async fn log_beyond(
        &self,
        peer: NodeId,
        worker: NodeId,
        of: (JobId, u64, bool),
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, String>;

    /// Whether `peer` is served this blob.
    async fn may_have(&self, peer: NodeId, blob: Digest) -> bool;
}

/// What happened to the connection with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerEvent {
    /// Both sides have admitted each other. Also sent, after [`PeerEvent::Disconnected`], when a new life of the peer
    /// takes the place of the old one.
    Connected(NodeId),
    /// There is no connection any more.
    Disconnected(NodeId),
}

#[cfg(test)]
pub(crate) mod tests;
