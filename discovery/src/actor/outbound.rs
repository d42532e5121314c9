//! What the actor sends: questions to members that it has a connection with, dials to the others, gossip to all.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use pacmesh_protocol::{
    codec,
    ids::{Incarnation, NodeId},
    membership::{
        NodeRecord,
        record::{ADDRESS_LIMIT, NODE_RECORD_LIMIT},
    },
    signed::{Purpose, Signed},
};

use super::{Actor, Pending};
use crate::{
    swarm::topic,
    translate::{discovery_of, multiaddr_of},
    wire::{Answer, PAGE_LIMIT, Question},
};

/// What [`Signed`] adds to a record's body: the signature, and a length of at most three bytes.
const ENVELOPE: usize = 64 + 3;

impl Actor {
    /// A member without a connection is dialled instead; the ping counts as sent, and is missed if nobody picks up.
    /// Waiting in a queue for the connection it would measure the dial, not the round trip.
    pub(super) fn ping(&mut self, node: NodeId, nonce: u64) {
        if self.connections.contains_key(&node) {
            self.question(node, Question::Ping, Pending::Ping { nonce });
        } else {
            self.dial(node);
        }
    }

    pub(super) fn ask(&mut self, via: NodeId, about: NodeId, nonce: u64, wait: Duration) {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        self.question(
            via,
            Question::Reach { about, wait_ms },
            Pending::Reach { about, nonce },
        );
    }

    /// Without an opinion the channel is dropped: to the asker that is no answer.
    pub(super) fn answer(&mut self, ask: u64, reached: Option<bool>) {
        if let (Some(channel), Some(reached)) = (self.asks.remove(&ask), reached)
            && self
                .swarm
                .behaviour_mut()
                .talk
                .send_response(channel, Answer::Reached(reached))
                .is_err()
        {
            tracing::trace!("the asker has gone");
        }
    }

    /// Signs the own record and gossips it. With nobody to hear it, the next meeting brings it.
    pub(super) fn publish(&mut self, record: &NodeRecord) {
        self.changed = true;
        let sealed = Signed::seal(
            record,
            Purpose::NodeRecord,
            &self.mesh,
            &*self.sign,
            NODE_RECORD_LIMIT - ENVELOPE,
        );
        let encoded = sealed.and_then(|signed| Ok((codec::encode(&signed, NODE_RECORD_LIMIT)?, signed)));
        match encoded {
            Ok((bytes, signed)) => {
                self.own = Some(Arc::new(signed));
                let published = self
                    .swarm
                    .behaviour_mut()
                    .gossip
                    .publish(topic(&self.mesh), bytes);
                if let Err(error) = published {
                    tracing::trace!(%error, "the own record was not gossiped");
                }
            }
            Err(error) => tracing::error!(%error, "the own record cannot be announced"),
        }
    }

    /// Asks for the page of the table of `to` after `theirs`, and gives the page of ours after `ours`.
    pub(super) fn send_table(&mut self, to: NodeId, theirs: Option<NodeId>, ours: Option<NodeId>) {
        let (records, next) = self.page(ours);
        let question = Question::Table {
            after: theirs,
            records,
        };
        self.question(to, question, Pending::Table { ours: next });
    }

    /// The page of our table after `cursor`, and where the next one begins. The own record opens the first.
    pub(super) fn page(&self, cursor: Option<NodeId>) -> (Vec<Signed>, Option<NodeId>) {
        let own = self.own.as_ref().filter(|_| cursor.is_none());
        page(own, self.machine.records_after(cursor))
    }

    pub(super) fn send_goodbyes(&mut self) {
        let Some(own) = self.own.clone() else {
            return;
        };
        for node in self.connections.keys().copied().collect::<Vec<_>>() {
            let record = (*own).clone();
            self.question(node, Question::Hear { record }, Pending::Goodbye);
        }
    }

    /// Shows the newest record of a node to its author where that speaks of an older life: it was restored, or its key
    /// has a second holder.
    pub(super) fn correct(&mut self, node: NodeId, outdated: Incarnation) {
        let newer = |known: &&Arc<NodeRecord>| known.incarnation > outdated;
        if self.machine.record(&node).filter(newer).is_none() {
            return;
        }
        let found = self
            .machine
            .records_after(None)
            .find(|(author, _)| *author == node);
        if let Some(record) = found.map(|(_, signed)| (**signed).clone()) {
            self.question(node, Question::Hear { record }, Pending::Correction);
        }
    }

