//! Copies: replicas that acknowledged, synced, a record and every blob that it names (FORMATS, "Copies").

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use pacmesh_protocol::{
    ids::{Digest, NodeId},
    ledger::record::Record,
    membership::MemberState,
    roles::Role,
    wire::{HASH_BATCH, Reply, Request},
};
use tokio::time::{Instant, timeout_at};

use crate::{rooms::Rooms, settings::Settings};

/// How long an answer waits for copies (FORMATS, "Numbers").
const COPIES_WAIT: Duration = Duration::from_secs(10);
/// How long a replica may take to fetch large archives before it is counted out.
pub(super) const KEEP_WAIT: Duration = Duration::from_secs(600);

/// Replicas that hold some blobs.
#[derive(Debug, Clone, Default)]
pub struct Copies {
    /// Who.
    pub holders: BTreeSet<NodeId>,
}

/// The members with the role storage that are alive or suspect, this node among them if it has it.
pub(super) fn replicas(rooms: &Rooms) -> Vec<NodeId> {
    let view = rooms.ledger.view();
    let table = rooms.discovery.table();
    let table = table.borrow();
    view.members()
        .filter(|member| member.is_active() && member.roles.has(Role::Storage))
        .map(|member| member.id)
        .filter(|id| {
            *id == rooms.node || matches!(table.state(id), Some(MemberState::Alive | MemberState::Suspect))
        })
        .collect()
}

/// Has replicas keep `blobs`, which this node or the nodes of `from` hold. Returns when enough did, when all
/// answered, or after the wait; slower replicas go on by themselves.
pub(super) async fn keep(rooms: &Arc<Rooms>, blobs: Vec<Digest>, from: Vec<NodeId>) -> Copies {
    let replicas = replicas(rooms);
    let wanted = (Settings(&rooms.ledger.view()).copies() as usize).min(replicas.len());
    let mut answers: FuturesUnordered<_> = replicas
        .into_iter()
        .map(|replica| {
            let (rooms, blobs, from) = (rooms.clone(), blobs.clone(), from.clone());
            // Spawned, so that a replica which is slower than the wait still gets its copy.
            tokio::spawn(async move { keeps(&rooms, replica, blobs, from).await.then_some(replica) })
        })
        .collect();
    let deadline = Instant::now() + COPIES_WAIT;
    let mut copies = Copies::default();
    while copies.holders.len() < wanted {
        match timeout_at(deadline, answers.next()).await {
            Ok(Some(Ok(Some(replica)))) => {
                copies.holders.insert(replica);
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    copies
}

async fn keeps(rooms: &Arc<Rooms>, replica: NodeId, blobs: Vec<Digest>, from: Vec<NodeId>) -> bool {
    for part in blobs.chunks(HASH_BATCH) {
        let request = Request::Keep {
            blobs: part.to_vec(),
            from: from.clone(),
        };
        match rooms.ask(replica, request, KEEP_WAIT).await {
            Ok(Reply::Blobs { blobs }) if blobs.is_empty() => {}
            other => {
                tracing::debug!(replica = %replica.short(), ?other, "a replica did not keep all");
                return false;
            }
        }
    }
    true
}

/// Pushes a record of this node to everybody and counts those of `holders` that synced it.
pub(super) async fn replicate(rooms: &Arc<Rooms>, record: &Record, holders: &Copies) -> u32 {
    let view = rooms.ledger.view();
    let wanted = (Settings(&view).copies() as usize).min(holders.holders.len());
    let mut synced = u32::from(holders.holders.contains(&rooms.node));
    let mut answers: FuturesUnordered<_> = rooms
        .transport
        .connected()
        .into_iter()
        .map(|peer| {
            let (rooms, record) = (rooms.clone(), record.signed().clone());
            let counts = holders.holders.contains(&peer);
            tokio::spawn(async move {
                let request = Request::Push {
                    records: vec![record],
                };
                matches!(rooms.ask(peer, request, COPIES_WAIT).await, Ok(Reply::Done)) && counts
            })
        })
        .collect();
    let deadline = Instant::now() + COPIES_WAIT;
    while (synced as usize) < wanted {
        match timeout_at(deadline, answers.next()).await {
            Ok(Some(Ok(true))) => synced += 1,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    synced
}

/// Asks all replicas in reach which of `blobs` they hold, and counts.
pub async fn count_copies(rooms: &Arc<Rooms>, blobs: &BTreeSet<Digest>) -> BTreeMap<Digest, u32> {
    let mut counts: BTreeMap<Digest, u32> = blobs.iter().map(|blob| (*blob, 0)).collect();
    let all: Vec<Digest> = blobs.iter().copied().collect();
    let questions = replicas(rooms).into_iter().flat_map(|replica| {
        all.chunks(HASH_BATCH)
            .map(move |part| (replica, part.to_vec()))
            .collect::<Vec<_>>()
    });
    let mut answers: FuturesUnordered<_> = questions
        .map(|(replica, part)| async move {
            rooms
                .ask(replica, Request::Have { blobs: part }, Duration::from_secs(3))
                .await
        })
        .collect();
    while let Some(answer) = answers.next().await {
        if let Ok(Reply::Blobs { blobs }) = answer {
            for blob in blobs {
                counts.entry(blob).and_modify(|count| *count += 1);
            }
        }
    }
    counts
}
