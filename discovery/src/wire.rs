//! What two discoveries say to each other directly: one question and one answer on a stream of its own.
//!
//! A frame is `length u32 (big-endian) | version u16 | bincode`, as on the transport, and at most 64 KiB long.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response::Codec};
use pacmesh_protocol::{
    codec, ids::NodeId, membership::record::NODE_RECORD_LIMIT, signed::Signed, wire::WIRE_VERSION,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The name under which libp2p negotiates these streams.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/pacmesh/discovery/1");
/// Greatest length of a frame (FORMATS, "gossip frame").
pub(crate) const FRAME_LIMIT: usize = 64 << 10;
/// What a page of a table may be filled to: one more record and the envelope still fit.
pub(crate) const PAGE_LIMIT: usize = FRAME_LIMIT - NODE_RECORD_LIMIT - 256;

/// What one node asks another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Are you there?
    Ping,
    /// Do you reach this member?
    Reach {
        /// Whom.
        about: NodeId,
        /// How long the asker waits for the answer.
        wait_ms: u32,
    },
    /// Here is a page of my table: give me one of yours.
    Table {
        /// The page with the authors after this one; `None`: the first.
        after: Option<NodeId>,
        /// Signed node records.
        records: Vec<Signed>,
    },
    /// Hear this now (a goodbye).
    Hear {
        /// A signed node record.
        record: Signed,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// To `Ping` and `Hear`.
    Here,
    /// To `Reach`.
    Reached(bool),
    /// To `Table`.
    Table {
        /// Signed node records.
        records: Vec<Signed>,
        /// Where the next page begins; `None`: this was the last.
        next: Option<NodeId>,
    },
}

/// Reads and writes the frames.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameCodec;

impl Codec for FrameCodec {
    type Protocol = StreamProtocol;
    type Request = Question;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Question>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Question) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response).await
    }
}

async fn read<M: DeserializeOwned>(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<M> {
    let mut head = [0; 6];
    io.read_exact(&mut head).await?;
    let [a, b, c, d, e, f] = head;
    let version = u16::from_be_bytes([e, f]);
    if version > WIRE_VERSION {
        return Err(invalid("a frame of a newer version"));
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > FRAME_LIMIT {
        return Err(invalid("a frame beyond its limit"));
    }
    let mut body = vec![0; length];
    io.read_exact(&mut body).await?;
    codec::decode(&body, FRAME_LIMIT).map_err(invalid)
}

async fn write<M: Serialize + Sync>(
    io: &mut (impl AsyncWrite + Unpin + Send),
    message: &M,
) -> io::Result<()> {
    let body = codec::encode(message, FRAME_LIMIT).map_err(invalid)?;
    let length = u32::try_from(body.len()).map_err(invalid)?;
    let mut frame = Vec::with_capacity(body.len() + 6);
    frame.extend(length.to_be_bytes());
    frame.extend(WIRE_VERSION.to_be_bytes());
    frame.extend(body);
    io.write_all(&frame).await?;
    io.close().await
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};

    use super::*;

    fn framed(message: &Question) -> Vec<u8> {
        let mut bytes = Cursor::new(vec![]);
        block_on(write(&mut bytes, message)).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let question = Question::Reach {
            about: NodeId([7; 32]),
            wait_ms: 200,
        };
        let read: Question = block_on(read(&mut Cursor::new(framed(&question)))).unwrap();
        assert_eq!(read, question);
    }

    #[test]
    fn inv5_lengths_and_versions_are_checked_before_memory_is_taken() {
        let mut long = framed(&Question::Ping);
        long[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(block_on(read::<Question>(&mut Cursor::new(long))).is_err());
        let mut newer = framed(&Question::Ping);
        newer[4..6].copy_from_slice(&2_u16.to_be_bytes());
        assert!(block_on(read::<Question>(&mut Cursor::new(newer))).is_err());
    }
}
