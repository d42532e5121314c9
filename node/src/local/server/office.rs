//! What the server serves from: before `init` or `join` there are no rooms.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::ids::Incarnation;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use super::{caller::End, parcels::Parcels};
use crate::{config::Config, membership::Standing, rooms::Rooms};

/// How long the mesh part may take to start.
const START: Duration = Duration::from_secs(10);
/// How long it may take to stop: the grace of a planned stop, and a little (FORMATS, "Numbers").
const STOP: Duration = Duration::from_secs(40);

/// What the composition root is told.
#[derive(Debug)]
pub enum OfficeCommand {
    /// The node belongs to a mesh now: start what belongs to it.
    Entered,
    /// Another holder of its key lives in a greater life: stop, and stay stopped.
    Usurped {
        /// The other's life.
        incarnation: Incarnation,
    },
    /// A greater life of its own is over, as after a restore: begin one above it.
    Outlived {
        /// The life to be left behind.
        incarnation: Incarnation,
    },
    /// It left: say goodbye, stop the mesh part, and forget the membership.
    Left {
        /// Told when that is done.
        done: oneshot::Sender<()>,
    },
}

/// The way from the local socket to everything else.
#[derive(Debug, Clone)]
pub struct Office {
    /// How the node was configured.
    pub config: Arc<Config>,
    rooms: watch::Receiver<Option<Arc<Rooms>>>,
    trouble: watch::Receiver<Option<String>>,
    commands: mpsc::Sender<OfficeCommand>,
    /// One `init` or `join` at a time.
    pub(super) entering: Arc<Semaphore>,
    pub(super) parcels: Arc<Parcels>,
}

impl Office {
    /// An office; `rooms` shows the rooms while the node belongs to a mesh, `trouble` why it has none although it does.
    pub fn new(
        config: Arc<Config>,
        rooms: watch::Receiver<Option<Arc<Rooms>>>,
        trouble: watch::Receiver<Option<String>>,
        commands: mpsc::Sender<OfficeCommand>,
    ) -> Self {
        let entering = Arc::new(Semaphore::new(1));
        Self {
            config,
            rooms,
            trouble,
            commands,
            entering,
            parcels: Arc::default(),
        }
    }

    /// The rooms, or what to do to have some.
    pub(super) async fn rooms(&self) -> Result<Arc<Rooms>, End> {
        self.rooms_soon().await.ok_or_else(|| {
            self.trouble().unwrap_or_else(|| {
                "this node belongs to no mesh yet: type 'pacmesh init' to found one, or 'pacmesh join' to enter one".to_owned()
            }).into()
        })
    }

    /// The rooms, if the node belongs to a mesh. One that was started just now opens them first: whoever asks meanwhile, as
    /// a command that waited while the node was restarted, must not be told that it belongs to none.
    pub(super) async fn rooms_soon(&self) -> Option<Arc<Rooms>> {
        let mut rooms = self.rooms.clone();
        if rooms.borrow().is_none() && self.trouble.borrow().is_none() && self.is_seated() {
            // Whether or not they came in time, what follows is said by the usual way.
            let _ = timeout(START, rooms.wait_for(Option::is_some)).await;
        }
        let rooms = rooms.borrow();
        rooms.clone()
    }

    /// Why a node that belongs to a mesh does nothing, in a sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.trouble.borrow() {
            Some(reason) => Some(format!(
                "this node stands still and goes on by itself once its disk can be written: {reason}"
            )),
            None => self
                .is_seated()
                .then(|| "this node is about to start, or to stop: ask again in a moment".to_owned()),
        }
    }

    /// Whether this node belongs to a mesh, its rooms open or not.
    fn is_seated(&self) -> bool {
        matches!(Standing::load(&self.config.home), Ok(Some(_)))
    }

    /// Has the mesh part started; whether it was there in time.
    pub(super) async fn entered(&self) -> bool {
        if self.commands.send(OfficeCommand::Entered).await.is_err() {
            return false;
        }
        let mut rooms = self.rooms.clone();
        let started = timeout(START, rooms.wait_for(Option::is_some)).await;
        matches!(started, Ok(Ok(_)))
    }

    /// Has the mesh part stopped and the membership forgotten; whether it was so in time.
    pub(super) async fn left(&self) -> bool {
        let (done, wait) = oneshot::channel();
        if self.commands.send(OfficeCommand::Left { done }).await.is_err() {
            return false;
        }
        matches!(timeout(STOP, wait).await, Ok(Ok(())))
    }
}
