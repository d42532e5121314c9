//! The endpoint: owns the UDP socket, lets handshakes in, and turns those that pass into connections.

use std::{
    net::{Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pacmesh_protocol::{
    entry::{ALPN, JOIN_ALPN},
    ids::NodeId,
};
use quinn::{Connection, Incoming, VarInt};
use tokio::{
    sync::{Semaphore, broadcast},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{
    Gate, PeerEvent, Service, TransportConfig,
    connection::Link,
    door::{Door, Entry, Guest},
    error::{CloseCode, DialError, TransportError, close},
    greeting, join,
    peers::{Entered, Peers},
    serve, socket,
    tls::{Identity, SERVER_NAME, peer_of, protocol_of},
};
use crate::blobs::BlobStore;

/// A connection on which nothing arrives for so long has ended (FORMATS, "Numbers").
const IDLE: Duration = Duration::from_secs(10);
/// How often a quiet connection proves itself alive.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Unread bytes that one connection may hold before it is admitted: more than a greeting.
const STRANGER_WINDOW: u32 = 64 << 10;
/// First packets that wait to be judged, and the bytes that they may hold, one by one and together.
const INCOMING: (usize, u64, u64) = (256, 64 << 10, 4 << 20);
/// Most blob streams that are served at once (FORMATS, "Numbers").
const BLOBS: usize = 64;
/// Events that a slow listener may lag behind; it then has to ask who is connected.
const EVENTS: usize = 256;

/// One UDP socket and one identity: enough to dial.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) identity: Identity,
    pub(crate) quinn: quinn::Endpoint,
    transport: Arc<quinn::TransportConfig>,
}

impl Endpoint {
    /// An endpoint that listens.
    pub(crate) fn listening(identity: Identity, address: SocketAddr) -> Result<Self, TransportError> {
        let transport = Arc::new(transport());
        let crypto = identity.server().map_err(TransportError::Tls)?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let (count, each, total) = INCOMING;
        server
            .transport_config(transport.clone())
            .max_incoming(count)
            .incoming_buffer_size(each)
            .incoming_buffer_size_total(total);
        Self::open(identity, transport, Some(server), address)
    }

    /// An endpoint that only dials.
    pub(crate) fn dialling(identity: Identity) -> Result<Self, TransportError> {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        Self::open(identity, Arc::new(transport()), None, address)
    }

    fn open(
        identity: Identity,
        transport: Arc<quinn::TransportConfig>,
        server: Option<quinn::ServerConfig>,
        address: SocketAddr,
    ) -> Result<Self, TransportError> {
        let failed = |source| TransportError::Bind { address, source };
        let socket = socket::open(address).map_err(failed)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let quinn = quinn::Endpoint::new(quinn::EndpointConfig::default(), server, socket, runtime)
            .map_err(failed)?;
        Ok(Self {
            identity,
            quinn,
            transport,
        })
    }

    /// Finishes a handshake with whoever is at `address`; the greeting comes after.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        expect: Option<NodeId>,
        protocol: &[u8],
    ) -> Result<(Connection, NodeId), DialError> {
        let limit = greeting::STRANGER;
        let (crypto, judge) = self.identity.client(expect, protocol).map_err(DialError::Tls)?;
        let mut client = quinn::ClientConfig::new(Arc::new(crypto));
        client.transport_config(self.transport.clone());
        let unreachable = |source: std::io::Error| DialError::Unreachable { address, source };
        let connecting = self
            .quinn
            .connect_with(client, address, SERVER_NAME)
            .map_err(|error| unreachable(std::io::Error::other(error)))?;
        let connection = match tokio::time::timeout(limit, connecting).await {
            Err(_) => return Err(DialError::Silent { address, limit }),
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                return Err(match (expect, judge.seen()) {
                    (Some(expected), Some(found)) if expected != found => DialError::WrongKey {
                        address,
                        expected,
                        found,
                    },
                    _ => unreachable(error.into()),
                });
            }
        };
        match peer_of(&connection) {
            Some(peer) if peer == self.identity.node() => {
                close(&connection, CloseCode::Finished, "this is myself");
                Err(DialError::Oneself(address))
            }
            Some(peer) => Ok((connection, peer)),
            None => Err(unreachable(std::io::Error::other("it has no raw public key"))),
        }
    }
}

/// How a connection behaves until it is admitted.
fn transport() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_idle_timeout(Some(VarInt::from_u32(IDLE.as_millis() as u32).into()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .datagram_receive_buffer_size(None);
    transport
}

/// What all tasks of a transport share.
pub(crate) struct Inner {
    pub(crate) endpoint: Endpoint,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) service: Arc<dyn Service>,
    pub(crate) blobs: BlobStore,
    pub(crate) blob_streams: Arc<Semaphore>,
    pub(crate) events: broadcast::Sender<PeerEvent>,
    pub(crate) door: Door,
    pub(crate) tasks: TaskTracker,
    /// No new work.
    pub(crate) stop: CancellationToken,
    /// No work at all.
    pub(crate) abort: CancellationToken,
    peers: Mutex<Peers>,
}

