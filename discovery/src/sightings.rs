//! Who was seen by multicast DNS, and when it is offered to the owner as a candidate.
//!
//! Of two nodes that see each other the one with the smaller id dials; the other waits, and helps only when nothing came of
//! it. Strangers are offered rarely; everything is bounded, since anybody on the network can claim to be seen.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use pacmesh_protocol::{ids::NodeId, machine::Instant, membership::record::MEMBER_LIMIT};

/// Most nodes that are remembered: as many as a mesh may have members.
const NODES: usize = MEMBER_LIMIT;
/// Most addresses of one node; a machine with more interfaces is met through these.
const ADDRESSES: usize = 4;
/// Most strangers that are offered within a minute (FORMATS, "Entering and meeting").
const STRANGERS: usize = 8;
/// See [`STRANGERS`].
const MINUTE: Duration = Duration::from_secs(60);
/// How long a refusal is remembered (FORMATS, "Entering and meeting").
const REFUSAL: Duration = Duration::from_secs(600);
/// A member that is not connected yet is offered again after this; the greater id waits as long before it helps.
const AGAIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Sighting {
    addresses: Vec<SocketAddr>,
    /// When it may be offered.
    due: Instant,
    offers: usize,
}

/// Nodes that multicast DNS shows at present.
#[derive(Debug)]
pub(crate) struct Sightings {
    own: NodeId,
    seen: BTreeMap<NodeId, Sighting>,
    refused: BTreeMap<NodeId, Instant>,
    strangers: VecDeque<Instant>,
}

impl Sightings {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            seen: BTreeMap::new(),
            refused: BTreeMap::new(),
            strangers: VecDeque::new(),
        }
    }

    /// A node was seen at a discovery address.
    pub(crate) fn see(&mut self, now: Instant, node: NodeId, address: SocketAddr) {
        if node == self.own || (self.seen.len() >= NODES && !self.seen.contains_key(&node)) {
            return;
        }
        let patience = if self.own < node { Duration::ZERO } else { AGAIN };
        let sighting = self.seen.entry(node).or_insert_with(|| Sighting {
            addresses: Vec::new(),
            due: now + patience,
            offers: 0,
        });
        if sighting.addresses.len() < ADDRESSES && !sighting.addresses.contains(&address) {
            sighting.addresses.push(address);
        }
    }

    /// An address of a node is shown no more.
    pub(crate) fn forget(&mut self, node: &NodeId, address: &SocketAddr) {
        if let Some(sighting) = self.seen.get_mut(node) {
            sighting.addresses.retain(|known| known != address);
            if sighting.addresses.is_empty() {
                self.seen.remove(node);
            }
        }
    }

    /// The node is none of ours.
    pub(crate) fn refuse(&mut self, now: Instant, node: NodeId) {
        self.refused.retain(|_, until| *until > now);
        if self.refused.len() < NODES {
            self.refused.insert(node, now + REFUSAL);
        }
    }

    /// The discovery addresses at which a node was seen.
    pub(crate) fn addresses(&self, node: &NodeId) -> &[SocketAddr] {
        self.seen.get(node).map_or(&[], |sighting| &sighting.addresses)
    }

    /// Who should be met at present, with one discovery address each, in turn. `member` and `connected` tell what is
    /// known of a node; a member's word of admission outweighs an earlier refusal.
    pub(crate) fn offers(
        &mut self,
        now: Instant,
        member: impl Fn(&NodeId) -> bool,
        connected: impl Fn(&NodeId) -> bool,
    ) -> Vec<(NodeId, SocketAddr)> {
        while self.strangers.front().is_some_and(|at| now.since(*at) >= MINUTE) {
            self.strangers.pop_front();
        }
        let mut offers = Vec::new();
        for (node, sighting) in &mut self.seen {
            if sighting.due > now || connected(node) {
                continue;
            }
            let stranger = !member(node);
            if stranger {
                let refused = self.refused.get(node).is_some_and(|until| *until > now);
                if refused || self.strangers.len() >= STRANGERS {
                    continue;
                }
                self.strangers.push_back(now);
            }
            let turn = sighting.offers % sighting.addresses.len().max(1);
            sighting.offers = sighting.offers.wrapping_add(1);
            sighting.due = now + if stranger { MINUTE } else { AGAIN };
            offers.extend(sighting.addresses.get(turn).map(|address| (*node, *address)));
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn at(seconds: u64) -> Instant {
        Instant::at(Duration::from_secs(seconds))
    }

    fn seen(nodes: impl IntoIterator<Item = u8>) -> Sightings {
        let mut sightings = Sightings::new(node(100));
        for number in nodes {
            sightings.see(at(0), node(number), ([10, 0, 0, number], 7420).into());
        }
        sightings
    }

    fn offered(sightings: &mut Sightings, second: u64) -> Vec<u8> {
        let offers = sightings.offers(at(second), |_| false, |_| false);
        offers.into_iter().map(|(node, _)| node.0[0]).collect()
    }

    #[test]
    fn the_smaller_id_dials_at_once_and_the_greater_helps_later() {
        let mut sightings = seen([99, 101]);
        assert_eq!(offered(&mut sightings, 0), [101]);
        assert_eq!(offered(&mut sightings, 10), [99]);
    }

    #[test]
    fn inv5_at_most_eight_strangers_are_offered_a_minute() {
        let mut sightings = seen(101..121);
        assert_eq!(offered(&mut sightings, 0).len(), 8);
        assert_eq!(offered(&mut sightings, 59).len(), 0);
        assert_eq!(offered(&mut sightings, 60).len(), 8);
    }

    #[test]
    fn a_refusal_is_remembered_for_ten_minutes() {
        let mut sightings = seen([101]);
        sightings.refuse(at(0), node(101));
        assert_eq!(offered(&mut sightings, 599), []);
        assert_eq!(offered(&mut sightings, 600), [101]);
    }

    #[test]
    fn a_connected_node_is_not_offered() {
        let mut sightings = seen([101]);
        assert_eq!(sightings.offers(at(0), |_| true, |_| true), []);
        assert_eq!(sightings.offers(at(0), |_| true, |_| false).len(), 1);
    }

    #[test]
    fn inv5_the_network_fills_no_memory() {
        let mut sightings = Sightings::new(node(0));
        for number in 0..100_000_u32 {
            let mut id = [1; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            sightings.see(at(0), NodeId(id), ([10, 0, 0, 1], 7420).into());
            sightings.refuse(at(0), NodeId(id));
        }
        assert!(sightings.seen.len() <= NODES && sightings.refused.len() <= NODES);
    }

    #[test]
    fn what_is_shown_no_more_is_forgotten() {
        let mut sightings = seen([101]);
        sightings.forget(&node(101), &([10, 0, 0, 101], 7420).into());
        assert_eq!(offered(&mut sightings, 0), []);
    }
}
