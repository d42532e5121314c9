//! The driver of the reign: obeys the machine's outputs in order, and starts and ends a leader with each reign.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pacmesh_protocol::{
    ids::{Digest, NodeId},
    ledger::record::ReignId,
    machine::Machine,
    membership::{MemberState, NodeRecord, Table},
    reign::{
        Input, KeptBallot, Output, ReignMachine, Role, Setup,
        ballot::BALLOT_LIMIT,
        document::{Ballot, Document},
    },
    roles,
    signed::Signed,
    wire::{CarriedReply, Reply, Request},
};
use pacmesh_signing::Ed25519Verifier;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
};
use tracing::Instrument;

use super::{
    handle::{Inbox, LeaderMessage, Leadership, Message},
    leader::Leader,
};
use crate::{clock, ledger, links::PeerOf, rooms::Rooms, settings::Settings, vitals};

/// Where the ballot is kept in the ledger's file.
pub(crate) const BALLOT: &str = "reign-ballot";
/// How long an asked node may take with a grant: a round trip and a sync.
const CLAIM_WAIT: Duration = Duration::from_millis(900);
/// How long the merge of a granter's ledger may take.
const MERGE_WAIT: Duration = Duration::from_secs(10);
/// How long anybody may take to take note of a document.
const TELL_WAIT: Duration = Duration::from_secs(3);
/// How many questions may wait for the leader.
const LEADER_QUEUE: usize = 256;

/// Why the room could not open.
#[derive(Debug, thiserror::Error)]
pub enum ReignError {
    /// Starting without it could grant one term twice.
    #[error("the ballot of this node cannot be read: restore a backup, or let the node join anew")]
    Ballot(#[from] pacmesh_protocol::codec::CodecError),
    /// The ledger's file cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// No randomness for waits.
    #[error("the system gives no randomness")]
    Random,
}

/// One reign of this node.
struct Leading {
    reign: ReignId,
    sender: mpsc::Sender<LeaderMessage>,
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Drives the reign of one node.
#[expect(
    missing_debug_implementations,
    reason = "it holds tasks and channels, of which nothing can be shown"
)]
pub struct ReignDriver {
    rooms: Arc<Rooms>,
    machine: ReignMachine,
    inbox: Inbox,
    tasks: JoinSet<Option<Input>>,
    claims: BTreeMap<(NodeId, Digest), Vec<oneshot::Sender<Ballot>>>,
    leading: Option<Leading>,
    /// The ballot cannot be kept any more: nothing may follow.
    failed: bool,
}

impl ReignDriver {
    /// Opens the room with what the node must not forget.
    pub async fn open(rooms: Arc<Rooms>, inbox: Inbox) -> Result<Self, ReignError> {
        let kept = match rooms.ledger.get_meta(BALLOT).await? {
            Some(bytes) => pacmesh_protocol::codec::decode(&bytes, BALLOT_LIMIT)?,
            None => KeptBallot::default(),
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|_| ReignError::Random)?;
        let setup = Setup {
            mesh: rooms.mesh,
            incarnation: rooms.ledger.incarnation(),
            key: rooms.keys.node.clone(),
            verifier: Arc::new(Ed25519Verifier),
            kept,
            ledger: rooms.ledger.root(),
            seed: u64::from_le_bytes(seed),
        };
        let machine = ReignMachine::new(setup);
        Ok(Self {
            rooms,
            machine,
            inbox,
            tasks: JoinSet::new(),
            claims: BTreeMap::new(),
            leading: None,
            failed: false,
        })
    }

