//! Who is connected, and which of two connections of one pair is kept.
//!
//! Both ends decide alike without asking: a newer life of the peer wins; of two connections dialled by the same side
//! the later; of two dialled by either side the one that the lower node id dialled.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use pacmesh_protocol::ids::{Incarnation, NodeId};

use super::connection::Link;

/// Most addresses that are kept of one node (FORMATS, "Numbers").
const ADDRESSES: usize = 8;
/// How long nobody dials a node again that was just not reached.
const REST: Duration = Duration::from_millis(500);

/// Everything that is known of the other nodes' connections.
#[derive(Debug)]
pub(crate) struct Peers {
    own: NodeId,
    peers: BTreeMap<NodeId, Peer>,
    barred: BTreeSet<NodeId>,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Peer {
    addresses: Vec<SocketAddr>,
    link: Option<Arc<Link>>,
    dial: Arc<tokio::sync::Mutex<()>>,
    failed: Option<Instant>,
}

/// What became of a new connection.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It is the only one.
    First,
    /// It is kept, the other one of the same life is to be drained.
    Instead(Arc<Link>),
    /// It is kept; the other one belonged to a life that is over, or was closed.
    Reborn(Arc<Link>),
    /// The other one is kept, this one is to be drained.
    Spare,
    /// The node was barred meanwhile, or this one stops.
    Barred,
}

/// What is needed to dial a node.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) resting: bool,
}

impl Peers {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            peers: BTreeMap::new(),
            barred: BTreeSet::new(),
            stopping: false,
        }
    }

    /// The open connection to `node`.
    pub(crate) fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        self.peers.get(&node)?.link.clone().filter(|link| link.is_open())
    }

    pub(crate) fn connected(&self) -> Vec<NodeId> {
        let open = |peer: &Peer| peer.link.as_ref().is_some_and(|link| link.is_open());
        self.peers
            .iter()
            .filter(|(_, peer)| open(peer))
            .map(|(node, _)| *node)
            .collect()
    }

    pub(crate) fn set_addresses(&mut self, node: NodeId, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(ADDRESSES);
        if node == self.own {
            return;
        }
        let peer = self.peers.entry(node).or_default();
        if peer.addresses != addresses {
            peer.addresses = addresses;
            peer.failed = None;
        }
        self.forget_if_empty(node);
    }

    pub(crate) fn route(&self, node: NodeId, now: Instant) -> Route {
        match self.peers.get(&node) {
            Some(peer) => Route {
                addresses: peer.addresses.clone(),
                resting: peer
                    .failed
                    .is_some_and(|failed| now.saturating_duration_since(failed) < REST),
            },
            None => Route {
                addresses: Vec::new(),
                resting: false,
            },
        }
    }

    /// Held by whoever dials and greets `node`, so that one does at a time.
    pub(crate) fn dial_lock(&mut self, node: NodeId) -> Arc<tokio::sync::Mutex<()>> {
        self.peers.entry(node).or_default().dial.clone()
    }

    /// Remembers how dialling `node` ended.
    pub(crate) fn dialled(&mut self, node: NodeId, failed: Option<Instant>) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.failed = failed;
        }
        self.forget_if_empty(node);
    }

    /// Takes in a connection on which both sides were admitted.
    pub(crate) fn enter(&mut self, link: &Arc<Link>) -> Entered {
        if self.stopping || self.barred.contains(&link.peer) {
            return Entered::Barred;
        }
        let own = self.own;
        let peer = self.peers.entry(link.peer).or_default();
        peer.failed = None;
        let Some(old) = peer.link.clone() else {
            peer.link = Some(link.clone());
            return Entered::First;
        };
        let over = !old.is_open() || old.incarnation < link.incarnation;
        if over || takes_over(own, link.peer, &Sides::of(&old), &Sides::of(link)) {
            peer.link = Some(link.clone());
            return if over {
                Entered::Reborn(old)
            } else {
                Entered::Instead(old)
            };
        }
        Entered::Spare
    }

    /// Removes a connection that ended; whether the node is thereby disconnected.
    pub(crate) fn leave(&mut self, link: &Link) -> bool {
        let Some(peer) = self.peers.get_mut(&link.peer) else {
            return false;
        };
        let current = peer.link.as_ref().is_some_and(|current| current.id == link.id);
        if current {
            peer.link = None;
            self.forget_if_empty(link.peer);
        }
        current
    }

    /// Replaces the set of those who may not connect; returns the connections to close.
    pub(crate) fn bar(&mut self, barred: BTreeSet<NodeId>) -> Vec<Arc<Link>> {
        self.barred = barred;
        self.barred
            .iter()
            .filter_map(|node| self.peers.get(node)?.link.clone())
            .collect()
    }

    pub(crate) fn is_barred(&self, node: NodeId) -> bool {
        self.barred.contains(&node)
    }

    /// Lets nobody in any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    fn forget_if_empty(&mut self, node: NodeId) {
        let idle = |peer: &Peer| {
            peer.addresses.is_empty() && peer.link.is_none() && Arc::strong_count(&peer.dial) == 1
        };
        if self.peers.get(&node).is_some_and(idle) {
            self.peers.remove(&node);
        }
    }
}

