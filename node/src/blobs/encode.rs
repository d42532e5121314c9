//! Encoding a blob for another node: its groups, each after the hash pairs that prove it (the BAO combined encoding
//! with groups of 16 KiB, without a length in front).

use std::{
    fs::File,
    io::{self, Write},
};

use bao_tree::{
    BaoTree, ChunkNum, ChunkRanges,
    io::{
        EncodeError,
        outboard::PreOrderOutboard,
        sync::{ReadAt, encode_ranges, encode_ranges_validated},
    },
};
use bytes::Bytes;
use pacmesh_protocol::ids::Digest;
use tokio::sync::mpsc;

use super::{
    BLOCK, BlobStore, GROUP,
    error::{BlobError, Doing},
};

/// Length of a piece, in bytes.
const PIECE: usize = 128 << 10;
/// How many pieces are read ahead: with 64 streams they hold 16 MiB.
const AHEAD: usize = 2;

/// The encoded form of a blob, read as far ahead as somebody takes it.
#[derive(Debug)]
pub struct EncodedBlob {
    /// Length of the whole blob, in bytes.
    pub size: u64,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl EncodedBlob {
    /// The next bytes; `None` at the end. After an error nothing follows.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.pieces.recv().await
    }
}

/// Opens the blob and begins to encode it. Blocks for the opening.
pub(super) fn encode(
    store: &BlobStore,
    digest: Digest,
    offset: u64,
) -> Result<Option<EncodedBlob>, BlobError> {
    let path = store.disk().blob(&digest);
    let data = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        data => data.doing("open", &path)?,
    };
    let size = data.metadata().doing("look at", &path)?.len();
    if !offset.is_multiple_of(GROUP) || (offset > 0 && offset >= size) {
        return Ok(None);
    }
    let tree = BaoTree::new(size, BLOCK);
    let pairs = if size > GROUP {
        Pairs::File(open_outboard(store, &digest)?)
    } else {
        Pairs::None
    };
    let outboard = PreOrderOutboard {
        root: digest.0.into(),
        tree,
        data: pairs,
    };
    let (sender, pieces) = mpsc::channel(AHEAD);
    let suspecting = store.clone();
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces {
            sender,
            piece: Vec::with_capacity(PIECE),
        };
        let ranges = ChunkRanges::from(ChunkNum(offset / 1024)..);
        // Verified here, too: a receiver would refuse what is damaged, but only this node can mend it.
        let result = if suspecting.is_liar() {
            encode_ranges(data, outboard, &ranges, &mut out)
        } else {
            encode_ranges_validated(data, outboard, &ranges, &mut out)
        };
        if let Err(EncodeError::LeafHashMismatch(_) | EncodeError::ParentHashMismatch(_)) = &result {
            suspecting.suspect(&digest);
        }
        let result = result.map_err(io::Error::from);
        if let Err(error) = result.and_then(|()| out.flush()) {
            // Whoever has left needs no error.
            let _left = out.sender.blocking_send(Err(error));
        }
    });
    Ok(Some(EncodedBlob { size, pieces }))
}

/// The hash tree's file; one that a crash has swallowed is made anew.
fn open_outboard(store: &BlobStore, digest: &Digest) -> Result<File, BlobError> {
    let path = store.disk().outboard(digest);
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let outboard = store.rehash(digest)?;
            store.disk().write_whole(&path, &outboard)?;
            File::open(&path).doing("open", &path)
        }
        file => file.doing("open", &path),
    }
}

/// Where the hash pairs are.
#[derive(Debug)]
enum Pairs {
    /// A single group has none.
    None,
    File(File),
}

impl ReadAt for Pairs {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None => Ok(0),
            Self::File(file) => file.read_at(position, buffer),
        }
    }
}

/// Joins what is written into pieces and hands them on.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
