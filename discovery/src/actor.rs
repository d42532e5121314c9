//! The loop: swarm, requests and the machine's wake-up go in, the machine's outputs are obeyed in their order.
//!
//! It runs on a thread and a runtime of its own: an acknowledgement must not wait behind a build, a hash or a database.

mod inbound;
mod outbound;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use libp2p::{
    PeerId, Swarm,
    request_response::{OutboundRequestId, ResponseChannel},
    swarm::ConnectionId,
};
use pacmesh_protocol::{
    ids::{MeshId, NodeId},
    machine::{Instant, Machine},
    membership::{Input, MemberHint, Membership, Output, Table},
    signed::{Sign, Signed, Verify},
};
use tokio::sync::{mpsc, watch};

use crate::{
    clock::{self, SleepWatch},
    config::Config,
    error::DiscoveryError,
    event::Event,
    handle::Request,
    sightings::Sightings,
    swarm::{self, Behaviour},
    translate::peer_of,
    wire::Answer,
};

/// The loop wakes at least so often: it looks at the clocks, offers candidates and shows round-trip times.
const BEAT: Duration = Duration::from_secs(1);
/// Swarm events that are taken before overdue timers are judged, so that an acknowledgement that is already here counts.
const CATCH_UP: usize = 64;
/// Longest time that the goodbye waits for acknowledgements.
const GOODBYE: Duration = Duration::from_millis(500);

/// Where the actor reports to.
pub(crate) struct Outlets {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) table: watch::Sender<Arc<Table>>,
}

/// What a question was for.
enum Pending {
    Ping {
        nonce: u64,
    },
    Reach {
        about: NodeId,
        nonce: u64,
    },
    /// The author after whom our next page begins, if there is one.
    Table {
        ours: Option<NodeId>,
    },
    Goodbye,
    /// A node that speaks of an older life of itself was shown a newer one.
    Correction,
}

pub(crate) struct Actor {
    swarm: Swarm<Behaviour>,
    machine: Membership,
    mesh: MeshId,
    sign: Arc<dyn Sign>,
    verify: Arc<dyn Verify>,
    /// The own record as last announced.
    own: Option<Arc<Signed>>,
    members: BTreeMap<NodeId, PeerId>,
    /// Discovery addresses at which a member was dialled for its owner's sake or answered; the newest last.
    addresses: BTreeMap<NodeId, Vec<SocketAddr>>,
    /// Connections by member, oldest first.
    connections: BTreeMap<NodeId, Vec<ConnectionId>>,
    /// Members whose connections are being closed to be made anew.
    renewing: BTreeSet<NodeId>,
    pending: BTreeMap<OutboundRequestId, (NodeId, Pending)>,
    /// Questions of others that wait for a round trip here; the machine bounds their number.
    asks: BTreeMap<u64, ResponseChannel<Answer>>,
    next_ask: u64,
    sightings: Sightings,
    sleep: SleepWatch,
    outlets: Outlets,
    next_beat: Instant,
    changed: bool,
}

impl Actor {
    /// Binds the sockets; to be called on the runtime that then runs [`Self::run`].
    pub(crate) fn new(config: Config, machine: Membership, outlets: Outlets) -> Result<Self, DiscoveryError> {
        if config.sign.node() != machine.own().node {
            return Err(DiscoveryError::Identity);
        }
        Ok(Self {
            swarm: swarm::start(&config)?,
            sightings: Sightings::new(machine.own().node),
            machine,
            mesh: config.mesh,
            sign: config.sign,
            verify: config.verify,
            own: None,
            members: BTreeMap::new(),
            addresses: BTreeMap::new(),
            connections: BTreeMap::new(),
            renewing: BTreeSet::new(),
            pending: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            sleep: SleepWatch::new(),
            outlets,
            next_beat: clock::now(),
            changed: true,
        })
    }

