//! Knocking: a stranger with an invitation asks a member for admission, on a protocol of its own.
//!
//! The member shows itself first; the joiner verifies that before it sends anything. The member vouches that the knock
//! belongs to this session, by putting its own view of it (both keys, the TLS exporter) into the binding that it
//! carries to the master: a knock that was made in another session then fits no signature.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pacmesh_protocol::{
    entry::{
        CERTIFICATE_LIMIT, CREDENTIAL_LIMIT, CarriedKnock, EXPORTER_LABEL, JOIN_ALPN, KNOCK_LIMIT, Knock,
        KnockBinding, KnockReply, Welcome,
    },
    ids::{InvitationId, NodeId},
    ledger::kinds::InvitationStatementV1,
    wire::FRAME_LIMIT,
};
use quinn::Connection;
use tokio::{io::AsyncWriteExt, time::timeout};
use tracing::{debug, info};
use zeroize::Zeroizing;

use super::{
    KnockError, TransportError,
    door::Turn,
    endpoint::{Endpoint, Inner},
    error::{CloseCode, close, last_words},
    tls::Identity,
};
use crate::frame::{FrameError, encode_frame, expect_frame, write_frame};

/// How long a knock may take to arrive (FORMATS, "Numbers").
const KNOCK: Duration = Duration::from_secs(10);
/// How long the master may take before the joiner is told to wait.
const VERDICT: Duration = Duration::from_secs(20);
/// How long the answer may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the joiner waits for the first words: its turn may have to come.
const WELCOME: Duration = Duration::from_secs(10);
/// Greatest length of a welcome: a credential and the mesh id, in bytes.
const WELCOME_LIMIT: usize = CREDENTIAL_LIMIT + 256;

/// Knocks without being a node yet: it dials and does not listen.
#[derive(Debug)]
pub struct Joiner {
    endpoint: Endpoint,
}

impl Joiner {
    /// Opens a socket on a free port. Must be called within a tokio runtime.
    pub fn new(seed: &Zeroizing<[u8; 32]>) -> Result<Self, TransportError> {
        Ok(Self {
            endpoint: Endpoint::dialling(Identity::new(seed)?)?,
        })
    }

    /// The node that knocks.
    pub fn node(&self) -> NodeId {
        self.endpoint.identity.node()
    }

    /// See [`Transport::knock`](super::Transport::knock).
    pub async fn knock<F>(&self, address: SocketAddr, build: F) -> Result<KnockReply, KnockError>
    where
        F: FnOnce(&Welcome, NodeId, [u8; 32]) -> Result<Knock, String> + Send,
    {
        knock(&self.endpoint, address, build).await
    }

    /// Sends the last packets and closes the socket.
    pub async fn close(self) {
        self.endpoint.quinn.close(CloseCode::Finished.code(), b"");
        let _silent = timeout(FAREWELL, self.endpoint.quinn.wait_idle()).await;
    }
}

/// Knocks at the member at `address`.
pub(super) async fn knock<F>(
    endpoint: &Endpoint,
    address: SocketAddr,
    build: F,
) -> Result<KnockReply, KnockError>
where
    F: FnOnce(&Welcome, NodeId, [u8; 32]) -> Result<Knock, String> + Send,
{
    let (connection, member) = endpoint.connect(address, None, JOIN_ALPN).await?;
    let result = knock_on(&connection, member, address, build).await;
    close(&connection, CloseCode::Finished, "");
    result
}

async fn knock_on<F>(
    connection: &Connection,
    member: NodeId,
    address: SocketAddr,
    build: F,
) -> Result<KnockReply, KnockError>
where
    F: FnOnce(&Welcome, NodeId, [u8; 32]) -> Result<Knock, String> + Send,
{
    let failed = |source: FrameError| match connection.close_reason() {
        Some(error @ quinn::ConnectionError::ApplicationClosed(_)) => KnockError::Closed {
            address,
            reason: last_words(&error),
        },
        _ => KnockError::Frame { address, source },
    };
    let first = timeout(WELCOME, async {
        let (send, mut recv) = connection
            .accept_bi()
            .await
            .map_err(|error| FrameError::Io(error.into()))?;
        let welcome: Welcome = expect_frame(&mut recv, WELCOME_LIMIT).await?;
        Ok((send, recv, welcome))
    });
    let silent = |_| failed(FrameError::Io(std::io::ErrorKind::TimedOut.into()));
    let (mut send, mut recv, welcome) = first.await.map_err(silent)?.map_err(failed)?;
    let exporter = exporter(connection).ok_or(KnockError::Exporter(address))?;
    let knock =
        build(&welcome, member, exporter).map_err(|reason| KnockError::Distrusted { address, reason })?;
    let frame = encode_frame(&knock, KNOCK_LIMIT).map_err(failed)?;
    let answer = timeout(KNOCK + VERDICT, async {
        AsyncWriteExt::write_all(&mut send, &frame).await?;
        send.shutdown().await?;
        expect_frame(&mut recv, FRAME_LIMIT).await
    });
    answer
        .await
        .map_err(|_| KnockError::Answer { address })?
        .map_err(failed)
}

