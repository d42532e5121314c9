//! One admitted connection: its two sides, who dialled it, and the requests that are on their way over it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pacmesh_protocol::{
    ids::{Incarnation, NodeId},
    wire::{FRAME_LIMIT, Reply},
};
use quinn::{Connection, RecvStream, VarInt};
use tokio::{io::AsyncWriteExt, sync::Semaphore, time::timeout};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::error::{CloseCode, RequestError, close, last_words};
use crate::frame::{FrameError, expect_frame};

/// Most requests of one peer that are answered at once, and most that it may have sent.
pub(crate) const REQUESTS: u32 = 64;
/// Most blob streams to one peer (FORMATS, "Numbers").
pub(crate) const BLOBS_PER_PEER: usize = 8;
/// Most logs that one peer follows; the rest of its requests must find room.
const LOGS_PER_PEER: usize = 16;
/// Unread bytes that one admitted peer may have in flight.
const WINDOW: u32 = 16 << 20;
/// How long a connection that lost to another one still takes requests: the other side may not know yet.
const LINGER: Duration = Duration::from_millis(500);
/// How long the requests on such a connection may take to end.
const DRAIN: Duration = Duration::from_secs(10);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// One admitted connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Tells two connections of one pair apart.
    pub(crate) id: u64,
    pub(crate) connection: Connection,
    pub(crate) peer: NodeId,
    /// Whether this node dialled.
    pub(crate) dialled: bool,
    /// The life that the peer showed.
    pub(crate) incarnation: Incarnation,
    /// Every request in either direction holds a token.
    pub(crate) work: TaskTracker,
    pub(crate) blobs: Arc<Semaphore>,
    pub(crate) logs: Arc<Semaphore>,
}

/// A stream on which a request was sent and the answer is awaited.
pub(crate) struct Answer {
    pub(crate) stream: RecvStream,
    _work: TaskTrackerToken,
}

impl Link {
    /// Wraps a connection whose greeting succeeded, and widens what the peer may do.
    pub(crate) fn new(connection: Connection, peer: NodeId, dialled: bool, incarnation: Incarnation) -> Self {
        connection.set_max_concurrent_bi_streams(REQUESTS.into());
        connection.set_receive_window(VarInt::from_u32(WINDOW));
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            connection,
            peer,
            dialled,
            incarnation,
            work: TaskTracker::new(),
            blobs: Arc::new(Semaphore::new(BLOBS_PER_PEER)),
            logs: Arc::new(Semaphore::new(LOGS_PER_PEER)),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Sends one encoded request. `Ok(None)`: the connection had ended before, nothing was sent.
    pub(crate) async fn send(&self, frame: &[u8]) -> Result<Option<Answer>, RequestError> {
        let work = self.work.token();
        let Ok((mut send, stream)) = self.connection.open_bi().await else {
            return Ok(None);
        };
        send.write_all(frame)
            .await
            .map_err(|error| self.lost(FrameError::Io(error.into())))?;
        send.shutdown()
            .await
            .map_err(|error| self.lost(FrameError::Io(error)))?;
        Ok(Some(Answer { stream, _work: work }))
    }

    /// Reads the reply to a request.
    pub(crate) async fn reply(&self, answer: &mut Answer) -> Result<Reply, RequestError> {
        expect_frame(&mut answer.stream, FRAME_LIMIT)
            .await
            .map_err(|error| self.lost(error))
    }

    /// What `error` on a stream means: the end of the connection, or else of this exchange only.
    pub(crate) fn lost(&self, error: FrameError) -> RequestError {
        match self.connection.close_reason() {
            Some(reason) => RequestError::Lost {
                node: self.peer,
                reason: last_words(&reason),
            },
            None => RequestError::Frame {
                node: self.peer,
                source: error,
            },
        }
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        close(&self.connection, code, reason);
    }

    /// Ends a connection that another one has replaced, after what is under way on it.
    pub(crate) async fn drain(&self) {
        // An early end of either wait is the connection's own end.
        let ended = timeout(LINGER, self.connection.closed()).await;
        if ended.is_err() {
            self.work.close();
            let _late = timeout(DRAIN, self.work.wait()).await;
            self.close(CloseCode::Duplicate, "another connection is kept");
        }
    }
}
