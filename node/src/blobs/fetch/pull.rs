//! One transfer from one node into the store.

use std::sync::atomic::Ordering;

use pacmesh_protocol::{
    ids::{Digest, NodeId},
    wire::BlobHead,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    super::{
        BLOB_LIMIT, BlobError,
        decode::{DecodeError, Decoder, Item},
        part::{Batch, Part},
    },
    Inner,
};
use crate::transport::{BlobStream, RequestError};

/// Verified bytes are joined up to so many before the disk is bothered.
const BATCH: usize = 1 << 20;

/// Why a blob did not come from one node.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// This node is at fault; others would not help.
    #[error("{0}")]
    Local(#[from] BlobError),
    /// It does not answer.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// It does not have it.
    #[error("it does not have it")]
    Missing,
    /// It serves too many.
    #[error("it is busy")]
    Busy,
    /// It claims a size that no blob has.
    #[error("it claims a blob of {0} bytes")]
    Size(u64),
    /// What came was wrong, or not all.
    #[error("{0}")]
    Decode(#[from] DecodeError),
}

/// A blob that is open on some node, with the right to have it open.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) stream: BlobStream,
    /// Length of the whole blob, in bytes, by the word of the sender.
    pub(super) size: u64,
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// Opens a blob on `node` from `offset` on, once it is this transfer's turn.
pub(super) async fn open(inner: &Inner, digest: Digest, node: NodeId, offset: u64) -> Result<Source, Fault> {
    let permits = inner.permits(node).await.ok_or(BlobError::Aborted)?;
    let stream = inner.transport.open_blob(node, digest, offset).await?;
    match *stream.head() {
        BlobHead::Found { size } if size > BLOB_LIMIT => Err(Fault::Size(size)),
        BlobHead::Found { size } => Ok(Source {
            stream,
            size,
            _permits: permits,
        }),
        BlobHead::Missing => Err(Fault::Missing),
        BlobHead::Busy => Err(Fault::Busy),
    }
}

impl Inner {
    /// Fetches what is missing of the blob from `node`. What was verified stays, whatever happens.
    pub(super) async fn pull(&self, digest: Digest, node: NodeId) -> Result<(), Fault> {
        let progress = self
            .store
            .blocking(move |store| Ok(Part::progress(store, &digest)))
            .await?;
        let (known, offset) = progress.unwrap_or_default();
        let complete = offset > 0 && offset == known;
        let part = if complete {
            self.open_part(digest, known).await?
        } else {
            let mut source = open(self, digest, node, offset).await?;
            let size = source.size;
            let part = self.open_part(digest, size).await?;
            if part.verified() != offset {
                // Somebody lied about the size: what is here belongs to another one.
                drop(source);
                source = open(self, digest, node, part.verified()).await?;
                if source.size != size {
                    return Err(Fault::Size(source.size));
                }
            }
            self.receive(digest, part, size, &mut source.stream).await?
        };
        Ok(self.store.blocking(move |_| part.finish()).await?)
    }

    async fn open_part(&self, digest: Digest, size: u64) -> Result<Part, BlobError> {
        self.store
            .blocking(move |store| Part::open(store, digest, size))
            .await
    }

    async fn receive(
        &self,
        digest: Digest,
        mut part: Part,
        size: u64,
        stream: &mut BlobStream,
    ) -> Result<Part, Fault> {
        let mut decoder = Decoder::new(digest, size, part.verified());
        let mut expected = part.verified();
        loop {
            let (batch, end) = gather(&mut decoder, stream, &mut expected).await;
            self.received
                .fetch_add(batch.bytes.len() as u64, Ordering::Relaxed);
            part = self
                .store
                .blocking(move |_| {
                    part.keep(&batch)?;
                    Ok(part)
                })
                .await?;
            match end {
                None => {}
                Some(Ok(())) => return Ok(part),
                Some(Err(error)) => {
                    self.store.blocking(move |_| part.checkpoint()).await?;
                    return Err(error.into());
                }
            }
        }
    }
}

/// Verified parts up to the size of a batch; with the end, if that came.
async fn gather(
    decoder: &mut Decoder,
    stream: &mut BlobStream,
    expected: &mut u64,
) -> (Batch, Option<Result<(), DecodeError>>) {
    let mut batch = Batch::default();
    while batch.bytes.len() < BATCH {
        match decoder.next(stream).await {
            Ok(Some(Item::Pair { offset, pair })) => batch.pairs.push((offset, pair)),
            Ok(Some(Item::Group { offset, bytes })) if offset == *expected => {
                *expected += bytes.len() as u64;
                batch.bytes.extend_from_slice(&bytes);
            }
            Ok(Some(Item::Group { .. })) => return (batch, Some(Err(DecodeError::Mismatch))),
            Ok(None) => return (batch, Some(Ok(()))),
            Err(error) => return (batch, Some(Err(error))),
        }
    }
    (batch, None)
}
