//! What can go wrong between two nodes, in words for the person who reads it, and the codes that connections end with.

use std::{io, net::SocketAddr, time::Duration};

use pacmesh_protocol::ids::NodeId;

use crate::frame::FrameError;

/// Why the transport could not start. Nothing is left open.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The UDP socket could not be opened.
    #[error("cannot listen on UDP {address}; is another node running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node key is not an ed25519 key, or not the one of this node.
    #[error("the node key cannot be used for TLS: {0}")]
    Key(String),
    /// TLS could not be set up from the key.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Why no connection was made. Nothing is left open.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody told where the node is.
    #[error("no address of node {} is known", .0.short())]
    NoAddress(NodeId),
    /// The last attempt has just failed; the next one is made a moment later.
    #[error("node {} was out of reach a moment ago", .0.short())]
    Resting(NodeId),
    /// Suspended or revoked.
    #[error("node {} is suspended or revoked", .0.short())]
    Barred(NodeId),
    /// No answer, or one that is not pacmesh.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No end of the handshake within its time.
    #[error("{address} did not answer within {} s", .limit.as_secs())]
    Silent {
        /// Where.
        address: SocketAddr,
        /// How long it was given.
        limit: Duration,
    },
    /// Somebody else answers at this address.
    #[error("{address} is node {}, not node {}", .found.short(), .expected.short())]
    WrongKey {
        /// Where.
        address: SocketAddr,
        /// Who was wanted.
        expected: NodeId,
        /// Who is there.
        found: NodeId,
    },
    /// This node itself.
    #[error("{0} is this node itself")]
    Oneself(SocketAddr),
    /// The other side does not want this node.
    #[error("node {} refused the connection: {reason}", .node.short())]
    Refused {
        /// Who.
        node: NodeId,
        /// In its words.
        reason: String,
    },
    /// This node does not accept the other one.
    #[error("node {} was not accepted: {reason}", .node.short())]
    NotAdmitted {
        /// Who.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// The first words of the other side were not those of a member.
    #[error("node {} does not greet as a member does", .node.short())]
    Greeting {
        /// Who.
        node: NodeId,
        /// What it did.
        #[source]
        source: FrameError,
    },
    /// The transport was closed.
    #[error("this node is stopping")]
    Stopping,
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Why a request has no reply. Whether the other side acted on it is unknown, unless it could not be dialled.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There was no connection, and none could be made.
    #[error("node {} is out of reach", .node.short())]
    Dial {
        /// Who.
        node: NodeId,
        /// Why.
        #[source]
        source: DialError,
    },
    /// No reply in time.
    #[error("node {} did not reply within {} s", .node.short(), .limit.as_secs_f32())]
    Timeout {
        /// Who.
        node: NodeId,
        /// How long it was given.
        limit: Duration,
    },
    /// The connection ended.
    #[error("the connection to node {} ended: {reason}", .node.short())]
    Lost {
        /// Who.
        node: NodeId,
        /// The last words of either side.
        reason: String,
    },
    /// The exchange broke the rules of the protocol.
    #[error("the exchange with node {} failed", .node.short())]
    Frame {
        /// Who.
        node: NodeId,
        /// How.
        #[source]
        source: FrameError,
    },
    /// The other side says no, in its words.
    #[error("node {} refused: {reason}", .node.short())]
    Refused {
        /// Who.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// The reply is of another kind than the request asks for.
    #[error("node {} replied with something else than was asked", .0.short())]
    Unexpected(NodeId),
}

/// Why a knock has no answer. Nothing was changed, unless [`KnockError::Answer`]: knock again then, a repeated knock
/// is harmless.
#[derive(Debug, thiserror::Error)]
pub enum KnockError {
    /// The member cannot be reached.
    #[error("cannot knock")]
    Dial(#[from] DialError),
    /// The member's door is closed.
    #[error("{address} lets nobody in: {reason}")]
    Closed {
        /// Where.
        address: SocketAddr,
        /// In its words.
        reason: String,
    },
    /// The joiner itself found something wrong with the member.
    #[error("{address} was not believed: {reason}")]
    Distrusted {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// What the member sent, or what was to be sent, is not of the protocol.
    #[error("{address} does not speak as a member does")]
    Frame {
        /// Where.
        address: SocketAddr,
        /// What it did.
        #[source]
        source: FrameError,
    },
    /// The knock was sent and no answer came.
    #[error("{address} gave no answer in time; join again, the same token is good for it")]
    Answer {
        /// Where.
        address: SocketAddr,
    },
    /// The TLS session yields no exporter value.
    #[error("the session with {0} cannot be bound to a knock")]
    Exporter(SocketAddr),
}

/// Codes that connections are closed with (QUIC application errors, RFC 9000, 20.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// The node stops.
    Stopping = 0,
    /// Refused by a verdict or for want of a credential; the reason says which.
    Refused = 1,
    /// Another connection of the same pair is kept.
    Duplicate = 2,
    /// Broke the protocol or its times.
    Misbehaved = 3,
    /// Nobody is let in.
    Closed = 4,
    /// Too many at once; try again.
    Busy = 5,
    /// Done.
    Finished = 6,
}

impl CloseCode {
    pub(crate) fn code(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self as u32)
    }
}

/// Closes `connection` with a reason for people.
pub(crate) fn close(connection: &quinn::Connection, code: CloseCode, reason: &str) {
    connection.close(code.code(), shorten(reason, 200).as_bytes());
}

/// The first `limit` bytes of `text`, cut between characters.
pub(crate) fn shorten(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Why a connection ended, for people: the other side's words where it left some.
pub(crate) fn last_words(error: &quinn::ConnectionError) -> String {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) if !close.reason.is_empty() => {
            shorten(&String::from_utf8_lossy(&close.reason), 500).to_owned()
        }
        other => other.to_string(),
    }
}