    /// Runs until a goodbye was asked for or no handle is left.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        // The own record must be signed before the first table is exchanged.
        self.wake();
        loop {
            let wakeup = self
                .machine
                .next_wakeup()
                .into_iter()
                .chain([self.next_beat])
                .min();
            let wait = wakeup.map_or(BEAT, |wakeup| wakeup.since(clock::now()));
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    None => return,
                    Some(Request::Goodbye(done)) => {
                        self.goodbye().await;
                        // Whoever waited may have given up.
                        let _ = done.send(());
                        return;
                    }
                    Some(request) => self.request(request),
                },
                () = pass(wait) => {
                    self.catch_up().await;
                    self.wake();
                }
                event = self.swarm.select_next_some() => self.swarm_event(event),
            }
            if std::mem::take(&mut self.changed) {
                self.show();
            }
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Members(members, barred) => self.set_members(members, barred),
            Request::Update(change) => {
                let mut own = self.machine.own().clone();
                change(&mut own);
                self.changed = true;
                self.feed(Input::Own(Box::new(own)));
            }
            Request::Dial(node, address) => {
                self.remember(node, address);
                self.dial(node);
            }
            Request::Refused(node) => self.sightings.refuse(clock::now(), node),
            Request::Met(node) => self.feed(Input::Met { node, dialled: false }),
            Request::Confirm(node) => self.feed(Input::Confirm(node)),
            Request::Goodbye(_) => {}
        }
    }

    /// Lets libp2p talk to exactly these; connections with all others are closed by it.
    fn set_members(&mut self, members: BTreeMap<NodeId, MemberHint>, barred: BTreeSet<NodeId>) {
        let own = self.machine.own().node;
        let talkers = members
            .keys()
            .filter(|node| **node != own && !barred.contains(*node));
        let peers: BTreeMap<NodeId, PeerId> =
            talkers.filter_map(|node| Some((*node, peer_of(node)?))).collect();
        let allowed = &mut self.swarm.behaviour_mut().allowed;
        for (node, peer) in &self.members {
            if !peers.contains_key(node) {
                allowed.disallow_peer(*peer);
                self.addresses.remove(node);
            }
        }
        for peer in peers.values() {
            allowed.allow_peer(*peer);
        }
        self.members = peers;
        self.changed = true;
        self.feed(Input::Members { members, barred });
    }

    /// Gives the sockets a turn before timers judge anybody: what arrived while this thread had no turn counts first.
    async fn catch_up(&mut self) {
        tokio::task::yield_now().await;
        for _ in 0..CATCH_UP {
            match self.swarm.select_next_some().now_or_never() {
                Some(event) => self.swarm_event(event),
                None => return,
            }
        }
    }

    fn wake(&mut self) {
        if self.sleep.slept() {
            self.feed(Input::Slept);
        }
        self.feed(Input::Tick);
        let now = clock::now();
        if now >= self.next_beat {
            self.next_beat = now + BEAT;
            self.changed = true;
            self.offer(now);
        }
    }

    /// Tells the owner whom it should meet over its own transport.
    fn offer(&mut self, now: Instant) {
        let (members, connections) = (&self.members, &self.connections);
        let offers = self.sightings.offers(
            now,
            |node| members.contains_key(node),
            |node| connections.contains_key(node),
        );
        for (node, discovery) in offers {
            if let Some(address) = crate::translate::transport_of(discovery) {
                self.tell(Event::Candidate { node, address });
            }
        }
    }

    /// Hands `input` to the machine and obeys it.
    fn feed(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.machine.handle(clock::now(), input, &mut outputs);
        for output in outputs {
            self.obey(output);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Ping { node, nonce } => self.ping(node, nonce),
            Output::AskIndirect {
                via,
                about,
                nonce,
                wait,
            } => self.ask(via, about, nonce, wait),
            Output::Answer { ask, reached } => self.answer(ask, reached),
            Output::Publish(record) => self.publish(&record),
            Output::SendTable { to } => self.send_table(to, None, None),
            Output::Changed { node, state } => {
                tracing::debug!(node = %node.short(), state = state.name(), "member");
                self.changed = true;
                self.tell(Event::State { node, state });
            }
            Output::Doubt(doubt) => {
                self.changed = true;
                self.tell(Event::Doubt(doubt));
            }
            Output::Usurped { incarnation } => {
                tracing::warn!(incarnation, "another holder of this node's key spoke");
                self.tell(Event::Usurped { incarnation });
            }
            Output::Outlived { incarnation } => self.tell(Event::Outlived { incarnation }),
        }
    }

    /// Never waits: a slow owner must not cost a heartbeat.
    fn tell(&self, event: Event) {
        if let Err(error) = self.outlets.events.try_send(event) {
            tracing::debug!(%error, "an event was not taken");
        }
    }

    fn show(&self) {
        self.outlets.table.send_replace(Arc::new(self.machine.table()));
    }

    /// Says goodbye to whom there is a connection with, and waits shortly for them to have heard it.
    async fn goodbye(&mut self) {
        self.feed(Input::Goodbye);
        self.send_goodbyes();
        let heard = async {
            while self
                .pending
                .values()
                .any(|(_, what)| matches!(what, Pending::Goodbye))
            {
                let event = self.swarm.select_next_some().await;
                self.swarm_event(event);
            }
        };
        if tokio::time::timeout(GOODBYE, heard).await.is_err() {
            tracing::debug!("not all heard the goodbye");
        }
    }
}

/// Lets time pass. What is due already is due at once: a timer of no time is late by a turn of the runtime, and where events
/// come without a pause, as on a machine at full load, it would stand behind all of them.
async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_does_not_stand_behind_events() {
        assert_eq!(pass(Duration::ZERO).now_or_never(), Some(()));
    }
}
