//! Blobs on the wire: a [`BlobHead`], then the encoded bytes to the end of the stream.

use std::{fmt, io, sync::Arc, time::Duration};

use pacmesh_protocol::{ids::Digest, wire::BlobHead};
use quinn::SendStream;
use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    connection::{Answer, Link},
    endpoint::Inner,
    error::RequestError,
    serve::{finish, late},
};
use crate::frame::{FrameError, expect_frame, write_frame};

/// How long the head of a blob may take, with dialling.
pub(super) const OPENING: Duration = Duration::from_secs(10);
/// A blob stream on which nothing moves for so long has ended (FORMATS, "Numbers").
const IDLE: Duration = Duration::from_secs(30);
/// Greatest length of a head, in bytes.
const HEAD: usize = 64;

/// Answers one request for a blob.
pub(super) async fn serve(
    inner: &Inner,
    link: &Link,
    digest: Digest,
    offset: u64,
    mut send: SendStream,
) -> Result<(), FrameError> {
    let permits = (link.blobs.try_acquire(), inner.blob_streams.try_acquire());
    let (Ok(_of_peer), Ok(_of_all)) = permits else {
        return head(&mut send, &BlobHead::Busy).await;
    };
    // It is not told that there is something: whoever asks on goes to somebody who may give it.
    if !inner.service.may_have(link.peer, digest).await {
        return head(&mut send, &BlobHead::Missing).await;
    }
    let mut encoded = match inner.blobs.encode(digest, offset).await {
        Ok(Some(encoded)) => encoded,
        Ok(None) => return head(&mut send, &BlobHead::Missing).await,
        Err(error) => {
            tracing::warn!(%digest, error = &error as &dyn std::error::Error, "a blob cannot be served");
            return head(&mut send, &BlobHead::Missing).await;
        }
    };
    timeout(
        IDLE,
        write_frame(&mut send, &BlobHead::Found { size: encoded.size }),
    )
    .await
    .map_err(late)??;
    let result = tokio::select! {
        () = inner.stop.cancelled() => Err(FrameError::Io(io::ErrorKind::Interrupted.into())),
        result = async {
            while let Some(piece) = encoded.next().await {
                let written = timeout(IDLE, send.write_chunk(piece?)).await.map_err(late)?;
                written.map_err(|error| FrameError::Io(error.into()))?;
            }
            Ok(())
        } => result,
    };
    // The receiver knows how many bytes belong here: an early end is seen as one.
    finish(&mut send).await;
    result
}

async fn head(send: &mut SendStream, head: &BlobHead) -> Result<(), FrameError> {
    timeout(IDLE, write_frame(send, head)).await.map_err(late)??;
    finish(send).await;
    Ok(())
}

/// An incoming blob. Dropping it tells the sender to stop.
pub struct BlobStream {
    link: Arc<Link>,
    answer: Answer,
    head: BlobHead,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("peer", &self.link.peer)
            .field("head", &self.head)
            .finish()
    }
}

/// Reads the head of the answer.
pub(super) async fn open(link: Arc<Link>, mut answer: Answer) -> Result<BlobStream, RequestError> {
    let head = expect_frame(&mut answer.stream, HEAD)
        .await
        .map_err(|error| link.lost(error))?;
    Ok(BlobStream { link, answer, head })
}

impl BlobStream {
    /// What the sender says of the blob; not verified.
    pub(crate) fn head(&self) -> &BlobHead {
        &self.head
    }

    /// Fills `buffer` with the next bytes; fails when nothing moves for 30 s.
    pub(crate) async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let stream = &mut self.answer.stream;
        let mut filled = 0;
        while filled < buffer.len() {
            let read = timeout(IDLE, AsyncReadExt::read(stream, &mut buffer[filled..])).await;
            match read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    }
}
