//! Frames over any byte stream: `length u32 (big-endian) | version u16 (big-endian) | bincode`.
//!
//! The length counts version and body, and is checked before memory is taken. The transport and the local socket
//! speak the same frames.

use pacmesh_protocol::{
    codec::{self, CodecError},
    wire::{FRAME_LIMIT, WIRE_VERSION},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a frame was not read or written; the stream is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or broke.
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    /// The other side announced more than is allowed.
    #[error("a frame of {length} bytes where at most {limit} are allowed")]
    TooLong {
        /// As announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The other side speaks a later version.
    #[error("a frame of version {0}, which this binary does not read: update pacmesh on both sides")]
    Version(u16),
    /// The body is not what was expected.
    #[error("a frame that cannot be read")]
    Codec(#[from] CodecError),
}

/// Reads one frame of at most `limit` bytes; `None` where the stream ended cleanly before it.
pub async fn read_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<T>, FrameError> {
    let mut head = [0; 4];
    match stream.read(&mut head).await? {
        0 => return Ok(None),
        n => stream.read_exact(&mut head[n..]).await?,
    };
    let length = u32::from_be_bytes(head) as usize;
    if length > limit + 2 || length < 2 {
        return Err(FrameError::TooLong { length, limit });
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let version = u16::from_be_bytes([body[0], body[1]]);
    if version != WIRE_VERSION {
        return Err(FrameError::Version(version));
    }
    Ok(Some(codec::decode(&body[2..], limit)?))
}

/// Like [`read_frame`], for where a frame must come.
pub async fn expect_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<T, FrameError> {
    read_frame(stream, limit)
        .await?
        .ok_or_else(|| FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()))
}

/// Writes one frame, of at most [`FRAME_LIMIT`] bytes.
pub async fn write_frame<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> Result<(), FrameError> {
    let body = codec::encode(value, FRAME_LIMIT)?;
    let mut frame = Vec::with_capacity(body.len() + 6);
    frame.extend_from_slice(&(body.len() as u32 + 2).to_be_bytes());
    frame.extend_from_slice(&WIRE_VERSION.to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_and_the_end_is_clean() {
        let (mut a, mut b) = tokio::io::duplex(1 << 10);
        write_frame(&mut a, &"hello".to_owned()).await.unwrap();
        drop(a);
        assert_eq!(
            read_frame::<String>(&mut b, 100).await.unwrap().as_deref(),
            Some("hello")
        );
        assert!(read_frame::<String>(&mut b, 100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn inv5_an_announced_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0, 1];
        assert!(matches!(
            read_frame::<String>(&mut bytes, 100).await,
            Err(FrameError::TooLong { limit: 100, .. })
        ));
    }
}
