//! What this node answers to other members: each request goes to the room that owns its subject.

use std::{io, sync::Arc, sync::OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use pacmesh_protocol::{
    ids::{Digest, JobId, NodeId},
    roles::Role,
    wire::{HASH_BATCH, Reply, Request},
};

use crate::{clock, error::chain, ledger, master, rooms::Rooms, sources, transport::Service};

/// What a log brings.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// The service of a node; it is made before the rooms that it leads to, and answers nothing until they are there.
#[derive(Debug, Clone, Default)]
pub struct Receptionist {
    rooms: Arc<OnceLock<Arc<Rooms>>>,
}

impl Receptionist {
    /// Opens the rooms.
    pub fn open(&self, rooms: Arc<Rooms>) {
        // Opening twice would be a mistake of the composition and changes nothing.
        let _ = self.rooms.set(rooms);
    }

    /// The rooms, once they are open.
    pub fn rooms(&self) -> Option<&Arc<Rooms>> {
        self.rooms.get()
    }
}

#[async_trait]
impl Service for Receptionist {
    async fn request(&self, peer: NodeId, request: Request) -> Reply {
        match self.rooms.get() {
            Some(rooms) => answer(rooms, peer, request).await,
            None => refused("this node is starting"),
        }
    }

    async fn log(&self, _peer: NodeId, job: JobId, offset: u64, follow: bool) -> Result<LogStream, String> {
        let rooms = self.rooms.get().ok_or("this node is starting")?;
        rooms.worker.log(rooms, job, offset, follow).await
    }

    async fn log_beyond(
        &self,
        _peer: NodeId,
        worker: NodeId,
        (job, offset, follow): (JobId, u64, bool),
    ) -> Result<LogStream, String> {
        let rooms = self.rooms.get().ok_or("this node is starting")?;
        if worker == rooms.node {
            return rooms.worker.log(rooms, job, offset, follow).await;
        }
        let log = rooms.transport.open_log(worker, job, offset, follow).await;
        log.map_err(|error| chain(&error))
    }

    async fn may_have(&self, peer: NodeId, blob: Digest) -> bool {
        match self.rooms.get() {
            Some(rooms) => sources::may_have(rooms, peer, blob).await,
            None => false,
        }
    }
}

fn refused(reason: impl Into<String>) -> Reply {
    Reply::Refused {
        reason: reason.into(),
    }
}

/// Answers a request of `peer`, an admitted member or this node itself.
pub async fn answer(rooms: &Arc<Rooms>, peer: NodeId, request: Request) -> Reply {
    if let Some(reply) = ledger::answer(&rooms.ledger, &request).await {
        return reply;
    }
    match request {
        Request::Claim { .. }
        | Request::Reign { .. }
        | Request::Abdicate { .. }
        | Request::Carry { .. }
        | Request::Knock { .. }
        | Request::Prepared { .. }
        | Request::Report { .. }
        | Request::Copies
        | Request::CopySole
        | Request::JobStates { .. } => to_master(rooms, peer, request).await,
        Request::Relay { errand } => master::run_errand(rooms, errand).await,
        Request::Probe { .. }
        | Request::Order { .. }
        | Request::Cancel { .. }
        | Request::Adopt { .. }
        | Request::Inventory { .. } => to_worker(rooms, peer, request).await,
        Request::Clock => Reply::Clock {
            wall_ms: clock::wall_ms(),
        },
        Request::Have { blobs } => have(rooms, blobs).await,
        Request::Keep { blobs, from } => keep(rooms, peer, blobs, from).await,
        _ => refused("this request is not answered here"),
    }
}

async fn to_master(rooms: &Arc<Rooms>, peer: NodeId, request: Request) -> Reply {
    let master = &rooms.master;
    match request {
        Request::Claim { claim } => match master.claim(peer, claim).await {
            Some(ballot) => Reply::Ballot(Box::new(ballot)),
            None => refused("this node is stopping"),
        },
        Request::Reign { document } => {
            master.document(peer, document).await;
            Reply::Done
        }
        Request::Abdicate { reign } => {
            master.abdicated(peer, reign).await;
            Reply::Done
        }
        Request::Carry { carried, relayed } => {
            let leads_elsewhere = master
                .leadership()
                .master()
                .is_some_and(|node| node != rooms.node);
            Reply::Carried(if leads_elsewhere && !relayed && peer != rooms.node {
                master::bring_change(rooms, peer, carried).await
            } else {
                master.carry(peer, carried).await
            })
        }
        Request::Knock { knock } => Reply::Knock(master.knock_here(*knock).await),
        Request::Prepared { job, fence, version } => master.prepared(peer, job, fence, version).await,
        Request::Report { report } => master.report(peer, *report).await,
        Request::JobStates { jobs } => match master.job_states(jobs).await {
            Some(states) => Reply::JobStates(states),
            None => refused("this node does not lead"),
        },
        Request::Copies => match master.copies().await {
            Some(state) => Reply::Copies(state),
            None => refused("this node does not lead"),
        },
        Request::CopySole => match master.copy_sole(peer).await {
            Some(mut blobs) => {
                blobs.truncate(HASH_BATCH);
                Reply::Blobs { blobs }
            }
            None => refused("this node does not lead"),
        },
        _ => refused("this request is not the master's"),
    }
}

/// Orders count from the reign that this node follows, and only from its master (invariant 1). What is cancelled may be
/// an order of a reign before, which nobody else could end any more.
async fn to_worker(rooms: &Arc<Rooms>, peer: NodeId, request: Request) -> Reply {
    let followed = rooms.master.leadership().role.reign();
    let counts = match &request {
        Request::Probe { reign, .. } | Request::Inventory { reign } => Some(*reign) == followed,
        Request::Order { order } => Some(order.fence.reign) == followed,
        Request::Adopt { new, .. } => Some(new.reign) == followed,
        Request::Cancel { fence, .. } => followed.is_some_and(|followed| fence.reign <= followed),
        _ => return refused("this request is not the worker's"),
    };
    if !counts || followed.is_none_or(|followed| followed.node != peer) {
        return refused("an order of a reign that this node does not follow: its document must come first");
    }
    rooms.worker.ask(rooms, peer, request).await
}

async fn have(rooms: &Rooms, blobs: Vec<Digest>) -> Reply {
    if blobs.len() > HASH_BATCH {
        return refused("too many blobs in one question");
    }
    match rooms.blobs.have(blobs).await {
        Ok(blobs) => Reply::Blobs { blobs },
        Err(error) => refused(error.to_string()),
    }
}

async fn keep(rooms: &Rooms, peer: NodeId, blobs: Vec<Digest>, mut from: Vec<NodeId>) -> Reply {
    if peer != rooms.node && rooms.master.leadership().master() != Some(peer) {
        return refused("only the master says what is kept");
    }
    if blobs.len() > HASH_BATCH {
        return refused("too many blobs in one request");
    }
    if !rooms.ledger.view().has_role(&rooms.node, Role::Storage) {
        return refused("this node keeps nothing: it has not the role storage");
    }
    from.insert(0, peer);
    Reply::Blobs {
        blobs: rooms.obtain(&blobs, &from).await,
    }
}
