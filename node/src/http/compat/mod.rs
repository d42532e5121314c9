//! The ahriman shim: a node stands in for an ahriman master (the models and rules are in [`crate::compat`]).
//!
//! Reads come from the view of the ledger, which every node has; changes are carried to the master. What clients of
//! ahriman say, and nobody else knows, are documents of the ledger. Log lines, processes and registered workers live on
//! the node that was told of them.

mod actions;
mod answer;
mod call;
mod changes;
mod dependencies;
mod dispatch;
mod distributed;
mod docs;
mod events;
mod finish;
mod incoming;
mod info;
mod journal;
mod login;
mod logs;
mod metrics;
mod multipart;
mod notes;
mod packages;
mod pages;
mod patches;
mod process;
mod properties;
mod routes;
mod sessions;
mod shelf;
mod status;
mod stream;
mod teller;
mod update;
mod upload;

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit};
use tokio::{
    net::{TcpListener, UnixListener, UnixSocket},
    sync::watch,
};

use self::{
    incoming::Incoming, journal::Journal, login::LoginDesk, metrics::Meters, process::Processes,
    shelf::Shelves, teller::Teller,
};
use super::listener::{self, Bounds, Entrance};
use crate::{compat::worker::Registry, rooms::Rooms, users::Users};

/// What the API's listener may spend. Sessions of workers are idle between two stages of a build.
const BOUNDS: Bounds = Bounds {
    connections: 512,
    head: Duration::from_secs(75),
    stall: Duration::from_secs(60),
    grace: Duration::from_secs(3),
};
/// Connections that may wait for their turn at the socket.
const BACKLOG: u32 = 256;

/// All that the shim holds besides the rooms.
#[derive(Debug)]
pub struct Door {
    rooms: Arc<Rooms>,
    users: Users,
    logins: LoginDesk,
    shelves: Shelves,
    incoming: Incoming,
    processes: Processes,
    journal: Journal,
    teller: Teller,
    meters: Meters,
    /// Held for look-ups only, never over an await.
    registry: Mutex<Registry>,
}

impl Door {
    /// Opens the shim, with what was uploaded and not published before.
    pub async fn open(rooms: Arc<Rooms>) -> Arc<Self> {
        let state = rooms.config.home.state().to_owned();
        Arc::new(Self {
            incoming: Incoming::open(&rooms, state.join("incoming")).await,
            journal: Journal::open(state.join("logs")),
            users: Users::default(),
            logins: LoginDesk::new(),
            shelves: Shelves::default(),
            processes: Processes::default(),
            teller: Teller::default(),
            meters: Meters::default(),
            registry: Mutex::default(),
            rooms,
        })
    }

    /// Serves at `entrances` until `stop` says so; every process of the shim ends with it.
    pub async fn run(self: Arc<Self>, entrances: Vec<Entrance>, stop: watch::Receiver<bool>) {
        let telling = tokio::spawn(teller::follow(self.clone(), stop.clone()));
        let writing = tokio::spawn(journal::write(self.clone(), stop.clone()));
        let serving = entrances.into_iter().map(|entrance| {
            let (app, mut stop) = (router(self.clone()), stop.clone());
            async move {
                let ended = async move {
                    let _ = stop.wait_for(|stop| *stop).await;
                };
                if let Err(error) = listener::serve(entrance, app, BOUNDS, ended).await {
                    tracing::error!(%error, "a listener of the API ended");
                }
            }
        });
        futures::future::join_all(serving).await;
        self.processes.end().await;
        for task in [telling, writing] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the API ended badly");
            }
        }
    }
}

fn router(door: Arc<Door>) -> Router {
    // Every body is bounded by whoever reads it.
    Router::new()
        .fallback(move |request| dispatch::serve(door.clone(), request))
        .layer(DefaultBodyLimit::disable())
}

/// Opens the listeners of the API.
///
/// # Errors
///
/// Fails where the system refuses one.
pub async fn listen(config: &crate::config::Config) -> io::Result<Vec<Entrance>> {
    let mut entrances = vec![Entrance::Tcp(TcpListener::bind(config.http_api).await?)];
    if let Some(path) = &config.http_socket {
        let mode = if config.http_socket_open { 0o666 } else { 0o660 };
        entrances.push(Entrance::Unix(listen_locally(path, mode)?));
    }
    Ok(entrances)
}

/// The mode is set before anybody can connect.
fn listen_locally(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)
}
