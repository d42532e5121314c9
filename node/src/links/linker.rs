//! The introduction of discovery to transport: who is dialled, and who may talk to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use pacmesh_discovery::Event;
use pacmesh_protocol::{
    ids::NodeId,
    ledger::member::Member,
    membership::{MemberHint, MemberState},
    roles::Role,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    error::chain, local::server::OfficeCommand, membership::Standing, rooms::Rooms, transport::PeerEvent,
};

/// How often missing links are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// Between two attempts at one address: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Dials at once.
const DIALS: usize = 32;
/// Most addresses that are remembered over a restart.
const REMEMBERED: usize = 32;

/// When an address is tried again.
#[derive(Debug, Clone, Copy)]
struct Patience {
    next: Instant,
    pause: Duration,
}

/// What a dial brought.
struct Dialled {
    address: SocketAddr,
    expected: Option<NodeId>,
    from_mdns: bool,
    node: Result<NodeId, String>,
}

struct Linker {
    rooms: Arc<Rooms>,
    /// Transport addresses without a known key: bootstrap and remembered ones.
    roots: Vec<SocketAddr>,
    patience: BTreeMap<SocketAddr, Patience>,
    under_way: BTreeSet<SocketAddr>,
    dials: JoinSet<Dialled>,
    remembered: Vec<SocketAddr>,
    /// Who was alive when the table was last looked at.
    alive: BTreeSet<NodeId>,
}

/// Keeps links to members until `stop` says so.
pub async fn link(
    rooms: Arc<Rooms>,
    mut events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<OfficeCommand>,
    remembered: Vec<SocketAddr>,
    mut stop: watch::Receiver<bool>,
) {
    let mut views = rooms.ledger.subscribe();
    let mut table = rooms.discovery.table();
    let mut met = rooms.transport.events();
    let mut tick = tokio::time::interval(LOOK);
    let mut linker = Linker {
        roots: remembered.clone(),
        rooms,
        patience: BTreeMap::new(),
        under_way: BTreeSet::new(),
        dials: JoinSet::new(),
        remembered,
        alive: BTreeSet::new(),
    };
    linker.tell_members().await;
    linker.resolve().await;
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Ok(()) = views.changed() => linker.tell_members().await,
            Ok(PeerEvent::Connected(node)) = met.recv() => linker.rooms.discovery.met(node).await,
            Ok(()) = table.changed() => {
                linker.tell_addresses();
                linker.hurry();
                linker.remember();
            }
            event = events.recv() => match event {
                Some(Event::Candidate { node, address }) => linker.dial(address, Some(node), true),
                Some(Event::Usurped { incarnation }) => {
                    tracing::error!(incarnation, "another machine lives with this node's key");
                    // Waiting here for who waits for this task to end would hold up both; it is said again anyway.
                    let _ = commands.try_send(OfficeCommand::Usurped { incarnation });
                }
                Some(Event::Outlived { incarnation }) => {
                    let _ = commands.try_send(OfficeCommand::Outlived { incarnation });
                }
                Some(Event::State { node, state }) => linker.tell_state(&node, state),
                Some(_) => {}
                None => break,
            },
            Some(done) = linker.dials.join_next() => {
                if let Ok(dialled) = done {
                    linker.dialled(dialled).await;
                }
            }
            _ = tick.tick() => linker.dial_missing(),
        }
    }
    linker.dials.shutdown().await;
}

impl Linker {
    /// Who may talk follows the ledger; whoever is cut off is cut off at once.
    async fn tell_members(&self) {
        let view = self.rooms.ledger.view();
        let hint = |node: &NodeId| MemberHint {
            master_capable: view.has_role(node, Role::Master),
        };
        let members = view
            .members()
            .filter(|m| m.is_active())
            .map(|m| (m.id, hint(&m.id)))
            .collect();
        let cut_off = |m: &&Member| m.is_cut_off();
        let barred: BTreeSet<NodeId> = view.members().filter(cut_off).map(|m| m.id).collect();
        // Whoever left hears the answer to its goodbye, and closes by itself.
        self.rooms.transport.bar(barred.clone());
        self.rooms.discovery.set_members(members, barred).await;
    }

    /// Who came and went is worth a line: afterwards nothing else tells of it.
    fn tell_state(&self, node: &NodeId, state: MemberState) {
        let name = self.rooms.name_of(node);
        match state {
            MemberState::Alive => tracing::info!(member = name, "is here"),
            MemberState::Left => tracing::info!(member = name, "said goodbye"),
            MemberState::Lost => tracing::warn!(member = name, "is lost: it does not answer"),
            MemberState::Suspect => tracing::debug!(member = name, "does not answer, others are asked"),
        }
    }

    fn tell_addresses(&self) {
        let table = self.rooms.discovery.table();
        for (node, seen) in &table.borrow().members {
            if let Some(record) = &seen.record {
                self.rooms
                    .transport
                    .set_addresses(*node, record.addresses.clone());
            }
            // QUIC would wait ten seconds for somebody who is known to be gone.
            if matches!(seen.state, MemberState::Lost | MemberState::Left) {
                self.rooms.transport.disconnect(*node, "this node is lost");
            }
        }
    }

