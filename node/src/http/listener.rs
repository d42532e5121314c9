//! Accepts connections within bounds: their number, the time a request may take to arrive, the time a reader
//! may stall.
//!
//! Strangers reach these ports. What they can hold is a connection for a while, and no more of them than
//! [`Bounds`] says (DESIGN, invariant 5).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::either::Either;
use tower::ServiceExt as _;

/// How long to wait after the system refused a connection, for example because no file descriptor is free.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);
/// Most bytes of a request's head. Hyper's least is 8 KiB; pacman and browsers need less than 2.
const HEAD_MAX: usize = 32 * 1024;

/// What one listener may spend on its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once, and so requests at once. Others wait in the kernel's queue.
    pub connections: usize,
    /// Until a request's head is complete; also how long an idle connection is kept.
    pub head: Duration,
    /// Until a reader that takes nothing is given up.
    pub stall: Duration,
    /// How long running answers may go on at shutdown.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        }
    }
}

/// Who is at the other end of a connection; every request carries it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Address(SocketAddr),
    /// Somebody who may open a socket of this machine.
    Local,
    /// The request came by no listener.
    Unknown,
}

/// Where clients come in.
#[derive(Debug)]
pub enum Entrance {
    /// From the network.
    Tcp(TcpListener),
    /// From this machine.
    Unix(UnixListener),
}

impl From<TcpListener> for Entrance {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

type Stream = Either<TcpStream, UnixStream>;

impl Entrance {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Either::Left(stream), Peer::Address(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), Peer::Local))
            }
        }
    }
}

/// Serves `app` at `entrance` until `shutdown` completes, then lets running answers finish for
/// [`Bounds::grace`].
///
/// # Errors
///
/// Fails only if the listener's own address cannot be read; refused and broken connections are logged and
/// passed over.
pub async fn serve(
    entrance: impl Into<Entrance>,
    app: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let entrance = entrance.into();
    match &entrance {
        Entrance::Tcp(listener) => tracing::info!(address = %listener.local_addr()?, "serving"),
        Entrance::Unix(listener) => tracing::info!(address = ?listener.local_addr()?, "serving"),
    }
    let seats = Arc::new(Semaphore::new(bounds.connections));
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, peer, seat) = accept(&entrance, &seats) => {
                connections.spawn(converse(stream, peer, app.clone(), bounds, seat, closing.clone()));
            }
        }
    }
    drop(entrance);
    close.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Waits for a free seat, then for a client.
async fn accept(entrance: &Entrance, seats: &Arc<Semaphore>) -> (Stream, Peer, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so a seat comes.
    let seat = Arc::clone(seats).acquire_owned().await.ok();
    loop {
        match entrance.accept().await {
            Ok((stream, peer)) => return (stream, peer, seat),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
}

/// Serves one connection; the seat is free when this ends.
async fn converse(
    stream: Stream,
    peer: Peer,
    app: Router,
    bounds: Bounds,
    _seat: Option<OwnedSemaphorePermit>,
    mut closing: watch::Receiver<bool>,
) {
    if let Either::Left(stream) = &stream {
        give_up_on_stalled(stream, bounds.stall);
        // Clients that post one line after the other wait for each answer.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "small answers will be late");
        }
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        app.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = until_closing(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(bounds.grace, &mut connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn until_closing(closing: &mut watch::Receiver<bool>) {
    // An error means that the listener itself is gone, which is closing as well.
    drop(closing.wait_for(|closing| *closing).await);
}

/// The kernel ends a connection whose other end takes no data for so long (tcp(7), `TCP_USER_TIMEOUT`).
fn give_up_on_stalled(stream: &TcpStream, after: Duration) {
    let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
        tracing::warn!(%error, "stalled readers will not be given up");
    }
}
