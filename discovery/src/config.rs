//! What discovery must be told before it starts.

use std::{fmt, net::SocketAddr, sync::Arc};

use pacmesh_protocol::{
    ids::MeshId,
    signed::{Sign, Verify},
};
use zeroize::Zeroizing;

/// Where to listen and in whose name. The own node record, handed over beside it, carries id and incarnation.
#[derive(Clone)]
pub struct Config {
    /// The seed of the node's ed25519 key: libp2p derives the PeerId and the TLS identity from it.
    pub seed: Zeroizing<[u8; 32]>,
    /// Which mesh: names the gossip topic and is covered by every signature.
    pub mesh: MeshId,
    /// UDP addresses with the discovery port p, which the caller chose so that p + 1 is free for the transport. Port 0
    /// is refused. IPv4 and IPv6 wildcards are two entries: sockets for IPv6 take no IPv4.
    pub listen: Vec<SocketAddr>,
    /// Look for neighbours by multicast DNS.
    pub mdns: bool,
    /// Signs node records; its node is the one of the record.
    pub sign: Arc<dyn Sign>,
    /// Judges the records of others.
    pub verify: Arc<dyn Verify>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("mesh", &self.mesh)
            .field("listen", &self.listen)
            .field("mdns", &self.mdns)
            .finish_non_exhaustive()
    }
}