    /// Takes part until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut views = self.rooms.ledger.subscribe();
        let mut table = self.rooms.discovery.table();
        self.tell_view().await;
        let seen = table.borrow_and_update().clone();
        self.tell_table(&seen).await;
        while !self.failed {
            let wake = self
                .machine
                .next_wakeup()
                .map_or(Duration::from_secs(60), |next| next.since(clock::now()));
            tokio::select! {
                _ = stop.changed() => break,
                message = self.inbox.messages.recv() => match message {
                    Some(message) => self.hear(message).await,
                    None => break,
                },
                Some(done) = self.tasks.join_next() => {
                    if let Ok(Some(input)) = done {
                        self.feed(input).await;
                    }
                }
                Ok(()) = views.changed() => self.tell_view().await,
                Ok(()) = table.changed() => {
                    let seen = table.borrow_and_update().clone();
                    self.tell_table(&seen).await;
                }
                () = tokio::time::sleep(wake) => self.feed(Input::Wake).await,
            }
        }
        self.end_leading().await;
        self.tasks.shutdown().await;
    }

    async fn tell_view(&mut self) {
        let view = self.rooms.ledger.view();
        self.feed(Input::Members(view.master_capable())).await;
        self.tell_eligible().await;
        self.feed(Input::Ledger(self.rooms.ledger.root())).await;
    }

    /// A drained node hands over, and one without room for what it would publish; but each goes on leading where nobody
    /// else could: somebody must be able to resume it.
    async fn tell_eligible(&mut self) {
        let view = self.rooms.ledger.view();
        let table = self.rooms.discovery.table().borrow().clone();
        let own = self.rooms.node;
        let rather_not = |node: &NodeId, record: &NodeRecord| {
            Settings(&view).is_draining(node) || vitals::is_short_of_disk(record)
        };
        let is_heir = |node: &NodeId| {
            let record = table.record(node).filter(|_| table.is_alive(node));
            *node != own && record.is_some_and(|record| !rather_not(node, record))
        };
        let yields = rather_not(&own, &table.own) && view.master_capable().keys().any(is_heir);
        let able = view.has_role(&own, roles::Role::Master) && !view.has_unread() && !yields;
        self.feed(Input::Eligible(able)).await;
    }

    async fn tell_table(&mut self, table: &Table) {
        let (mut alive, mut relayed) = (BTreeMap::new(), BTreeMap::new());
        for (node, seen) in &table.members {
            let there = matches!(seen.state, MemberState::Alive | MemberState::Suspect);
            if let Some(record) = seen.record.as_ref().filter(|_| there) {
                let reached = if seen.relayed { &mut relayed } else { &mut alive };
                reached.insert(*node, record.incarnation);
            }
        }
        alive.insert(self.rooms.node, self.rooms.ledger.incarnation());
        self.feed(Input::Reach { alive, relayed }).await;
        for (member, seen) in &table.members {
            if let Some(record) = &seen.record {
                self.feed(Input::Heard {
                    member: *member,
                    reign: record.reign,
                })
                .await;
            }
        }
        self.feed(Input::Doubt(table.in_doubt)).await;
        self.tell_eligible().await;
    }

    async fn hear(&mut self, message: Message) {
        match message {
            Message::Claim { from, claim, reply } => {
                let digest = Digest::of(&claim.body);
                self.claims.entry((from, digest)).or_default().push(reply);
                self.feed(Input::ClaimReceived { from, claim }).await;
            }
            Message::Document { from, document } => {
                self.feed(Input::DocumentReceived {
                    from,
                    document: *document,
                })
                .await;
            }
            Message::Abdicated { from, reign } => self.feed(Input::Abdicated { from, reign }).await,
            Message::Abdicate { to } => self.feed(Input::Abdicate { to }).await,
            Message::Lead(message) => self.pass_on(message),
        }
    }

    /// A question to the leader is dropped, and so answered by its handle, while this node does not lead.
    fn pass_on(&self, message: LeaderMessage) {
        if let Some(leading) = &self.leading {
            if let Err(error) = leading.sender.try_send(message) {
                tracing::warn!(%error, "the leader is overloaded");
            }
            return;
        }
        if let LeaderMessage::Carry { reply, .. } = message {
            let master = self.machine.role().reign().map(|reign| reign.node);
            let _ = reply.send(CarriedReply::NotMaster {
                master: master.filter(|node| *node != self.rooms.node),
            });
        }
    }

    async fn feed(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.machine.handle(clock::now(), input, &mut outputs);
        for output in outputs {
            if self.failed {
                return;
            }
            self.act(output).await;
        }
    }

    async fn act(&mut self, output: Output) {
        match output {
            Output::Persist(bytes) => {
                if let Err(error) = self.rooms.ledger.put_meta(BALLOT, bytes).await {
                    // What follows in the list must not happen without it. The ledger has ended, and with it the node's
                    // part in the mesh, until the disk can be written again.
                    tracing::error!(%error, "the ballot cannot be kept");
                    self.failed = true;
                }
            }
            Output::SendClaim { to, claim, digest } => self.send_claim(to, claim, digest),
            Output::Reply { to, claim, ballot } => {
                for reply in self.claims.remove(&(to, claim)).unwrap_or_default() {
                    let _ = reply.send((*ballot).clone());
                }
            }
            Output::MergeFrom { granter } => self.merge_from(granter),
            Output::Broadcast(document) => {
                for peer in self.rooms.transport.connected() {
                    self.send_document(peer, (*document).clone());
                }
            }
            Output::SendDocument { to, document } => self.send_document(to, *document),
            Output::SendAbdicate { to, reign } => {
                let rooms = self.rooms.clone();
                self.tasks.spawn(async move {
                    let _ = rooms.ask(to, Request::Abdicate { reign }, TELL_WAIT).await;
                    None
                });
            }
            Output::Relinquish { reign } => {
                if self
                    .leading
                    .as_ref()
                    .is_some_and(|leading| leading.reign == reign)
                {
                    self.end_leading().await;
                }
            }
            Output::Became(role) => self.become_role(role).await,
        }
    }

    fn send_claim(&mut self, to: NodeId, claim: Signed, digest: Digest) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            match rooms.ask(to, Request::Claim { claim }, CLAIM_WAIT).await {
                Ok(Reply::Ballot(ballot)) => Some(Input::BallotReceived {
                    from: to,
                    claim: digest,
                    ballot: *ballot,
                }),
                _ => None,
            }
        });
    }

    fn merge_from(&mut self, granter: NodeId) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let peer = PeerOf {
                rooms: rooms.clone(),
                node: granter,
            };
            let exchange = ledger::exchange(&rooms.ledger, &peer);
            match tokio::time::timeout(MERGE_WAIT, exchange).await {
                Ok(Ok(_)) => Some(Input::Merged { granter }),
                _ => Some(Input::MergeFailed { granter }),
            }
        });
    }

    fn send_document(&mut self, to: NodeId, document: Document) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let _ = rooms.ask(to, Request::Reign { document }, TELL_WAIT).await;
            None
        });
    }

    async fn become_role(&mut self, role: Role) {
        tracing::info!(?role, "reign");
        match role {
            Role::Leading { reign, ready: true } => self.begin_leading(reign).await,
            // Doubt stops orders without ending the reign; what was begun is taken up again.
            _ => self.end_leading().await,
        }
        self.inbox.leadership.send_replace(Leadership { role });
        let reign = role.reign();
        self.rooms
            .discovery
            .update(move |record| record.reign = reign)
            .await;
    }

    async fn begin_leading(&mut self, reign: ReignId) {
        if self
            .leading
            .as_ref()
            .is_some_and(|leading| leading.reign == reign)
        {
            return;
        }
        self.end_leading().await;
        let (sender, inbox) = mpsc::channel(LEADER_QUEUE);
        let (end, ended) = watch::channel(false);
        let leader = Leader::new(self.rooms.clone(), reign, inbox);
        let name = self.rooms.name_of(&self.rooms.node);
        let span = tracing::info_span!("reign", term = reign.term, master = name);
        let task = tokio::spawn(leader.run(ended).instrument(span));
        self.leading = Some(Leading {
            reign,
            sender,
            end,
            task,
        });
    }

    async fn end_leading(&mut self) {
        if let Some(leading) = self.leading.take() {
            leading.end.send_replace(true);
            if let Err(error) = leading.task.await {
                tracing::error!(%error, "the leader ended badly");
            }
        }
    }
}
