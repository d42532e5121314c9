//! Records on their way: new ones are pushed at once over every link; whoever differs is compared with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use pacmesh_protocol::{
    ids::NodeId,
    ledger::record::Record,
    signed::Signed,
    wire::{RECORD_BATCH, Reply, Request},
};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    error::chain,
    ledger::{self, Peer},
    rooms::Rooms,
    transport::PeerEvent,
};

/// How long a peer may take to sync what it is sent.
const PUSH_WAIT: Duration = Duration::from_secs(10);
/// Least time between two comparisons with one peer (FORMATS, "Numbers").
const APART: Duration = Duration::from_secs(1);
/// Every pair compares at least so often (FORMATS, "Numbers").
const EVERY: Duration = Duration::from_secs(60);
/// Most doublings of that time for a pair whose comparisons bring nothing because one side refuses what the other has.
const DOUBLINGS: u32 = 6;
/// How often digests that others announce are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long one comparison may take.
const EXCHANGE_WAIT: Duration = Duration::from_secs(60);
/// Pushes and comparisons at once.
const TASKS: usize = 256;

/// A member as the exchange sees it.
#[derive(Debug)]
pub struct PeerOf {
    /// This node.
    pub rooms: Arc<Rooms>,
    /// The other.
    pub node: NodeId,
}

#[async_trait]
impl Peer for PeerOf {
    async fn request(&self, request: Request) -> Result<Reply, String> {
        self.rooms.ask(self.node, request, PUSH_WAIT).await
    }
}

/// Sends a record of this node to everybody connected, and waits until they synced it or the time is over.
pub async fn push(rooms: &Arc<Rooms>, record: &Record) {
    let mut tasks = JoinSet::new();
    for peer in rooms.transport.connected() {
        let (rooms, record) = (rooms.clone(), record.signed().clone());
        tasks.spawn(async move { send(&rooms, peer, vec![record]).await });
    }
    while tasks.join_next().await.is_some() {}
}

async fn send(rooms: &Arc<Rooms>, peer: NodeId, records: Vec<Signed>) {
    for part in records.chunks(RECORD_BATCH) {
        let request = Request::Push {
            records: part.to_vec(),
        };
        if let Err(error) = rooms.ask(peer, request, PUSH_WAIT).await {
            tracing::debug!(peer = %peer.short(), error, "a push was not acknowledged; the next comparison mends it");
            return;
        }
    }
}

/// Keeps ledgers equal until `stop` says so.
pub async fn spread(rooms: Arc<Rooms>, mut stop: watch::Receiver<bool>) {
    let mut added = rooms.ledger.added();
    let mut events = rooms.transport.events();
    let mut tasks = JoinSet::new();
    let mut compared: BTreeMap<NodeId, Pace> = BTreeMap::new();
    let mut tick = tokio::time::interval(LOOK);
    let mut running = BTreeSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            records = added.recv() => match records {
                Ok(records) => relay(&rooms, &records, &mut tasks),
                Err(RecvError::Lagged(_)) => compared.clear(),
                Err(RecvError::Closed) => break,
            },
            event = events.recv() => if let Ok(PeerEvent::Connected(node)) = event {
                compared.remove(&node);
                compare_due(&rooms, &mut compared, &mut running, &mut tasks);
            },
            Some(done) = tasks.join_next() => {
                if let Ok(Some((node, fruitless))) = done {
                    running.remove(&node);
                    if let Some(pace) = compared.get_mut(&node) {
                        pace.note(fruitless);
                    }
                }
            }
            _ = tick.tick() => {
                compare_due(&rooms, &mut compared, &mut running, &mut tasks);
                announce(&rooms).await;
            }
        }
    }
    tasks.shutdown().await;
}

/// When a pair compared last, and how often in a row for nothing.
#[derive(Debug, Clone, Copy)]
struct Pace {
    last: Instant,
    fruitless: u32,
}

impl Pace {
    fn note(&mut self, fruitless: bool) {
        self.fruitless = if fruitless {
            (self.fruitless + 1).min(DOUBLINGS)
        } else {
            0
        };
    }

    fn is_due(&self, differs: bool) -> bool {
        let age = self.last.elapsed();
        age >= EVERY || (differs && age >= APART * 2_u32.pow(self.fruitless))
    }
}

/// What a task leaves: of a comparison, with whom, and whether it was for nothing.
type Done = Option<(NodeId, bool)>;

/// Passes on what others wrote; a node's own records are pushed by whoever wrote them, who waits for the answers.
fn relay(rooms: &Arc<Rooms>, records: &[Record], tasks: &mut JoinSet<Done>) {
    let foreign: Vec<&Record> = records
        .iter()
        .filter(|record| record.author() != rooms.node)
        .collect();
    if foreign.is_empty() {
        return;
    }
    for peer in rooms.transport.connected() {
        let records: Vec<Signed> = foreign
            .iter()
            .filter(|record| record.author() != peer)
            .map(|record| record.signed().clone())
            .collect();
        if records.is_empty() || tasks.len() >= TASKS {
            continue;
        }
        let rooms = rooms.clone();
        tasks.spawn(async move {
            send(&rooms, peer, records).await;
            None
        });
    }
}

/// Compares with every peer whose announced digest differs, and with each once in a while.
fn compare_due(
    rooms: &Arc<Rooms>,
    compared: &mut BTreeMap<NodeId, Pace>,
    running: &mut BTreeSet<NodeId>,
    tasks: &mut JoinSet<Done>,
) {
    let table = rooms.discovery.table();
    let root = rooms.ledger.root();
    for peer in rooms.transport.connected() {
        let differs = table
            .borrow()
            .record(&peer)
            .is_some_and(|record| record.ledger != root);
        let pace = compared.get(&peer).copied();
        let due = pace.is_none_or(|pace| pace.is_due(differs));
        if !due || tasks.len() >= TASKS || !running.insert(peer) {
            continue;
        }
        let pace = Pace {
            last: Instant::now(),
            fruitless: pace.map_or(0, |pace| pace.fruitless),
        };
        compared.insert(peer, pace);
        let rooms = rooms.clone();
        tasks.spawn(async move {
            let of = PeerOf {
                rooms: rooms.clone(),
                node: peer,
            };
            let mut fruitless = false;
            match tokio::time::timeout(EXCHANGE_WAIT, ledger::exchange(&rooms.ledger, &of)).await {
                Ok(Ok(summary)) => {
                    fruitless = summary.is_fruitless();
                    tracing::debug!(peer = %peer.short(), ?summary, "compared");
                }
                Ok(Err(error)) => {
                    tracing::debug!(peer = %peer.short(), error = chain(&error), "not compared")
                }
                Err(_) => tracing::debug!(peer = %peer.short(), "a comparison took too long"),
            }
            Some((peer, fruitless))
        });
    }
}

/// Tells the others this ledger's digest when it changed.
async fn announce(rooms: &Rooms) {
    let root = rooms.ledger.root();
    if rooms.discovery.table().borrow().own.ledger != root {
        rooms.discovery.update(move |record| record.ledger = root).await;
    }
}
