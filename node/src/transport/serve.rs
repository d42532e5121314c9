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
        // The peer's limit on open streams is the limit on these tasks: a stream is open until its task has ended.
        let streams = tokio::select! {
            () = inner.stop.cancelled() => break,
            streams = link.connection.accept_bi() => streams,
        };
        let Ok((send, recv)) = streams else { break };
        let work = link.work.token();
        let (task_inner, task_link) = (inner.clone(), link.clone());
        inner.spawn(async move {
            if let Err(error) = answer(&task_inner, &task_link, send, recv).await {
                debug!(peer = %task_link.peer.short(), %error, "a request was not answered");
            }
            drop(work);
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
        Request::Log { job, offset, follow } => {
            log::serve(inner, link, None, (job, offset, follow), send).await
        }
        Request::LogBeyond {
            worker,
            job,
            offset,
            follow,
        } => log::serve(inner, link, Some(worker), (job, offset, follow), send).await,
        request => {
            let reply = inner.service.request(link.peer, request).await;
            write_reply(&mut send, &reply).await?;
            finish(&mut send).await;
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

/// Ends a stream and waits until all of it has arrived, or the peer has left it: only then may the connection close.
pub(super) async fn finish(send: &mut SendStream) {
    if send.finish().is_ok() {
        let _gone = timeout(DEPARTURE, send.stopped()).await;
    }
}

pub(super) fn late(_: tokio::time::error::Elapsed) -> FrameError {
    FrameError::Io(std::io::ErrorKind::TimedOut.into())
}
