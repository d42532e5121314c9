//! The command line's side of the local socket.

use std::{io, path::PathBuf, time::Duration};

use pacmesh_protocol::wire::FRAME_LIMIT;
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    time::{Instant, sleep},
};

use super::request::{CHUNK, LocalChunk, LocalReply, LocalRequest};
use crate::{
    frame::{FrameError, expect_frame, write_frame},
    home::Home,
};

/// Between two looks for a node that went away.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node listens there.
    #[error("no node answers at {socket}: start one with 'pacmesh daemon', or pass its --home")]
    NoNode {
        /// Where it should.
        socket: PathBuf,
    },
    /// The socket is there, but not for this user.
    #[error("{socket} is not for this user: join the group 'pacmesh', or become root")]
    Denied {
        /// Where.
        socket: PathBuf,
    },
    /// It went away in the middle.
    #[error("the node stopped answering: see its log, and ask again")]
    Broken(#[from] FrameError),
    /// What was to be sent could not be read.
    #[error("cannot read what was to be sent")]
    Read(#[from] io::Error),
    /// It answered something else.
    #[error("the node answered something unexpected: is it another version of pacmesh?")]
    Unexpected,
}

/// One request to a node and its answers.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the node of `home` and asks.
    pub async fn ask(home: &Home, request: &LocalRequest) -> Result<Self, ClientError> {
        let socket = home.socket();
        let mut stream = UnixStream::connect(&socket)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => ClientError::Denied {
                    socket: socket.clone(),
                },
                _ => ClientError::NoNode {
                    socket: socket.clone(),
                },
            })?;
        write_frame(&mut stream, request).await?;
        Ok(Self { stream })
    }

    /// Connects to the next life of a node that went away, and asks; waits for it at most `patience`.
    pub async fn ask_again(
        home: &Home,
        request: &LocalRequest,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let end = Instant::now() + patience;
        loop {
            match Self::ask(home, request).await {
                Err(ClientError::NoNode { .. } | ClientError::Broken(_)) if Instant::now() < end => {
                    sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    }

    /// Whether a node of `home` listens.
    pub async fn is_running(home: &Home) -> bool {
        UnixStream::connect(home.socket()).await.is_ok()
    }

    /// Sends what a request announced.
    pub async fn send(&mut self, mut bytes: impl tokio::io::AsyncRead + Unpin) -> Result<(), ClientError> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match bytes.read(&mut buffer).await? {
                0 => break,
                n => write_frame(&mut self.stream, &LocalChunk::Bytes(buffer[..n].to_vec())).await?,
            }
        }
        Ok(write_frame(&mut self.stream, &LocalChunk::End).await?)
    }

    /// The next answer.
    pub async fn next(&mut self) -> Result<LocalReply, ClientError> {
        Ok(expect_frame(&mut self.stream, FRAME_LIMIT).await?)
    }
}