impl Inner {
    pub(crate) fn start(
        config: &TransportConfig,
        blobs: BlobStore,
        gate: Arc<dyn Gate>,
        service: Arc<dyn Service>,
    ) -> Result<Arc<Self>, TransportError> {
        let identity = Identity::new(&config.seed)?;
        if identity.node() != config.node {
            return Err(TransportError::Key(format!(
                "it is the key of node {}, not of node {}",
                identity.node().short(),
                config.node.short()
            )));
        }
        let abort = CancellationToken::new();
        let inner = Arc::new(Self {
            endpoint: Endpoint::listening(identity, config.listen)?,
            gate,
            service,
            blobs,
            blob_streams: Arc::new(Semaphore::new(BLOBS)),
            events: broadcast::Sender::new(EVENTS),
            door: Door::default(),
            tasks: TaskTracker::new(),
            stop: abort.child_token(),
            abort,
            peers: Mutex::new(Peers::new(config.node)),
        });
        inner.tasks.spawn(inner.clone().accept());
        Ok(inner)
    }

    pub(crate) fn peers(&self) -> MutexGuard<'_, Peers> {
        // Each change of the table is whole before anything in it could panic.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns work that ends with the transport.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn accept(self: Arc<Self>) {
        loop {
            let incoming = tokio::select! {
                () = self.stop.cancelled() => break,
                incoming = self.endpoint.quinn.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            let address = incoming.remote_address();
            let proved = incoming.remote_address_validated();
            match self.door.enter(address.ip(), proved, std::time::Instant::now()) {
                Entry::In(guest) => {
                    let inner = self.clone();
                    self.spawn(async move { inner.meet(incoming, guest).await });
                }
                // Only a client that has proved its address cannot be asked again, and `enter` does not ask it.
                Entry::Prove => drop(incoming.retry()),
                Entry::Ignore => incoming.ignore(),
            }
        }
    }

    /// Turns a handshake into a connection, a knock, or nothing.
    async fn meet(self: Arc<Self>, incoming: Incoming, guest: Guest) {
        let deadline = Instant::now() + greeting::STRANGER;
        let address = incoming.remote_address();
        let Ok(connecting) = incoming.accept() else { return };
        let Ok(Ok(connection)) = timeout_at(deadline, connecting).await else {
            debug!(%address, "a handshake that came to nothing");
            return;
        };
        let (Some(peer), Some(protocol)) = (peer_of(&connection), protocol_of(&connection)) else {
            return;
        };
        match protocol.as_slice() {
            ALPN => self.greet(connection, peer, deadline).await,
            JOIN_ALPN => {
                drop(guest);
                join::let_knock(&self, &connection, peer).await;
            }
            _ => {}
        }
    }

    async fn greet(self: Arc<Self>, connection: Connection, peer: NodeId, deadline: Instant) {
        match greeting::listener(&connection, peer, &*self.gate, deadline).await {
            Ok(incarnation) => {
                self.enter(Link::new(connection, peer, false, incarnation));
            }
            Err(reason) => {
                let address = connection.remote_address();
                debug!(peer = %peer.short(), %address, %reason, "a connection was not accepted");
                close(&connection, CloseCode::Refused, &reason);
            }
        }
    }

    /// Takes in an admitted connection and serves it; whether the peer is connected now, by this one or another.
    pub(crate) fn enter(self: &Arc<Self>, link: Link) -> bool {
        let link = Arc::new(link);
        let entered = {
            let mut peers = self.peers();
            let entered = peers.enter(&link);
            // Sent under the lock, so that events have the order of what they tell. Nobody may be listening.
            if let Entered::Reborn(_) = entered {
                let _none = self.events.send(PeerEvent::Disconnected(link.peer));
            }
            if let Entered::First | Entered::Reborn(_) = entered {
                let _none = self.events.send(PeerEvent::Connected(link.peer));
            }
            entered
        };
        debug!(peer = %link.peer.short(), dialled = link.dialled, "a connection was admitted");
        let spare = match entered {
            Entered::First => None,
            Entered::Instead(old) => Some(old),
            Entered::Reborn(old) => {
                old.close(CloseCode::Duplicate, "a newer life of this node is connected");
                None
            }
            Entered::Spare => Some(link.clone()),
            Entered::Barred => {
                link.close(CloseCode::Refused, "this node does not accept you");
                return false;
            }
        };
        self.spawn(serve::serve(self.clone(), link));
        if let Some(spare) = spare {
            self.spawn(async move { spare.drain().await });
        }
        true
    }

    /// Notes the end of a connection.
    pub(crate) fn leave(&self, link: &Link) {
        let mut peers = self.peers();
        if peers.leave(link) {
            let _none = self.events.send(PeerEvent::Disconnected(link.peer));
        }
    }
}
