//! What the actor receives. Nothing from outside is believed before author, size, age, rate and signature were judged.

use std::{sync::Arc, time::Duration};

use libp2p::{
    PeerId,
    core::ConnectedPoint,
    gossipsub::{self, MessageAcceptance},
    mdns,
    request_response::{self, Message, OutboundFailure, OutboundRequestId, ResponseChannel},
    swarm::{ConnectionId, SwarmEvent},
};
use pacmesh_protocol::{
    codec,
    ids::NodeId,
    membership::{
        Heard, Input, Judgement, NodeRecord,
        record::{ADDRESS_LIMIT, NODE_RECORD_LIMIT},
    },
    signed::{Purpose, Signed},
};

use super::{Actor, Pending};
use crate::{
    clock,
    swarm::BehaviourEvent,
    translate::{node_of, socket_of},
    wire::{Answer, Question},
};

type TalkEvent = request_response::Event<Question, Answer>;

/// "No further page": no author comes after it.
const LAST: NodeId = NodeId([0xff; 32]);

impl Actor {
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Talk(event)) => self.talk_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            })) => {
                let acceptance = self.gossiped(&propagation_source, &message);
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(&message_id, &propagation_source, acceptance);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.sighted(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => self.disconnected(peer_id, connection_id),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a discovery socket failed"),
            other => tracing::trace!(event = ?other, "libp2p"),
        }
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(node) = node_of(&peer) else {
            return;
        };
        self.connections.entry(node).or_default().push(connection);
        let dialled = endpoint.is_dialer();
        if dialled && let Some(address) = socket_of(endpoint.get_remote_address()) {
            self.remember(node, address);
        }
        self.feed(Input::Met { node, dialled });
    }

    fn disconnected(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(node) = node_of(&peer)
            && let Some(connections) = self.connections.get_mut(&node)
        {
            connections.retain(|known| *known != connection);
            if connections.is_empty() {
                self.connections.remove(&node);
                if self.renewing.remove(&node) {
                    self.dial(node);
                }
            }
        }
    }

    fn sighted(&mut self, event: mdns::Event) {
        let now = clock::now();
        let (mdns::Event::Discovered(seen) | mdns::Event::Expired(seen)) = &event;
        let places = seen
            .iter()
            .filter_map(|(peer, address)| Some((node_of(peer)?, socket_of(address)?)));
        for (node, address) in places {
            if matches!(event, mdns::Event::Expired(_)) {
                self.sightings.forget(&node, &address);
                continue;
            }
            self.sightings.see(now, node, address);
            self.feed(Input::Met { node, dialled: false });
        }
        self.offer(now);
    }

    /// Judges a gossiped record: cheap questions first, the signature last.
    fn gossiped(&mut self, from: &PeerId, message: &gossipsub::Message) -> MessageAcceptance {
        let Ok(signed) = codec::decode::<Signed>(&message.data, NODE_RECORD_LIMIT) else {
            return MessageAcceptance::Reject;
        };
        let Ok(record) = signed.peek::<NodeRecord>(NODE_RECORD_LIMIT) else {
            return MessageAcceptance::Reject;
        };
        // gossipsub verified that the message comes from its source; nobody gossips records of others.
        if message.source.as_ref().and_then(node_of) != Some(record.node) {
            return MessageAcceptance::Reject;
        }
        let (author, version) = (record.node, record.version());
        match self.machine.judge(clock::now(), author, version) {
            Judgement::Accept if self.hear(record, signed) => MessageAcceptance::Accept,
            Judgement::Accept | Judgement::Reject => MessageAcceptance::Reject,
            Judgement::Ignore => {
                if node_of(from) == Some(author) {
                    self.correct(author, version.incarnation);
                }
                MessageAcceptance::Ignore
            }
        }
    }

    /// Takes the records of a table that are news; one that is forged ends the reading.
    fn take_table(&mut self, from: NodeId, records: Vec<Signed>) {
        for signed in records {
            let Ok(record) = signed.peek::<NodeRecord>(NODE_RECORD_LIMIT) else {
                tracing::warn!(from = %from.short(), "a table with an unreadable record");
                return;
            };
            if self.machine.wants(&record.node, record.version()) && !self.hear(record, signed) {
                tracing::warn!(from = %from.short(), "a table with a forged record");
                return;
            }
        }
    }

    /// Verifies a record and gives it to the machine; returns whether it was genuine.
    fn hear(&mut self, record: NodeRecord, signed: Signed) -> bool {
        let author = record.node;
        let genuine = record.addresses.len() <= ADDRESS_LIMIT
            && signed
                .check(Purpose::NodeRecord, &self.mesh, author.as_bytes(), &*self.verify)
                .is_ok();
        if genuine {
            let before = self
                .machine
                .table()
                .record(&author)
                .map(|known| known.incarnation);
            let restarted = before.is_some_and(|before| before < record.incarnation);
            if restarted && self.connections.get(&author).is_some_and(|all| all.len() > 1) {
                self.renew(author);
            }
            self.changed = true;
            let (record, signed) = (Arc::new(record), Arc::new(signed));
            self.feed(Input::Heard(Heard { record, signed }));
        }
        genuine
    }

    /// Drops every connection with a member and dials it once the last one is closed. gossipsub tells a peer its
    /// subscriptions on the first connection only: after a restart there, or when one connection is dead, closing
    /// just that one would leave two nodes connected and deaf to each other's gossip.
    fn renew(&mut self, node: NodeId) {
        if let Some(peer) = self.members.get(&node)
            && self.swarm.disconnect_peer_id(*peer).is_ok()
        {
            self.renewing.insert(node);
        }
    }

    fn talk_event(&mut self, event: TalkEvent) {
        match event {
            TalkEvent::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                if let Some(node) = node_of(&peer) {
                    self.questioned(node, request, channel);
                }
            }
            TalkEvent::Message {
                message: Message::Response { request_id, response },
                ..
            } => self.answered(request_id, response),
            TalkEvent::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some((node, _)) = self.pending.remove(&request_id)
                    && matches!(error, OutboundFailure::Timeout)
                {
                    self.renew(node);
                }
            }
            TalkEvent::InboundFailure { .. } | TalkEvent::ResponseSent { .. } => {}
        }
    }

    fn questioned(&mut self, node: NodeId, question: Question, channel: ResponseChannel<Answer>) {
        let answer = match question {
            Question::Ping => Answer::Here,
            Question::Reach { about, wait_ms } => {
                let ask = self.next_ask;
                self.next_ask += 1;
                self.asks.insert(ask, channel);
                let wait = Duration::from_millis(wait_ms.into());
                return self.feed(Input::Asked { ask, about, wait });
            }
            Question::Table { after, records } => {
                self.take_table(node, records);
                let (records, next) = self.page(after);
                Answer::Table { records, next }
            }
            Question::Hear { record } => {
                self.take_table(node, vec![record]);
                Answer::Here
            }
        };
        if self
            .swarm
            .behaviour_mut()
            .talk
            .send_response(channel, answer)
            .is_err()
        {
            tracing::trace!("the asker has gone");
        }
    }

    fn answered(&mut self, request: OutboundRequestId, answer: Answer) {
        let Some((node, what)) = self.pending.remove(&request) else {
            return;
        };
        match (what, answer) {
            (Pending::Ping { nonce }, Answer::Here) => self.feed(Input::Ack { node, nonce }),
            (Pending::Reach { about, nonce }, Answer::Reached(reached)) => self.feed(Input::Answered {
                via: node,
                about,
                nonce,
                reached,
            }),
            (Pending::Table { ours }, Answer::Table { records, next }) => {
                let empty = records.is_empty();
                self.take_table(node, records);
                // A page that claims a successor but brings nothing would have us ask for ever.
                let next = next.filter(|_| !empty);
                if next.is_some() || ours.is_some() {
                    self.send_table(node, Some(next.unwrap_or(LAST)), Some(ours.unwrap_or(LAST)));
                }
            }
            (Pending::Goodbye | Pending::Correction, _) => {}
            _ => tracing::debug!(node = %node.short(), "an answer to another question"),
        }
    }
}
