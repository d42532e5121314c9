//! The node's side of the local socket: one task per connection, one request per connection.
//!
//! Whoever may open the socket has the rights of the node, so nothing is asked here; but every wait is bounded or ends
//! with the caller, and no path that a caller names is opened.

mod backup;
mod build;
mod caller;
mod check;
mod entry;
mod events;
mod healing;
mod jobs;
mod keys;
mod logs;
mod mesh;
mod nodes;
mod office;
mod pacman;
mod parcels;
mod past;
mod status;
mod users;
mod verdicts;
mod why;

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use pacmesh_protocol::wire::FRAME_LIMIT;
use tokio::{
    io::AsyncReadExt,
    net::{
        UnixListener, UnixSocket, UnixStream,
        unix::{OwnedReadHalf, SocketAddr},
    },
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use self::caller::{Caller, End};
pub use self::office::{Office, OfficeCommand};
use super::request::LocalRequest;
use crate::{error::chain, frame::read_frame, home::Home, rooms::Rooms};

/// Connections at once; others wait in the socket's queue.
const CONNECTIONS: usize = 64;
/// Connections that may wait for their turn.
const BACKLOG: u32 = 256;
/// The socket is for its owner and its group (DESIGN, "The HTTP side").
const MODE: u32 = 0o660;
/// How long a caller may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Why the local socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Somebody answers there.
    #[error("another pacmesh answers at {path}: stop it, or pass another --home")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot listen at {path}: make its folder writable, or pass a --home with a shorter path")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The socket in the file system, gone with its owner.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the local socket was gone already");
        }
    }
}

/// The local socket.
#[derive(Debug)]
pub struct LocalServer {
    listener: UnixListener,
    _file: SocketFile,
}

impl LocalServer {
    /// Opens the socket of `home`. A stale one is replaced only if nobody answers there.
    pub async fn bind(home: &Home) -> Result<Self, LocalError> {
        let path = home.socket();
        clear_stale(&path).await?;
        let listener = listen(&path).map_err(|source| LocalError::Socket {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            listener,
            _file: SocketFile(path),
        })
    }

    /// Serves until `stop` says so; what is under way then is cut off.
    pub async fn run(self, office: Office, mut stop: watch::Receiver<bool>) {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let mut tasks = JoinSet::new();
        loop {
            while let Some(ended) = tasks.try_join_next() {
                log_panic(ended);
            }
            let next = async {
                let seat = seats.clone().acquire_owned().await;
                (seat, self.listener.accept().await)
            };
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = next => accepted,
            };
            match accepted {
                (Ok(seat), Ok((stream, _))) => {
                    let office = office.clone();
                    tasks.spawn(async move {
                        serve(&office, stream).await;
                        drop(seat);
                    });
                }
                (_, outcome) => pause_after(outcome).await,
            }
        }
        tasks.shutdown().await;
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an answer to a local command ended badly");
    }
}

