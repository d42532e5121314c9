//! What a node thinks of the others at one moment: a value that is handed out, never a lock on the machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    ids::NodeId,
    ledger::record::ReignId,
    machine::Instant,
    membership::{NodeRecord, member::MemberHint},
};

/// How a member stands with this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// A ping was acknowledged, here or (then [`Seen::relayed`]) to a third member, and nothing speaks against it.
    Alive,
    /// Not met yet in this life, or silent and being asked after.
    Suspect,
    /// Silent, and that was confirmed by others or lasted too long. A ping that it answers makes it alive again.
    Lost,
    /// It said goodbye, and nothing newer was heard of it.
    Left,
}

impl MemberState {
    /// The word that people read (`nodes --json`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Lost => "lost",
            Self::Left => "left",
        }
    }
}

/// What is known of one member.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The newest that it said of itself; `None`: a member by the ledger that was not heard yet.
    pub record: Option<Arc<NodeRecord>>,
    /// What the ledger says of it.
    pub hint: MemberHint,
    /// How it stands.
    pub state: MemberState,
    /// Since when it stands so.
    pub since: Instant,
    /// When it last acknowledged a ping of this node.
    pub last_ack: Option<Instant>,
    /// The smoothed time of a round trip to it.
    pub rtt: Option<Duration>,
    /// It is alive by the word of a third member only: out of reach from here.
    pub relayed: bool,
}

/// All members but this node, and how much this node trusts itself.
#[derive(Debug, Clone)]
pub struct Table {
    /// This node's own record, as last announced or about to be.
    pub own: Arc<NodeRecord>,
    /// The others, barred ones left out.
    pub members: BTreeMap<NodeId, Seen>,
    /// This node was late, slept or just started, and has since neither met a member nor lost all of them.
    pub in_doubt: bool,
}

impl Table {
    /// How `node` stands; `None` for this node itself and for strangers.
    pub fn state(&self, node: &NodeId) -> Option<MemberState> {
        self.members.get(node).map(|seen| seen.state)
    }

    /// Whether `node` is alive. This node is alive to itself.
    pub fn is_alive(&self, node: &NodeId) -> bool {
        *node == self.own.node || self.state(node) == Some(MemberState::Alive)
    }

    /// The others that are alive, in the order of their ids.
    pub fn alive(&self) -> impl Iterator<Item = (NodeId, &Seen)> {
        self.members
            .iter()
            .filter(|(_, seen)| seen.state == MemberState::Alive)
            .map(|(node, seen)| (*node, seen))
    }

    /// The newest record of `node`, this node's own included.
    pub fn record(&self, node: &NodeId) -> Option<&Arc<NodeRecord>> {
        if *node == self.own.node {
            return Some(&self.own);
        }
        self.members.get(node)?.record.as_ref()
    }

    /// The reigns that members alive say they follow: whoever is named here leads in the eyes of somebody in reach.
    pub fn reigns_followed(&self) -> impl Iterator<Item = (NodeId, ReignId)> + '_ {
        self.alive()
            .filter_map(|(node, seen)| Some((node, seen.record.as_ref()?.reign?)))
    }
}
