//! One hop: what a node cannot bring to the master itself is brought by a member in reach that follows the master
//! (FORMATS, "Who writes, and requests").
//!
//! Whoever brings adds nothing of its own: rights are the origin's, whose signature the master checks, and what was brought
//! once is never passed on again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use pacmesh_protocol::{
    ids::{Digest, JobId, NodeId},
    signed::Signed,
    wire::{Carried, CarriedReply, Change, Errand, FRAME_LIMIT, Reply, Request},
};

use super::{
    carry::{ANSWER, KNOCK},
    changes,
};
use crate::{error::chain, rooms::Rooms, service::LogStream};

/// How long the master may take to say what runs.
const STATES: Duration = Duration::from_secs(2);
/// How long it may take to count copies.
const COPIES: Duration = Duration::from_secs(5);
/// How much longer than the master's own time an answer through a bearer may take.
const HOP: Duration = Duration::from_millis(500);

/// Whether this node can ask `node` itself.
pub(crate) fn is_in_reach(rooms: &Rooms, node: &NodeId) -> bool {
    let table = rooms.discovery.table();
    let relayed = table.borrow().members.get(node).is_some_and(|seen| seen.relayed);
    *node == rooms.node || (!relayed && rooms.transport.connected().contains(node))
}

/// The members in reach that follow the master, and so may bring something to it.
pub(crate) fn bearers(rooms: &Rooms) -> Vec<NodeId> {
    let connected: BTreeSet<NodeId> = rooms.transport.connected().into_iter().collect();
    let table = rooms.discovery.table();
    let table = table.borrow();
    // Before its document came, the highest reign that others follow is as good a guess.
    let followed = rooms.master.leadership().role.reign();
    let Some(reign) = followed.or_else(|| table.reigns_followed().map(|(_, reign)| reign).max()) else {
        return Vec::new();
    };
    table
        .reigns_followed()
        .filter(|(node, of)| *of == reign && *node != reign.node && connected.contains(node))
        .map(|(node, _)| node)
        .collect()
}

/// Asks the master a question that anybody may ask: directly, or else through one member after the other.
pub(crate) async fn ask_master(
    rooms: &Arc<Rooms>,
    errand: Errand,
    patience: Duration,
) -> Result<Reply, String> {
    let master = rooms.master.leadership().master();
    let mut last = "no master is known here".to_owned();
    if let Some(master) = master.filter(|master| is_in_reach(rooms, master)) {
        match rooms.ask(master, errand.clone().into(), patience).await {
            Ok(reply) => return Ok(reply),
            Err(error) => last = error,
        }
    }
    for bearer in bearers(rooms) {
        let request = Request::Relay {
            errand: errand.clone(),
        };
        match rooms.ask(bearer, request, patience + HOP).await {
            Ok(Reply::Refused { reason }) => last = reason,
            Ok(reply) => return Ok(reply),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Does an errand for a neighbour: the question goes to the master, and never further.
///
/// Boxed like all that may ask this very node, or the compiler cannot see that it may be sent to another thread.
pub(crate) fn run_errand(rooms: &Arc<Rooms>, errand: Errand) -> BoxFuture<'_, Reply> {
    let patience = match &errand {
        Errand::Knock { .. } => KNOCK,
        Errand::JobStates { .. } => STATES,
        Errand::Copies => COPIES,
    };
    Box::pin(async move {
        let asked = match rooms.master.leadership().master() {
            Some(master) => rooms.ask(master, errand.into(), patience).await,
            None => Err("this node follows no master".to_owned()),
        };
        asked.unwrap_or_else(|reason| Reply::Refused { reason })
    })
}

/// Brings a neighbour's own change to the master. Trees come along: the replicas may see this node only.
pub(crate) fn bring_change(rooms: &Arc<Rooms>, from: NodeId, signed: Signed) -> BoxFuture<'_, CarriedReply> {
    Box::pin(async move {
        let refused = |reason: String| CarriedReply::Refused { reason };
        let master = rooms.master.leadership().master();
        let Ok(carried) = signed.peek::<Carried>(FRAME_LIMIT) else {
            return refused("a request that cannot be read: update pacmesh on both machines".to_owned());
        };
        let Some(leader) = master.filter(|_| carried.origin == from) else {
            return CarriedReply::NotMaster { master };
        };
        // The master judges; this keeps out what would only fill this node's disk.
        if let Err(reason) = changes::check_rights(&rooms.ledger.view(), &from, &carried.body) {
            return refused(reason);
        }
        if let Change::Submit { sources, .. } = &carried.body {
            let trees: Vec<Digest> = sources.iter().map(|source| source.tree).collect();
            if !rooms.obtain(&trees, &[from]).await.is_empty() {
                return refused(format!(
                    "{}, which brings this to the master, could not fetch the sources: is its disk full?",
                    rooms.name_of(&rooms.node)
                ));
            }
        }
        let request = Request::Carry {
            carried: signed,
            relayed: true,
        };
        tracing::info!(from = %rooms.name_of(&from), master = %rooms.name_of(&leader), "a change is brought to the master");
        match rooms.ask(leader, request, ANSWER).await {
            Ok(Reply::Carried(reply)) => reply,
            other => {
                tracing::debug!(?other, "a change that was brought had no answer");
                CarriedReply::NotMaster { master }
            }
        }
    })
}

/// Follows the log of an attempt on `worker` through a member that reaches it.
pub(crate) async fn log_beyond(
    rooms: &Arc<Rooms>,
    worker: NodeId,
    (job, offset, follow): (JobId, u64, bool),
) -> Result<LogStream, String> {
    let mut last = format!("{} is out of reach", rooms.name_of(&worker));
    for bearer in bearers(rooms).into_iter().filter(|bearer| *bearer != worker) {
        match rooms
            .transport
            .open_log_beyond(bearer, worker, job, offset, follow)
            .await
        {
            Ok(log) => return Ok(log),
            Err(error) => last = chain(&error),
        }
    }
    Err(last)
}
