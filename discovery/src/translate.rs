//! libp2p's words and ours: a PeerId of an ed25519 key contains the key, so it and a NodeId name the same.

use std::net::{IpAddr, SocketAddr};

use libp2p::{
    Multiaddr, PeerId,
    identity::{PublicKey, ed25519},
    multiaddr::Protocol,
};
use pacmesh_protocol::ids::NodeId;

/// The PeerId of a node; `None`: its id is no point of the curve, so nobody can hold such a key.
pub(crate) fn peer_of(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The node of a PeerId; `None`: not an ed25519 key.
pub(crate) fn node_of(peer: &PeerId) -> Option<NodeId> {
    // libp2p's peer-ids specification: keys of up to 42 bytes stand there whole, under the multihash code "identity", 0.
    let name = peer.as_ref();
    if name.code() != 0 {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(name.digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// `/ip4/…/udp/…/quic-v1`
pub(crate) fn multiaddr_of(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

/// The UDP address of a QUIC multiaddress. Link-local IPv6 is left out: it says nothing without its interface.
pub(crate) fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) if !ip.is_unicast_link_local() => IpAddr::V6(ip),
        _ => return None,
    };
    match (parts.next()?, parts.next()?) {
        (Protocol::Udp(port), Protocol::QuicV1) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The discovery address of a node whose transport listens at `transport`: the port before it.
pub(crate) fn discovery_of(transport: SocketAddr) -> Option<SocketAddr> {
    let port = transport.port().checked_sub(1).filter(|port| *port > 0)?;
    (!transport.ip().is_unspecified()).then(|| SocketAddr::new(transport.ip(), port))
}

/// The transport address of a node whose discovery listens at `discovery`: the port after it.
pub(crate) fn transport_of(discovery: SocketAddr) -> Option<SocketAddr> {
    let port = discovery.port().checked_add(1)?;
    Some(SocketAddr::new(discovery.ip(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_peer_id_name_the_same_key() {
        let key = libp2p::identity::Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let node = node_of(&peer).unwrap();
        assert_eq!(peer_of(&node), Some(peer));
    }

    #[test]
    fn a_hashed_peer_id_names_no_node() {
        assert_eq!(node_of(&PeerId::random()), None);
    }

    #[test]
    fn addresses_survive_the_way_to_libp2p_and_back() {
        for text in ["10.0.0.1:7420", "[2001:db8::1]:7420"] {
            let address = text.parse().unwrap();
            assert_eq!(socket_of(&multiaddr_of(address)), Some(address));
        }
        assert_eq!(socket_of(&"/ip4/10.0.0.1/tcp/7420".parse().unwrap()), None);
        assert_eq!(socket_of(&"/ip6/fe80::1/udp/1/quic-v1".parse().unwrap()), None);
    }

    #[test]
    fn discovery_is_one_port_below_the_transport() {
        let transport = "10.0.0.1:7421".parse().unwrap();
        let discovery = discovery_of(transport).unwrap();
        assert_eq!(discovery.port(), 7420);
        assert_eq!(transport_of(discovery), Some(transport));
        assert_eq!(discovery_of("0.0.0.0:7421".parse().unwrap()), None);
        assert_eq!(transport_of("10.0.0.1:65535".parse().unwrap()), None);
    }
}
