//! Who is there: a thin driver around `protocol::membership`, and the only crate that knows libp2p.
//!
//! libp2p talks to admitted members only. A stranger that multicast DNS shows is reported, so that the owner meets it over
//! its own transport first, where credentials pass.

mod actor;
pub mod clock;
mod config;
mod error;
mod event;
mod handle;
mod sightings;
mod swarm;
mod translate;
mod wire;

use std::{io, sync::Arc};

use pacmesh_protocol::membership::{Membership, NodeRecord};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
};

use actor::{Actor, Outlets};
pub use config::Config;
pub use error::DiscoveryError;
pub use event::Event;
pub use handle::DiscoveryHandle;
use handle::Request;

/// Most requests that wait for the actor: callers of the handle wait for room.
const REQUEST_QUEUE: usize = 64;
/// Most events that wait for the owner: two for each member of the largest mesh.
pub const EVENT_QUEUE: usize = 512;

/// Discovery: see [`Discovery::start`].
#[derive(Debug)]
pub struct Discovery;

impl Discovery {
    /// Binds, starts the thread, and returns once discovery listens. `own` is the record that is announced first; its
    /// incarnation must be the synced one of this start.
    ///
    /// The swarm has a thread and a runtime of its own, so that no build, hash or database on the runtime of the caller
    /// delays an acknowledgement. The thread ends, and is joined, with [`DiscoveryHandle::goodbye`] or the last handle.
    pub async fn start(
        config: Config,
        own: NodeRecord,
    ) -> Result<(DiscoveryHandle, mpsc::Receiver<Event>), DiscoveryError> {
        let (requests, inbox) = mpsc::channel(REQUEST_QUEUE);
        let (events, outbox) = mpsc::channel(EVENT_QUEUE);
        let (ready, started) = oneshot::channel();
        let machine = Membership::new(clock::now(), own, rand::random());
        let (table, tables) = watch::channel(Arc::new(machine.table()));
        let outlets = Outlets { events, table };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DiscoveryError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("discovery".into())
            .spawn(move || runtime.block_on(live(config, machine, outlets, inbox, ready)))
            .map_err(DiscoveryError::Thread)?;
        let handle = DiscoveryHandle::new(requests, tables, thread);
        match started.await {
            Ok(Ok(())) => Ok((handle, outbox)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(DiscoveryError::Thread(io::Error::other(
                "it ended before it was ready",
            ))),
        }
    }
}

/// The life of the thread. A caller that gave up waiting has dropped its handle, which ends the loop at once.
async fn live(
    config: Config,
    machine: Membership,
    outlets: Outlets,
    inbox: mpsc::Receiver<Request>,
    ready: oneshot::Sender<Result<(), DiscoveryError>>,
) {
    match Actor::new(config, machine, outlets) {
        Ok(actor) => {
            let _ = ready.send(Ok(()));
            actor.run(inbox).await;
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}
