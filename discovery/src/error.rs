//! Why discovery does not start. Once it runs it has no errors, only members that are out of reach.

use std::{io, net::SocketAddr};

/// Nothing listens and nothing runs after any of these.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No address, or one with port 0.
    #[error(
        "discovery needs at least one listening address with a port; choose p so that p and p + 1 are free"
    )]
    NoPort,
    /// An address cannot be bound.
    #[error(
        "discovery cannot listen on udp {address}: choose another port (--listen IP:PORT) or stop what holds it"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The seed, the signer and the own record do not name one node.
    #[error("the key, the signer and the record of this node do not belong together")]
    Identity,
    /// The multicast DNS socket cannot be had.
    #[error("multicast DNS cannot start: use --no-mdns and --bootstrap")]
    Mdns(#[source] io::Error),
    /// The swarm refused its settings.
    #[error("discovery cannot be set up: {0}")]
    Setup(&'static str),
    /// The thread or its runtime cannot be made, or ended before it was ready.
    #[error("the thread of discovery cannot start")]
    Thread(#[source] io::Error),
}