/// Serves one joiner, and closes the connection.
pub(super) async fn let_knock(inner: &Arc<Inner>, connection: &Connection, joiner: NodeId) {
    let (code, reason) = match answer(inner, connection, joiner).await {
        Ok(()) => (CloseCode::Finished, String::new()),
        Err(end) => end,
    };
    let address = connection.remote_address();
    debug!(joiner = %joiner.short(), %address, %reason, "a knock has ended");
    close(connection, code, &reason);
}

async fn answer(inner: &Inner, connection: &Connection, joiner: NodeId) -> Result<(), (CloseCode, String)> {
    let address = connection.remote_address();
    let Some(welcome) = inner.gate.welcome().await else {
        return Err((CloseCode::Closed, "no invitation is open on this node".into()));
    };
    let Turn::After(wait, _guest) = inner.door.knock(address.ip(), std::time::Instant::now()) else {
        return Err((CloseCode::Busy, "too many knock at once, try again".into()));
    };
    tokio::time::sleep(wait).await;
    let misbehaved = |error: FrameError| (CloseCode::Misbehaved, error.to_string());
    let arrival = timeout(KNOCK, async {
        let (mut send, mut recv) = connection
            .open_bi()
            .await
            .map_err(|error| FrameError::Io(error.into()))?;
        write_frame(&mut send, &welcome).await?;
        let knock: Knock = expect_frame(&mut recv, KNOCK_LIMIT).await?;
        Ok((send, knock))
    });
    let silent = |_| (CloseCode::Misbehaved, "no knock in time".to_owned());
    let (mut send, knock) = arrival.await.map_err(silent)?.map_err(misbehaved)?;
    let carried = bind(connection, knock, joiner, inner.endpoint.identity.node())
        .map_err(|reason| (CloseCode::Misbehaved, reason.to_owned()))?;
    let verdict = timeout(VERDICT, inner.gate.knock(address, carried)).await;
    let reply = verdict.unwrap_or(KnockReply::Wait);
    info!(joiner = %joiner.short(), %address, admitted = matches!(reply, KnockReply::Admitted { .. }), "a knock");
    let heard = timeout(FAREWELL, async {
        write_frame(&mut send, &reply).await?;
        let _left = send.finish();
        let _gone = send.stopped().await;
        Ok(())
    });
    heard
        .await
        .map_err(|_| (CloseCode::Misbehaved, "the answer was not read".to_owned()))?
        .map_err(misbehaved)
}

/// Ties a knock to this session, as this member sees it.
fn bind(
    connection: &Connection,
    knock: Knock,
    joiner: NodeId,
    member: NodeId,
) -> Result<CarriedKnock, &'static str> {
    if knock.node != joiner {
        return Err("the knock names another key than TLS");
    }
    if knock.certificate.len() > CERTIFICATE_LIMIT {
        return Err("the certificate is too long");
    }
    let statement: InvitationStatementV1 = knock
        .invitation
        .peek(KNOCK_LIMIT)
        .map_err(|_| "the invitation cannot be read")?;
    let invitation: InvitationId = statement.invitation;
    let exporter = exporter(connection).ok_or("the session cannot be bound")?;
    Ok(CarriedKnock {
        knock,
        binding: KnockBinding {
            invitation,
            joiner,
            member,
            exporter,
        },
    })
}

/// The 32 bytes that both ends of this session, and nobody else, can compute (RFC 8446, 7.5).
fn exporter(connection: &Connection) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    connection
        .export_keying_material(&mut bytes, EXPORTER_LABEL, b"")
        .ok()?;
    Some(bytes)
}
