//! A small model of membership: pings and acknowledgements, a timer for silence, and doubt after a start or a sleep.

use std::{collections::BTreeMap, time::Duration};

use pacmesh_protocol::{
    ids::{Digest, Incarnation, NodeId},
    machine::Instant,
    reign::Input,
};

use super::{keys::node_id, message::Notice};

/// How often everybody is pinged (FORMATS, "Numbers", between master-capable members).
pub const PING: Duration = Duration::from_millis(300);
/// A silence that loses without a second opinion (FORMATS, "Numbers").
const LOST: Duration = Duration::from_millis(2500);

#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    notice: Option<Notice>,
    acked: Option<Instant>,
    alive: bool,
}

/// Who is there, as one node sees it in one life.
#[derive(Debug)]
pub struct Membership {
    peers: BTreeMap<usize, Peer>,
    doubt_since: Option<Instant>,
}

impl Membership {
    /// The view of node `own` among `count` at its start.
    pub fn new(own: usize, count: usize, now: Instant) -> Self {
        let others = (0..count).filter(|other| *other != own);
        Self {
            peers: others.map(|other| (other, Peer::default())).collect(),
            doubt_since: Some(now),
        }
    }

    /// Everybody else.
    pub fn others(&self) -> impl Iterator<Item = usize> + '_ {
        self.peers.keys().copied()
    }

    /// Everybody else that is alive.
    pub fn alive(&self) -> Vec<usize> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.alive)
            .map(|(number, _)| *number)
            .collect()
    }

    /// The ledger that a living node last told of.
    pub fn ledger_of(&self, number: usize) -> Option<Digest> {
        let peer = self.peers.get(&number).filter(|peer| peer.alive)?;
        Some(peer.notice?.ledger)
    }

    /// A notice came, with an acknowledgement or with a ping.
    pub fn hear(&mut self, now: Instant, from: usize, notice: Notice, acknowledged: bool) -> Vec<Input> {
        let mut inputs = Vec::new();
        let Some(peer) = self.peers.get_mut(&from) else {
            return inputs;
        };
        let place = |notice: Notice| (notice.incarnation, notice.sequence);
        let known = peer.notice.map(place);
        if known.is_some_and(|known| known.0 > notice.incarnation) {
            return inputs;
        }
        let newer = known.is_none_or(|known| known < place(notice));
        let reborn = known.is_some_and(|known| known.0 < notice.incarnation) && peer.alive;
        if newer {
            peer.notice = Some(notice);
        }
        let met = acknowledged && !peer.alive;
        if acknowledged {
            peer.acked = Some(now);
            peer.alive = true;
        }
        let alive = peer.alive;
        if met || reborn {
            inputs.push(self.alive_input());
        }
        if newer && alive {
            inputs.push(Input::Heard {
                member: node_id(from),
                reign: notice.reign,
            });
        }
        if acknowledged && self.doubt_since.take().is_some() {
            inputs.push(Input::Doubt(false));
        }
        inputs
    }

    /// Time passed: the silent are lost, and who lost all of them need not doubt itself.
    pub fn tick(&mut self, now: Instant) -> Vec<Input> {
        let mut inputs = Vec::new();
        let silent = |peer: &Peer| peer.alive && peer.acked.is_none_or(|at| now.since(at) > LOST);
        let mut lost = false;
        for peer in self.peers.values_mut().filter(|peer| silent(peer)) {
            peer.alive = false;
            lost = true;
        }
        if lost {
            inputs.push(self.alive_input());
        }
        let alone = self.peers.values().all(|peer| !peer.alive);
        if alone && self.doubt_since.is_some_and(|since| now.since(since) > LOST) {
            self.doubt_since = None;
            inputs.push(Input::Doubt(false));
        }
        inputs
    }

    /// The node woke from sleep: every timer begins anew.
    pub fn wake(&mut self, now: Instant) -> Vec<Input> {
        for peer in self.peers.values_mut().filter(|peer| peer.alive) {
            peer.acked = Some(now);
        }
        self.doubt_since = Some(now);
        vec![Input::Doubt(true)]
    }

    fn alive_input(&self) -> Input {
        let life = |peer: &Peer| peer.notice.map_or(0, |notice| notice.incarnation);
        let alive = self.peers.iter().filter(|(_, peer)| peer.alive);
        let lives: BTreeMap<NodeId, Incarnation> = alive
            .map(|(number, peer)| (node_id(*number), life(peer)))
            .collect();
        Input::Alive(lives)
    }
}
