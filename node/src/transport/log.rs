//! Logs on the wire: a reply, then frames of raw bytes, an empty one for "still alive", to the end of the stream.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use pacmesh_protocol::{
    ids::{JobId, NodeId},
    wire::Reply,
};
use quinn::SendStream;
use tokio::time::timeout;

use super::{
    connection::{Answer, Link},
    endpoint::Inner,
    error::RequestError,
    serve::{DEPARTURE, finish, late, write_reply},
};
use crate::frame::{FrameError, read_bytes, write_bytes};

/// How long opening a log may take, with dialling.
pub(super) const OPENING: Duration = Duration::from_secs(10);
/// A quiet log says so often that it lives.
const ALIVE: Duration = Duration::from_secs(5);
/// A log from which nothing comes for so long is cut off.
const IDLE: Duration = Duration::from_secs(30);
/// Greatest piece of a log in one frame, in bytes.
const PIECE: usize = 64 << 10;

/// Answers one request for a log: of this node's attempt, or of that on `worker`.
pub(super) async fn serve(
    inner: &Inner,
    link: &Link,
    worker: Option<NodeId>,
    (job, offset, follow): (JobId, u64, bool),
    mut send: SendStream,
) -> Result<(), FrameError> {
    let refuse = |reason: &str| Reply::Refused {
        reason: reason.to_owned(),
    };
    let Ok(_permit) = link.logs.try_acquire() else {
        return end(&mut send, &refuse("this node follows too many logs already")).await;
    };
    let opened = match worker {
        None => inner.service.log(link.peer, job, offset, follow).await,
        Some(worker) => {
            let of = (job, offset, follow);
            inner.service.log_beyond(link.peer, worker, of).await
        }
    };
    let log = match opened {
        Ok(log) => log,
        Err(reason) => return end(&mut send, &refuse(&reason)).await,
    };
    write_reply(&mut send, &Reply::Done).await?;
    let result = tokio::select! {
        () = inner.stop.cancelled() => Err(FrameError::Io(io::ErrorKind::Interrupted.into())),
        result = pump(log, &mut send) => result,
    };
    if result.is_err() {
        // A frame that breaks off tells that the log was cut off, after all that came before; a reset would overtake it.
        let _left = timeout(DEPARTURE, send.write_all(&[0])).await;
    }
    finish(&mut send).await;
    result
}

async fn end(send: &mut SendStream, reply: &Reply) -> Result<(), FrameError> {
    write_reply(send, reply).await?;
    finish(send).await;
    Ok(())
}

async fn pump(
    mut log: BoxStream<'static, io::Result<Bytes>>,
    send: &mut SendStream,
) -> Result<(), FrameError> {
    loop {
        match timeout(ALIVE, log.next()).await {
            Err(_) => timeout(DEPARTURE, write_bytes(send, &[])).await.map_err(late)??,
            Ok(None) => return Ok(()),
            Ok(Some(bytes)) => {
                for piece in bytes?.chunks(PIECE) {
                    timeout(DEPARTURE, write_bytes(send, piece))
                        .await
                        .map_err(late)??;
                }
            }
        }
    }
}

/// Reads the reply and turns the rest into a stream.
pub(super) async fn open(
    link: Arc<Link>,
    mut answer: Answer,
) -> Result<BoxStream<'static, io::Result<Bytes>>, RequestError> {
    match link.reply(&mut answer).await? {
        Reply::Done => {}
        Reply::Refused { reason } => {
            return Err(RequestError::Refused {
                node: link.peer,
                reason,
            });
        }
        _ => return Err(RequestError::Unexpected(link.peer)),
    }
    let frames = stream::try_unfold(answer, async |mut answer| {
        let frame = timeout(IDLE, read_bytes(&mut answer.stream, PIECE)).await;
        match frame.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
            Ok(Some(bytes)) => Ok(Some((bytes, answer))),
            Ok(None) => Ok(None),
            Err(FrameError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    Ok(frames
        .try_filter(|bytes| std::future::ready(!bytes.is_empty()))
        .boxed())
}
