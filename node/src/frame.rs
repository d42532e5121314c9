//! Frames over any byte stream: `length u32 (big-endian) | version u16 (big-endian) | body`, the body bincode or raw.
//!
//! The length counts version and body and is checked before memory is taken; memory grows with the bytes that
//! arrive, so that a peer that announces much and sends little holds little. The transport and the local socket speak
//! the same frames.

use bytes::Bytes;
use pacmesh_protocol::{
    codec::{self, CodecError},
    wire::{FRAME_LIMIT, WIRE_VERSION},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Length of the version, in bytes.
const VERSION_LENGTH: usize = 2;
/// Memory taken for a body before its bytes arrive, in bytes.
const FIRST_PIECE: usize = 16 << 10;

/// Why a frame was not read or written; the stream is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or broke.
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    /// The other side announced more than is allowed, or this side was to write more.
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

/// Reads one frame with a body of at most `limit` bytes; `None` where the stream ended cleanly before it.
pub async fn read_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<T>, FrameError> {
    match read_bytes(stream, limit).await? {
        Some(body) => Ok(Some(codec::decode(&body, limit)?)),
        None => Ok(None),
    }
}

/// Like [`read_frame`], for where a frame must come.
pub async fn expect_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<T, FrameError> {
    read_frame(stream, limit).await?.ok_or_else(cut_off)
}

/// Reads the body of one frame as it is; `None` where the stream ended cleanly before it.
pub async fn read_bytes(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<Bytes>, FrameError> {
    let mut head = [0; 4];
    match stream.read(&mut head).await? {
        0 => return Ok(None),
        n => stream.read_exact(&mut head[n..]).await?,
    };
    let length = u32::from_be_bytes(head) as usize;
    if length > limit + VERSION_LENGTH || length < VERSION_LENGTH {
        return Err(FrameError::TooLong { length, limit });
    }
    let version = stream.read_u16().await?;
    if version != WIRE_VERSION {
        return Err(FrameError::Version(version));
    }
    let wanted = length - VERSION_LENGTH;
    let mut body = Vec::with_capacity(wanted.min(FIRST_PIECE));
    stream.take(wanted as u64).read_to_end(&mut body).await?;
    if body.len() < wanted {
        return Err(cut_off());
    }
    Ok(Some(body.into()))
}

/// Writes one frame, of at most [`FRAME_LIMIT`] bytes.
pub async fn write_frame<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> Result<(), FrameError> {
    let frame = encode_frame(value, FRAME_LIMIT)?;
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

/// Writes `body` as it is in one frame.
pub async fn write_bytes(stream: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> Result<(), FrameError> {
    stream.write_all(&head(body.len())?).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    Ok(())
}

/// Encodes `value` as one frame with a body of at most `limit` bytes, at most [`FRAME_LIMIT`].
pub fn encode_frame<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let body = codec::encode(value, limit)?;
    let head = head(body.len())?;
    let mut frame = Vec::with_capacity(head.len() + body.len());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(&body);
    Ok(frame)
}

fn head(body: usize) -> Result<[u8; 6], FrameError> {
    let length = match u32::try_from(body + VERSION_LENGTH) {
        Ok(length) if body <= FRAME_LIMIT => length,
        _ => {
            return Err(FrameError::TooLong {
                length: body,
                limit: FRAME_LIMIT,
            });
        }
    };
    let mut head = [0; 6];
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[4..].copy_from_slice(&WIRE_VERSION.to_be_bytes());
    Ok(head)
}

fn cut_off() -> FrameError {
    FrameError::Io(std::io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_and_the_end_is_clean() {
        let (mut a, mut b) = tokio::io::duplex(1 << 10);
        write_frame(&mut a, &"hello".to_owned()).await.unwrap();
        write_bytes(&mut a, b"").await.unwrap();
        drop(a);
        assert_eq!(
            read_frame::<String>(&mut b, 100).await.unwrap().as_deref(),
            Some("hello")
        );
        assert_eq!(read_bytes(&mut b, 100).await.unwrap().unwrap().len(), 0);
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

    #[tokio::test]
    async fn inv5_frames_cut_short_or_of_a_later_version_are_refused() {
        for (bytes, wanted) in [
            (&[0, 0][..], "broke"),
            (&[0, 0, 0, 1, 0], "1 bytes"),
            (&[0, 0, 0, 9, 0, 1, 7], "broke"),
            (&[0, 0, 0, 3, 0, 2, 7], "version 2"),
        ] {
            let mut stream = bytes;
            let error = read_frame::<u8>(&mut stream, 64).await.unwrap_err();
            assert!(error.to_string().contains(wanted), "{bytes:?}: {error}");
        }
    }
}