/// What decides between two connections of one pair.
#[derive(Debug, Clone, Copy)]
struct Sides {
    dialled: bool,
    incarnation: Incarnation,
}

impl Sides {
    fn of(link: &Link) -> Self {
        Self {
            dialled: link.dialled,
            incarnation: link.incarnation,
        }
    }
}

/// Whether `new` takes the place of `old`.
fn takes_over(own: NodeId, peer: NodeId, old: &Sides, new: &Sides) -> bool {
    if old.incarnation != new.incarnation {
        return new.incarnation > old.incarnation;
    }
    if old.dialled == new.dialled {
        return true;
    }
    let dialler = if new.dialled { own } else { peer };
    dialler == own.min(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: NodeId = NodeId([1; 32]);
    const HIGH: NodeId = NodeId([2; 32]);

    fn sides(dialled: bool, incarnation: Incarnation) -> Sides {
        Sides { dialled, incarnation }
    }

    #[test]
    fn both_ends_keep_the_connection_that_the_lower_id_dialled_in_either_order() {
        for (old, new) in [(true, false), (false, true)] {
            let at_low = takes_over(LOW, HIGH, &sides(old, 5), &sides(new, 5));
            // What LOW dialled, HIGH did not.
            let at_high = takes_over(HIGH, LOW, &sides(!old, 7), &sides(!new, 7));
            assert_eq!((at_low, at_high), (new, new));
        }
    }

    #[test]
    fn a_new_life_of_the_peer_wins_whoever_dialled() {
        for dialled in [true, false] {
            assert!(takes_over(LOW, HIGH, &sides(!dialled, 5), &sides(dialled, 6)));
            assert!(!takes_over(LOW, HIGH, &sides(!dialled, 6), &sides(dialled, 5)));
        }
    }

    #[test]
    fn dialling_again_replaces_what_one_dialled_before() {
        assert!(takes_over(HIGH, LOW, &sides(true, 5), &sides(true, 5)));
    }

    #[test]
    fn nodes_without_address_and_connection_are_forgotten() {
        let mut peers = Peers::new(LOW);
        drop(peers.dial_lock(HIGH));
        peers.dialled(HIGH, Some(Instant::now()));
        assert!(peers.peers.is_empty());
        peers.set_addresses(HIGH, vec![SocketAddr::from(([127, 0, 0, 1], 1)); 20]);
        assert_eq!(peers.route(HIGH, Instant::now()).addresses.len(), ADDRESSES);
        peers.set_addresses(HIGH, Vec::new());
        assert!(peers.peers.is_empty());
    }
}
