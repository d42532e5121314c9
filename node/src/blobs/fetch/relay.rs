//! Blobs that only pass through: verified group by group and handed on, for nodes that do not store them.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use pacmesh_protocol::ids::{Digest, NodeId};
use tokio::{io::AsyncReadExt, sync::mpsc};

use super::{
    super::{
        BLOB_LIMIT, BlobError,
        decode::{DecodeError, Decoder, Item},
        error::Doing,
    },
    FetchError, Fetcher, Inner,
    pull::{Fault, Source, open},
};

/// Length of a piece, in bytes.
const PIECE: usize = 64 << 10;
/// How many pieces wait for a slow reader.
const AHEAD: usize = 4;

impl Fetcher {
    /// The bytes of a blob, from the store or else from the nodes of `from` in turn, each verified before it is handed
    /// on; nothing is stored. Ends early with an error when none can go on. The first answer is the blob's length, by
    /// the word of the sender until the last byte has come.
    pub async fn stream(
        &self,
        digest: &Digest,
        from: &[NodeId],
    ) -> Result<(u64, BoxStream<'static, io::Result<Bytes>>), FetchError> {
        if let Some(here) = self.inner.local(digest).await? {
            return Ok(here);
        }
        let mut tried = Vec::new();
        for (number, node) in from.iter().enumerate() {
            match open(&self.inner, *digest, *node, 0).await {
                Ok(source) => {
                    let size = source.size;
                    let (sender, receiver) = mpsc::channel(AHEAD);
                    let relay = Relay {
                        inner: self.inner.clone(),
                        digest: *digest,
                        size,
                        sent: 0,
                        sender,
                        rest: from[number + 1..].to_vec(),
                    };
                    tokio::spawn(relay.run(source));
                    let pieces = stream::unfold(receiver, async |mut receiver| {
                        receiver.recv().await.map(|piece| (piece, receiver))
                    });
                    return Ok((size, pieces.boxed()));
                }
                Err(Fault::Local(error)) => return Err(error.into()),
                Err(fault) => tried.push((*node, fault.to_string())),
            }
        }
        Err(FetchError::Unavailable {
            digest: *digest,
            tried,
        })
    }
}

impl Inner {
    async fn local(
        &self,
        digest: &Digest,
    ) -> Result<Option<(u64, BoxStream<'static, io::Result<Bytes>>)>, BlobError> {
        let Some(path) = self.store.path(digest) else {
            return Ok(None);
        };
        let file = tokio::fs::File::open(&path).await.doing("open", &path)?;
        let size = file.metadata().await.doing("look at", &path)?.len();
        let pieces = stream::try_unfold(file.take(BLOB_LIMIT), async |mut file| {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = file.read_buf(&mut piece).await?;
            Ok((read > 0).then(|| (piece.freeze(), file)))
        });
        Ok(Some((size, pieces.boxed())))
    }
}

/// Reads from one node after the other and hands on; ends when nobody listens.
struct Relay {
    inner: Arc<Inner>,
    digest: Digest,
    size: u64,
    sent: u64,
    sender: mpsc::Sender<io::Result<Bytes>>,
    rest: Vec<NodeId>,
}

impl Relay {
    async fn run(mut self, first: Source) {
        let stop = self.inner.stop.clone();
        let sender = self.sender.clone();
        let end = tokio::select! {
            () = stop.cancelled() => Err(io::Error::other("the node stops")),
            () = sender.closed() => Ok(()),
            end = self.relay(first) => end,
        };
        if let Err(error) = end {
            // Whoever has left needs no error.
            let _left = sender.send(Err(error)).await;
        }
    }

    async fn relay(&mut self, first: Source) -> io::Result<()> {
        let mut fault = match self.pass(first).await {
            Ok(()) => return Ok(()),
            Err(error) => Fault::Decode(error),
        };
        for node in std::mem::take(&mut self.rest) {
            match open(&self.inner, self.digest, node, self.sent).await {
                Ok(source) if source.size != self.size => fault = Fault::Size(source.size),
                Ok(source) => match self.pass(source).await {
                    Ok(()) => return Ok(()),
                    Err(error) => fault = error.into(),
                },
                Err(error) => fault = error,
            }
        }
        Err(io::Error::other(fault))
    }

    /// Hands on what comes from one node. Every piece is whole groups, so that another node can go on.
    async fn pass(&mut self, mut source: Source) -> Result<(), DecodeError> {
        let aborted = || DecodeError::Stream(io::ErrorKind::Interrupted.into());
        let mut decoder = Decoder::new(self.digest, self.size, self.sent);
        while let Some(item) = decoder.next(&mut source.stream).await? {
            if let Item::Group { bytes, .. } = item {
                let length = bytes.len() as u64;
                self.sender.send(Ok(bytes)).await.map_err(|_| aborted())?;
                self.sent += length;
            }
        }
        Ok(())
    }
}