/// Out of descriptors, most likely; it passes.
async fn pause_after(outcome: io::Result<(UnixStream, SocketAddr)>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "a local connection was not accepted");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn clear_stale(path: &Path) -> Result<(), LocalError> {
    let failed = |source| LocalError::Socket {
        path: path.to_owned(),
        source,
    };
    match UnixStream::connect(path).await {
        Ok(_) => Err(LocalError::Busy {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The mode is set before anybody can connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)
}

/// One connection, to its end.
async fn serve(office: &Office, stream: UnixStream) {
    let (mut reader, writer) = stream.into_split();
    let mut caller = Caller::new(writer);
    let outcome = match timeout(REQUEST_WAIT, read_frame::<LocalRequest>(&mut reader, FRAME_LIMIT)).await {
        Ok(Ok(Some(request))) => attend(office, &mut reader, &mut caller, request).await,
        // Somebody only looked whether a node is here.
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => Err(End::Failed(format!(
            "the request cannot be read: {}: is 'pacmesh' of the same version as its daemon?",
            chain(&error)
        ))),
        Err(_) => Err(End::Failed("no request came in time: ask again".to_owned())),
    };
    if let Err(End::Failed(reason)) = outcome {
        caller.fail(reason).await;
    }
}

/// Answers; what goes on for long ends when the caller goes away, what changes something is done to its end.
async fn attend(
    office: &Office,
    reader: &mut OwnedReadHalf,
    caller: &mut Caller,
    request: LocalRequest,
) -> Result<(), End> {
    let request = match request {
        LocalRequest::Store => return jobs::store(office, &office.rooms().await?, reader, caller).await,
        LocalRequest::Restore { passphrase } => {
            return backup::restore(office, reader, caller, passphrase).await;
        }
        request => request,
    };
    if !lasts(&request) {
        return answer(office, caller, request).await;
    }
    tokio::select! {
        outcome = answer(office, caller, request) => outcome,
        () = gone(reader) => Err(End::Gone),
    }
}

/// Whether the answer goes on for long.
fn lasts(request: &LocalRequest) -> bool {
    matches!(
        request,
        LocalRequest::Build { .. }
            | LocalRequest::Rebuild { .. }
            | LocalRequest::Logs { .. }
            | LocalRequest::CheckRepository
            | LocalRequest::ResumeBuild { .. }
            | LocalRequest::ResumeLogs { .. }
    )
}

/// Nothing more is expected from a caller: whatever comes is the end.
async fn gone(reader: &mut OwnedReadHalf) {
    let mut byte = [0];
    // An error is an end as well.
    let _ = reader.read(&mut byte).await;
}

async fn answer(office: &Office, caller: &mut Caller, request: LocalRequest) -> Result<(), End> {
    match request {
        LocalRequest::Init { name, repository } => entry::init(office, caller, name, repository).await,
        LocalRequest::Join { token } => entry::join(office, caller, &token).await,
        LocalRequest::Status => status::status(office, caller).await,
        request => {
            let rooms = office.rooms().await?;
            // Erased, or the compiler cannot see that such a task may be sent to another thread.
            let answer: BoxFuture<'_, _> = Box::pin(in_mesh(office, &rooms, caller, request));
            answer.await
        }
    }
}

/// What needs a mesh.
async fn in_mesh(
    office: &Office,
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    request: LocalRequest,
) -> Result<(), End> {
    match request {
        LocalRequest::Invite {
            roles,
            expires,
            uses,
            authority,
        } => mesh::invite(rooms, caller, roles, expires, uses, authority).await,
        LocalRequest::Leave => mesh::leave(office, rooms, caller).await,
        LocalRequest::Lead { node } => mesh::lead(rooms, caller, &node).await,
        LocalRequest::Node { node, action } => mesh::node(rooms, caller, &node, action).await,
        LocalRequest::GetSetting { name } => mesh::get_setting(rooms, caller, &name).await,
        LocalRequest::SetSetting { name, value } => mesh::set_setting(rooms, caller, name, value).await,
        LocalRequest::Nodes => nodes::nodes(rooms, caller).await,
        LocalRequest::Jobs { all, failed } => jobs::jobs(rooms, caller, all, failed).await,
        LocalRequest::Packages => jobs::packages(rooms, caller).await,
        LocalRequest::Why { job } => why::why(rooms, caller, &job).await,
        LocalRequest::Cancel { job } => jobs::cancel(rooms, caller, &job).await,
        LocalRequest::Retry { job } => jobs::retry(rooms, caller, &job).await,
        LocalRequest::Remove { names } => jobs::remove(rooms, caller, names).await,
        LocalRequest::Hold { bases, hold } => jobs::hold(rooms, caller, bases, hold).await,
        LocalRequest::Logs { job, follow } => logs::logs(rooms, caller, &job, follow).await,
        LocalRequest::Keys => keys::list(rooms, caller).await,
        LocalRequest::ExportKeys => keys::export(rooms, caller).await,
        LocalRequest::TrustKey { certificate } => keys::trust(rooms, caller, &certificate).await,
        LocalRequest::DistrustKey { fingerprint } => keys::distrust(rooms, caller, &fingerprint).await,
        LocalRequest::CheckRepository => check::check(rooms, caller).await,
        LocalRequest::Backup { passphrase } => backup::back_up(rooms, caller, passphrase).await,
        LocalRequest::BackupKept => backup::kept(rooms, caller).await,
        LocalRequest::SetupPacman => pacman::setup(rooms, caller).await,
        LocalRequest::Build { .. } | LocalRequest::Rebuild { .. } | LocalRequest::ResumeBuild { .. } => {
            build::build(office, rooms, caller, request).await
        }
        LocalRequest::ResumeLogs { log } => logs::resume(rooms, caller, log).await,
        LocalRequest::AddUser {
            name,
            access,
            password,
        } => users::add(rooms, caller, name, access, password).await,
        LocalRequest::RemoveUser { name } => users::remove(rooms, caller, &name).await,
        LocalRequest::Users => users::list(rooms, caller).await,
        LocalRequest::Init { .. }
        | LocalRequest::Join { .. }
        | LocalRequest::Status
        | LocalRequest::Restore { .. }
        | LocalRequest::Store => {
            unreachable!("answered before")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let first = LocalServer::bind(&home).await.unwrap();
        let mode = std::fs::metadata(home.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(matches!(
            LocalServer::bind(&home).await,
            Err(LocalError::Busy { .. })
        ));
        drop(first);
        assert!(!home.socket().exists());
        // What a kill -9 leaves behind.
        drop(std::os::unix::net::UnixListener::bind(home.socket()).unwrap());
        LocalServer::bind(&home).await.unwrap();
    }
}
