//! Who asked, and how an answer ends.

use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use tokio::{net::unix::OwnedWriteHalf, time::timeout};

use crate::{
    frame::{FrameError, write_frame},
    local::request::{CHUNK, LocalReply},
};

/// How long a caller may leave an answer unread: long enough for a pager, not for ever.
const UNREAD: Duration = Duration::from_secs(900);
/// How long the last word may take.
const LAST: Duration = Duration::from_secs(5);
/// Most items in one frame; longer answers come in several.
pub(super) const ITEMS: usize = 200;
/// Most characters of a text that comes in a list, so that [`ITEMS`] of them fit a frame.
const TEXT: usize = 500;

/// Why an answer ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The caller should hear this.
    Failed(String),
    /// Nobody listens any more.
    Gone,
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<&str> for End {
    fn from(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}

/// Where answers go.
#[derive(Debug)]
pub(super) struct Caller {
    writer: OwnedWriteHalf,
}

impl Caller {
    pub(super) fn new(writer: OwnedWriteHalf) -> Self {
        Self { writer }
    }

    /// Says one thing.
    pub(super) async fn say(&mut self, reply: LocalReply) -> Result<(), End> {
        match timeout(UNREAD, write_frame(&mut self.writer, &reply)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(FrameError::Codec(_))) => {
                Err("the answer is longer than a message may be: ask for less".into())
            }
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// It is done; `text` is for people.
    pub(super) async fn done(&mut self, text: impl Into<String>) -> Result<(), End> {
        self.say(LocalReply::Done(text.into())).await
    }

    /// Says a list in as many frames as it needs, and that this was all.
    pub(super) async fn list<T>(
        &mut self,
        items: Vec<T>,
        reply: impl Fn(Vec<T>) -> LocalReply,
    ) -> Result<(), End> {
        for part in parts(items) {
            self.say(reply(part)).await?;
        }
        self.done("").await
    }

    /// Passes bytes on.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) -> Result<(), End> {
        for piece in bytes.chunks(CHUNK) {
            self.say(LocalReply::Bytes(piece.to_vec())).await?;
        }
        Ok(())
    }

    /// Passes a log on until it ends; gives the number of bytes, and whether it ended by itself.
    pub(super) async fn log(&mut self, mut log: Log) -> Result<(u64, bool), End> {
        let mut passed = 0;
        while let Some(piece) = log.next().await {
            let Ok(piece) = piece else {
                return Ok((passed, false));
            };
            passed += piece.len() as u64;
            self.bytes(&piece).await?;
        }
        Ok((passed, true))
    }

    /// The last word of an answer that failed.
    pub(super) async fn fail(&mut self, reason: String) {
        let reply = LocalReply::Failed(reason);
        // Where it cannot be said, nobody is left to be told.
        let _ = timeout(LAST, write_frame(&mut self.writer, &reply)).await;
    }
}

/// The bytes of a log as they come.
pub(super) type Log = BoxStream<'static, std::io::Result<bytes::Bytes>>;

/// Splits a list so that each part fits a frame; an empty list has one empty part.
pub(super) fn parts<T>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut items = items.into_iter();
    let mut parts = vec![items.by_ref().take(ITEMS).collect::<Vec<T>>()];
    loop {
        let part: Vec<T> = items.by_ref().take(ITEMS).collect();
        if part.is_empty() {
            return parts;
        }
        parts.push(part);
    }
}

/// A text short enough for a list.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_comes_whole_in_parts_and_an_empty_one_still_answers() {
        let all: Vec<usize> = (0..2 * ITEMS + 1).collect();
        let split = parts(all.clone());
        assert_eq!(split.iter().map(Vec::len).collect::<Vec<_>>(), [ITEMS, ITEMS, 1]);
        assert_eq!(split.concat(), all);
        assert_eq!(parts(Vec::<usize>::new()), [Vec::<usize>::new()]);
    }
}
