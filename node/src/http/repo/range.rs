//! Byte ranges (RFC 9110, section 14): one part of a file, which is what a resumed download asks for.
//!
//! A server may ignore any Range header. It is ignored where it asks for several parts, where it is
//! malformed, and where If-Range makes it depend on something that is not compared here.

use std::io;

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};

/// A part of a file that was asked for and exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// First byte.
    pub(super) start: u64,
    /// How many bytes; never 0.
    pub(super) length: u64,
}

/// The file has no byte of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsatisfiable;

/// The Range header, if it is one that is honoured.
pub(super) fn requested(headers: &HeaderMap) -> Option<&HeaderValue> {
    let range = headers.get(header::RANGE)?;
    let several = range.as_bytes().contains(&b',');
    (!several && !headers.contains_key(header::IF_RANGE)).then_some(range)
}

impl Part {
    /// Parses `bytes=A-B`, `bytes=A-` or `bytes=-N` for a file of `total` bytes; `None` for anything else,
    /// which is to be ignored.
    pub(super) fn parse(range: &str, total: u64) -> Result<Option<Self>, Unsatisfiable> {
        let Some((first, last)) = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
        else {
            return Ok(None);
        };
        let (start, end) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(total)),
            (Some(first), None) if last.is_empty() => (first, total),
            (None, Some(count)) if first.is_empty() => (total - count.min(total), total),
            _ => return Ok(None),
        };
        if start >= end {
            Err(Unsatisfiable)
        } else {
            Ok(Some(Self {
                start,
                length: end - start,
            }))
        }
    }

    /// The Content-Range of this part in a file of `total` bytes.
    pub(super) fn content_range(&self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.start, self.start + self.length - 1)
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The `length` bytes of `stream` from `start` on. A stream that ends too early ends in an error.
pub(super) fn slice(
    stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    start: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let state = (Box::pin(stream), start, length);
    futures::stream::unfold(state, |(mut stream, mut skip, mut left)| async move {
        while left > 0 {
            let mut chunk = match stream.next().await {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Some((Err(error), (stream, 0, 0))),
                None => return Some((Err(io::ErrorKind::UnexpectedEof.into()), (stream, 0, 0))),
            };
            let skipped = chunk.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= skipped as u64;
            let mut chunk = chunk.split_off(skipped);
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Some((Ok(chunk), (stream, skip, left)));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_taken_and_everything_else_is_ignored() {
        let part = |start, length| Ok(Some(Part { start, length }));
        for (range, expected) in [
            ("bytes=0-9", part(0, 10)),
            ("bytes=5-5", part(5, 1)),
            ("bytes=90-1000", part(90, 10)),
            ("bytes=50-", part(50, 50)),
            ("bytes=-1", part(99, 1)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=100-", Err(Unsatisfiable)),
            ("bytes=-0", Err(Unsatisfiable)),
            ("bytes=9-5", Ok(None)),
            ("bytes=a-b", Ok(None)),
            ("bytes=-", Ok(None)),
            ("bytes=+1-2", Ok(None)),
            ("lines=1-2", Ok(None)),
        ] {
            assert_eq!(Part::parse(range, 100), expected, "{range}");
        }
        assert_eq!(Part::parse("bytes=0-", 0), Err(Unsatisfiable));
    }

    #[tokio::test]
    async fn a_slice_is_the_same_however_the_stream_is_cut() {
        let bytes: Vec<u8> = (0..100).collect();
        for size in [1, 3, 7, 50, 100] {
            let chunks: Vec<_> = bytes
                .chunks(size)
                .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
                .collect();
            let parts: Vec<_> = slice(futures::stream::iter(chunks), 13, 40).collect().await;
            let got: Vec<u8> = parts.into_iter().flat_map(Result::unwrap).collect();
            assert_eq!(got, bytes[13..53], "{size}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_an_error() {
        let short = futures::stream::iter([Ok(Bytes::from_static(b"abc"))]);
        let parts: Vec<_> = slice(short, 1, 10).collect().await;
        assert_eq!(parts[0].as_ref().unwrap(), "bc");
        assert_eq!(
            parts[1].as_ref().unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(parts.len(), 2);
    }
}
