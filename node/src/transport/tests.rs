//! The transport over real sockets on the loopback interface. The gate and the service are doubles that remember.

mod joining;
mod meeting;
mod strangers;
mod streams;

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use pacmesh_protocol::{
    entry::{CarriedKnock, Credential, Hello, KnockReply, Welcome},
    ids::{Digest, Incarnation, JobId, MeshId, NodeId},
    wire::{Reply, Request},
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{Gate, Service, Transport, TransportConfig, tls::Identity};
use crate::blobs::{BlobStore, Reserve};

/// Longer than anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `ready`, at most [`LIMIT`].
pub(crate) async fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !ready() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a test decides about one node's gate and service.
pub(crate) struct Script {
    pub(crate) mesh: MeshId,
    pub(crate) incarnation: Incarnation,
    pub(crate) suspended: BTreeSet<NodeId>,
    /// Blobs that a peer is not served.
    pub(crate) kept_from: Vec<(NodeId, Digest)>,
    pub(crate) invites: bool,
    pub(crate) knocks: Vec<CarriedKnock>,
    pub(crate) verdict: KnockReply,
    pub(crate) requests: Vec<(NodeId, Request)>,
    pub(crate) greeted: Vec<NodeId>,
    /// Requests are answered only after this.
    pub(crate) answering: Arc<tokio::sync::Semaphore>,
    /// A log in pieces; an error cuts it off.
    pub(crate) log: Vec<Result<Bytes, io::ErrorKind>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            mesh: MeshId([7; 32]),
            incarnation: 1,
            suspended: BTreeSet::new(),
            kept_from: Vec::new(),
            invites: false,
            knocks: Vec::new(),
            verdict: KnockReply::Wait,
            requests: Vec::new(),
            greeted: Vec::new(),
            answering: Arc::new(tokio::sync::Semaphore::new(1000)),
            log: Vec::new(),
        }
    }
}

/// The gate and the service of one node.
#[derive(Clone, Default)]
pub(crate) struct Double(Arc<Mutex<Script>>);

impl Double {
    pub(crate) fn script<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Gate for Double {
    async fn hello(&self, _peer: Option<NodeId>) -> Hello {
        self.script(|script| Hello {
            mesh: script.mesh,
            credential: Credential { links: Vec::new() },
            incarnation: script.incarnation,
            known: 0,
        })
    }

    async fn admit(&self, peer: NodeId, hello: Hello) -> Result<(), String> {
        self.script(|script| {
            script.greeted.push(peer);
            if hello.mesh != script.mesh {
                Err("you belong to another mesh".into())
            } else if script.suspended.contains(&peer) {
                Err("you are suspended".into())
            } else {
                Ok(())
            }
        })
    }

    async fn welcome(&self) -> Option<Welcome> {
        self.script(|script| {
            script.invites.then(|| Welcome {
                mesh: script.mesh,
                credential: Credential { links: Vec::new() },
            })
        })
    }

    async fn knock(&self, _from: SocketAddr, knock: CarriedKnock) -> KnockReply {
        self.script(|script| {
            script.knocks.push(knock);
            script.verdict.clone()
        })
    }
}

#[async_trait]
impl Service for Double {
    async fn request(&self, peer: NodeId, request: Request) -> Reply {
        let answering = self.script(|script| {
            script.requests.push((peer, request.clone()));
            script.answering.clone()
        });
        answering.acquire().await.unwrap().forget();
        match request {
            Request::Have { blobs } => Reply::Blobs { blobs },
            _ => Reply::Done,
        }
    }

    async fn log(
        &self,
        _peer: NodeId,
        _job: JobId,
        offset: u64,
        _follow: bool,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, String> {
        if offset > 1000 {
            return Err("there is no such log".into());
        }
        let log = self.script(|script| script.log.clone());
        Ok(futures::stream::iter(log)
            .map(|piece| piece.map_err(io::Error::from))
            .boxed())
    }

    async fn log_beyond(
        &self,
        peer: NodeId,
        _worker: NodeId,
        (job, offset, follow): (JobId, u64, bool),
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, String> {
        self.log(peer, job, offset, follow).await
    }

    async fn may_have(&self, peer: NodeId, blob: Digest) -> bool {
        self.script(|script| !script.kept_from.contains(&(peer, blob)))
    }
}

/// One running node.
pub(crate) struct TestNode {
    pub(crate) id: NodeId,
    pub(crate) transport: Transport,
    pub(crate) blobs: BlobStore,
    pub(crate) double: Double,
    pub(crate) folder: TempDir,
}

impl TestNode {
    /// A node whose key is made from `seed`.
    pub(crate) fn start(seed: u8) -> Self {
        Self::start_at(
            seed,
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Double::default(),
        )
    }

    pub(crate) fn start_at(seed: u8, listen: SocketAddr, double: Double) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(folder.path(), Reserve::Bytes(0)).unwrap();
        let id = id_of(seed);
        let config = TransportConfig {
            seed: Zeroizing::new([seed; 32]),
            node: id,
            listen,
        };
        let transport = Transport::bind(
            &config,
            blobs.clone(),
            Arc::new(double.clone()),
            Arc::new(double.clone()),
        )
        .unwrap();
        Self {
            id,
            transport,
            blobs,
            double,
            folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.transport.local_addr().unwrap()
    }

    /// Tells this node where `other` is.
    pub(crate) fn knows(&self, other: &Self) {
        self.transport.set_addresses(other.id, vec![other.address()]);
    }

    pub(crate) async fn asks(&self, other: &Self) -> Result<Reply, super::RequestError> {
        let request = Request::Have {
            blobs: vec![Digest::of(b"x")],
        };
        self.transport.request(other.id, &request, LIMIT).await
    }
}

pub(crate) fn id_of(seed: u8) -> NodeId {
    Identity::new(&[seed; 32]).unwrap().node()
}

/// Error and sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