    fn question(&mut self, node: NodeId, question: Question, what: Pending) {
        if let Some(peer) = self
            .members
            .get(&node)
            .filter(|_| self.connections.contains_key(&node))
        {
            let id = self.swarm.behaviour_mut().talk.send_request(peer, question);
            self.pending.insert(id, (node, what));
        }
    }

    /// Dials a member at all addresses that are known of it, unless there is a connection or a dial under way.
    pub(super) fn dial(&mut self, node: NodeId) {
        let Some(peer) = self.members.get(&node).copied() else {
            return;
        };
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(self.known_addresses(node).into_iter().map(multiaddr_of).collect())
            .build();
        if let Err(error) = self.swarm.dial(options) {
            tracing::trace!(node = %node.short(), %error, "not dialled");
        }
    }

    /// Where a member answered or should answer, the surest first.
    fn known_addresses(&self, node: NodeId) -> Vec<SocketAddr> {
        let record = self.machine.record(&node);
        let announced = record
            .into_iter()
            .flat_map(|record| record.addresses.iter().copied());
        let proven = self.addresses.get(&node).into_iter().flatten().rev().copied();
        let shown = self.sightings.addresses(&node).iter().copied();
        let announced = announced.take(ADDRESS_LIMIT).filter_map(discovery_of);
        let mut known = Vec::new();
        for address in proven.chain(shown).chain(announced) {
            if !known.contains(&address) {
                known.push(address);
            }
        }
        known
    }

    /// Keeps the newest addresses of a member, each once.
    pub(super) fn remember(&mut self, node: NodeId, address: SocketAddr) {
        if self.members.contains_key(&node) {
            let known = self.addresses.entry(node).or_default();
            known.retain(|other| *other != address);
            known.push(address);
            if known.len() > ADDRESS_LIMIT {
                known.remove(0);
            }
        }
    }
}

/// As many of `records` as fit into a frame, and the last author of them if there are more.
fn page<'a>(
    own: Option<&Arc<Signed>>,
    records: impl Iterator<Item = (NodeId, &'a Arc<Signed>)>,
) -> (Vec<Signed>, Option<NodeId>) {
    let mut page: Vec<Signed> = own.iter().map(|signed| (***signed).clone()).collect();
    let mut length: usize = page.iter().map(|signed| signed.body.len() + ENVELOPE).sum();
    let mut last = None;
    for (node, signed) in records {
        length += signed.body.len() + ENVELOPE;
        if length > PAGE_LIMIT {
            return (page, last);
        }
        page.push((**signed).clone());
        last = Some(node);
    }
    (page, None)
}

#[cfg(test)]
mod tests {
    use pacmesh_protocol::{membership::record::MEMBER_LIMIT, signed::Signature};

    use super::*;
    use crate::wire::FRAME_LIMIT;

    fn longest(number: usize) -> (NodeId, Arc<Signed>) {
        let signed = Signed {
            body: vec![1; NODE_RECORD_LIMIT - ENVELOPE],
            signature: Signature::from_bytes(&[9; 64]),
        };
        (NodeId([u8::try_from(number).unwrap(); 32]), Arc::new(signed))
    }

    #[test]
    fn a_table_of_the_longest_records_goes_in_pages_that_fit_and_miss_nobody() {
        let table: Vec<_> = (0..MEMBER_LIMIT).map(longest).collect();
        let own = longest(0).1;
        let (mut cursor, mut sent, mut pages) = (None, 0, 0);
        loop {
            let rest = table.iter().filter(|(node, _)| Some(*node) > cursor);
            let rest = rest.map(|(node, signed)| (*node, signed));
            let (records, next) = page(Some(&own).filter(|_| cursor.is_none()), rest);
            sent += records.len();
            pages += 1;
            let after = cursor;
            codec::encode(&Question::Table { after, records }, FRAME_LIMIT).unwrap();
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((sent, pages), (MEMBER_LIMIT + 1, 9));
    }
}