    /// Whoever has come back is dialled at once, not when the patience with its silence is over.
    fn hurry(&mut self) {
        let table = self.rooms.discovery.table();
        let table = table.borrow();
        let alive: BTreeSet<NodeId> = table.alive().map(|(node, _)| node).collect();
        for node in alive.difference(&self.alive) {
            for address in table.record(node).iter().flat_map(|record| &record.addresses) {
                self.patience.remove(address);
            }
        }
        self.alive = alive;
    }

    async fn resolve(&mut self) {
        for host in self.rooms.config.bootstrap.clone() {
            match tokio::net::lookup_host(&host).await {
                // Discovery's port was named; the transport is the next one.
                Ok(found) => self.roots.extend(found.filter_map(|mut address| {
                    address.set_port(address.port().checked_add(1)?);
                    Some(address)
                })),
                Err(error) => {
                    tracing::warn!(host, %error, "a bootstrap address is not known: check its spelling")
                }
            }
        }
        self.roots.sort();
        self.roots.dedup();
    }

    fn dial_missing(&mut self) {
        let connected: BTreeSet<NodeId> = self.rooms.transport.connected().into_iter().collect();
        let own = self.rooms.node;
        let mut wanted = Vec::new();
        {
            let table = self.rooms.discovery.table();
            let table = table.borrow();
            for (node, seen) in &table.members {
                // Of two that would dial each other the lower begins; the other only after a while of silence.
                let begins = own < *node
                    || seen.since.since_origin() + Duration::from_secs(2)
                        < crate::clock::now().since_origin();
                if connected.contains(node) || seen.state == MemberState::Left || !begins {
                    continue;
                }
                if let Some(record) = &seen.record {
                    wanted.extend(record.addresses.iter().map(|address| (*address, Some(*node))));
                }
            }
        }
        if connected.is_empty() {
            wanted.extend(self.roots.iter().map(|address| (*address, None)));
        }
        for (address, node) in wanted {
            self.dial(address, node, false);
        }
    }

    fn dial(&mut self, address: SocketAddr, expected: Option<NodeId>, from_mdns: bool) {
        let now = Instant::now();
        let waits = self
            .patience
            .get(&address)
            .is_some_and(|patience| patience.next > now);
        if self.dials.len() >= DIALS || (waits && !from_mdns) || !self.under_way.insert(address) {
            return;
        }
        let rooms = self.rooms.clone();
        self.dials.spawn(async move {
            let node = rooms
                .transport
                .dial(expected, address)
                .await
                .map_err(|error| chain(&error));
            Dialled {
                address,
                expected,
                from_mdns,
                node,
            }
        });
    }

    async fn dialled(&mut self, dialled: Dialled) {
        let Dialled {
            address,
            expected,
            from_mdns,
            node,
        } = dialled;
        self.under_way.remove(&address);
        match node {
            Ok(node) => {
                self.patience.remove(&address);
                if let Some(port) = address.port().checked_sub(1) {
                    // The credential is in the ledger now; discovery must know the member before it dials.
                    self.tell_members().await;
                    self.rooms
                        .discovery
                        .dial(node, SocketAddr::new(address.ip(), port))
                        .await;
                }
            }
            Err(error) => {
                // Said once where somebody may want to know it; afterwards only to who asks.
                match self.patience.contains_key(&address) {
                    false => tracing::info!(%address, error, "no link yet"),
                    true => tracing::debug!(%address, error, "no link"),
                }
                let pause = self
                    .patience
                    .get(&address)
                    .map_or(FIRST_PAUSE, |p| (p.pause * 2).min(LONGEST_PAUSE));
                self.patience.insert(
                    address,
                    Patience {
                        next: Instant::now() + pause,
                        pause,
                    },
                );
                if let Some(node) = expected.filter(|_| from_mdns) {
                    self.rooms.discovery.refused(node).await;
                }
            }
        }
    }

    /// Where members are now is where this node looks for them after its next start.
    fn remember(&mut self) {
        let addresses: Vec<SocketAddr> = {
            let table = self.rooms.discovery.table();
            let table = table.borrow();
            let records = table.alive().filter_map(|(_, seen)| seen.record.as_ref());
            // A few of each member before all of one.
            records
                .flat_map(|record| record.addresses.iter().copied().take(2))
                .take(REMEMBERED)
                .collect()
        };
        if addresses.is_empty() || addresses == self.remembered {
            return;
        }
        self.remembered = addresses;
        let home = &self.rooms.config.home;
        let stored = Standing::load(home).and_then(|standing| match standing {
            Some(standing) => standing.with_addresses(self.remembered.clone()).store(home),
            None => Ok(()),
        });
        if let Err(error) = stored {
            tracing::warn!(error = chain(&error), "addresses could not be remembered");
        }
    }
}
