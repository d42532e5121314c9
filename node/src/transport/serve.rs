//! Answering: every stream that an admitted peer opens is one request, in a task of its own, counted and ended with
//! the transport.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::wire::{FRAME_LIMIT, Reply, Request};
use quinn::{RecvStream, SendStream};
use tokio::time::timeout;
use tracing::debug;

use super::{blob, connection::Link, endpoint::Inner, log};
use crate::frame::{FrameError, expect_frame, write_frame};

/// How long a request may take to arrive once its stream is open.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long a reply may take to leave.
pub(super) const DEPARTURE: Duration = Duration::from_secs(30);

/// Serves one connection until it ends or the transport stops.
pub(crate) async fn serve(inner: Arc<Inner>, link: Arc<Link>) {
    loop {
        let next = async {
            // The peer can open no more streams than that, but a reset stream leaves its task behind.
            let permit = link.requests.clone().acquire_owned().await.ok()?;
            let streams = link.connection.accept_bi().await.ok()?;
            Some((permit, streams))
        };
        let next = tokio::select! {
            () = inner.stop.cancelled() => break,
            next = next => next,
        };
        let Some((permit, (send, recv))) = next else { break };
        let work = link.work.token();
        let (task_inner, task_link) = (inner.clone(), link.clone());
        inner.spawn(async move {
            if let Err(error) = answer(&task_inner, &task_link, send, recv).await {
                debug!(peer = %task_link.peer.short(), %error, "a request was not answered");
            }
            drop((permit, work));
        });
    }
    inner.leave(&link);
}

async fn answer(
    inner: &Inner,
    link: &Arc<Link>,
    mut send: SendStream,
    mut recv: RecvStream,
) -> Result<(), FrameError> {
    let request = timeout(ARRIVAL, expect_frame::<Request>(&mut recv, FRAME_LIMIT))
        .await
        .map_err(late)??;
    match request {
        Request::Blob { blob, offset } => blob::serve(inner, link, blob, offset, send).await,
        Request::Log { job, offset, follow } => log::serve(inner, link, (job, offset, follow), send).await,
        request => {
            let reply = inner.service.request(link.peer, request).await;
            write_reply(&mut send, &reply).await?;
            finish(&mut send);
            Ok(())
        }
    }
}

/// Writes `reply`, or a refusal where it does not fit into a frame.
pub(super) async fn write_reply(send: &mut SendStream, reply: &Reply) -> Result<(), FrameError> {
    let written = timeout(DEPARTURE, write_frame(send, reply)).await.map_err(late)?;
    match written {
        Err(FrameError::Codec(error)) => {
            let reply = Reply::Refused {
                reason: format!("the reply cannot be sent: {error}"),
            };
            timeout(DEPARTURE, write_frame(send, &reply))
                .await
                .map_err(late)?
        }
        written => written,
    }
}

/// Ends a stream that was written to its end. A stream that the peer has left needs no end.
pub(super) fn finish(send: &mut SendStream) {
    let _left = send.finish();
}

pub(super) fn late(_: tokio::time::error::Elapsed) -> FrameError {
    FrameError::Io(std::io::ErrorKind::TimedOut.into())
}
