//! libp2p as this crate uses it: QUIC only, gossip that is judged before it is passed on, and nobody but members.

use std::{io, time::Duration};

use libp2p::{
    PeerId, Swarm, SwarmBuilder, TransportError,
    allow_block_list::{self, AllowedPeers},
    connection_limits::{self, ConnectionLimits},
    core::upgrade::Version,
    gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode},
    identity::{Keypair, ed25519},
    mdns, request_response,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};
use pacmesh_protocol::ids::{Digest, MeshId};

use crate::{
    config::Config,
    error::DiscoveryError,
    translate::multiaddr_of,
    wire::{FrameCodec, PROTOCOL},
};

/// A question without an answer for so long has failed, and its connection with it.
const QUESTION_WAIT: Duration = Duration::from_secs(3);
/// Handshakes that may be open at once in each direction: what strangers can cost.
const PENDING: u32 = 64;
/// Connections in all: two for each other member of the largest mesh, as both may have dialled.
const ESTABLISHED: u32 = 512;
/// Connections with one member: both dialled, and both were restarted since.
const PER_PEER: u32 = 4;
/// A connection without a stream is kept so long; gossip alone keeps only the links of its own mesh.
const IDLE: Duration = Duration::from_secs(60);
/// The time between two multicast queries when nobody answers.
const MDNS_QUERY: Duration = Duration::from_secs(5);
/// How long others show this node after its last answer.
const MDNS_TTL: Duration = Duration::from_secs(120);

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    pub(crate) gossip: gossipsub::Behaviour,
    pub(crate) talk: request_response::Behaviour<FrameCodec>,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// The topic of a mesh.
pub(crate) fn topic(mesh: &MeshId) -> IdentTopic {
    IdentTopic::new(format!("pacmesh/{mesh}/nodes/1"))
}

/// Builds the swarm and binds its sockets. Must be called on the runtime that will drive it.
pub(crate) fn start(config: &Config) -> Result<Swarm<Behaviour>, DiscoveryError> {
    if config.listen.is_empty() || config.listen.iter().any(|address| address.port() == 0) {
        return Err(DiscoveryError::NoPort);
    }
    let behaviour = behaviour(config)?;
    let mut swarm = SwarmBuilder::with_existing_identity(keypair(config)?)
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| behaviour)
        .map_err(|_| DiscoveryError::Setup("no behaviour"))?
        .with_swarm_config(|settings| {
            // One protocol on every stream: its name goes ahead with the first bytes instead of costing a round trip.
            settings
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_idle_connection_timeout(IDLE)
        })
        .build();
    for address in &config.listen {
        let listened = swarm.listen_on(multiaddr_of(*address));
        listened.map_err(|error| DiscoveryError::Listen {
            address: *address,
            source: match error {
                TransportError::Other(error) => error,
                TransportError::MultiaddrNotSupported(_) => io::ErrorKind::Unsupported.into(),
            },
        })?;
    }
    Ok(swarm)
}

/// The key of libp2p, which must be the one that signs.
fn keypair(config: &Config) -> Result<Keypair, DiscoveryError> {
    let mut seed = config.seed.clone();
    let secret = ed25519::SecretKey::try_from_bytes(&mut *seed).map_err(|_| DiscoveryError::Identity)?;
    let pair = ed25519::Keypair::from(secret);
    if pair.public().to_bytes() != config.sign.public() {
        return Err(DiscoveryError::Identity);
    }
    Ok(pair.into())
}

fn behaviour(config: &Config) -> Result<Behaviour, DiscoveryError> {
    let key = keypair(config)?;
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING))
        .with_max_pending_outgoing(Some(PENDING))
        .with_max_established(Some(ESTABLISHED))
        .with_max_established_per_peer(Some(PER_PEER));
    let questions = request_response::Config::default().with_request_timeout(QUESTION_WAIT);
    let protocols = [(PROTOCOL, request_response::ProtocolSupport::Full)];
    Ok(Behaviour {
        allowed: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(limits),
        gossip: gossip(config, &key)?,
        talk: request_response::Behaviour::new(protocols, questions),
        mdns: mdns(config, key.public().to_peer_id())?.into(),
    })
}

/// Nothing is passed on before it was judged, and the same record is one message however often it is published.
fn gossip(config: &Config, key: &Keypair) -> Result<gossipsub::Behaviour, DiscoveryError> {
    let settings = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .heartbeat_initial_delay(Duration::from_millis(100))
        .message_id_fn(|message| MessageId::new(Digest::of(&message.data).as_bytes()))
        .build()
        .map_err(|_| DiscoveryError::Setup("gossip settings that contradict each other"))?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Signed(key.clone()), settings)
        .map_err(DiscoveryError::Setup)?;
    let subscribed = gossip.subscribe(&topic(&config.mesh));
    subscribed.map_err(|_| DiscoveryError::Setup("no topic"))?;
    Ok(gossip)
}

fn mdns(config: &Config, own: PeerId) -> Result<Option<mdns::tokio::Behaviour>, DiscoveryError> {
    if !config.mdns {
        return Ok(None);
    }
    let settings = mdns::Config {
        ttl: MDNS_TTL,
        query_interval: MDNS_QUERY,
        enable_ipv6: false,
    };
    let behaviour = mdns::tokio::Behaviour::new(settings, own);
    behaviour.map(Some).map_err(DiscoveryError::Mdns)
}
