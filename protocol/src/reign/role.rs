//! What a node is to the reign, as its driver and its users see it.

use crate::ledger::record::ReignId;

/// What this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It neither leads nor sees a master.
    Standby,
    /// It asks to lead.
    Claiming {
        /// The reign that it would begin.
        reign: ReignId,
    },
    /// It sees the master of the highest reign that it has verified.
    Following {
        /// That reign.
        reign: ReignId,
    },
    /// It leads.
    Leading {
        /// Its reign.
        reign: ReignId,
        /// Every granter's ledger is merged and the node does not doubt itself: it may order, record and publish.
        ready: bool,
    },
}

impl Role {
    /// The reign that a node record announces: the one that is led, or whose master is seen alive.
    pub const fn reign(&self) -> Option<ReignId> {
        match self {
            Self::Standby | Self::Claiming { .. } => None,
            Self::Following { reign } | Self::Leading { reign, .. } => Some(*reign),
        }
    }

    /// Whether orders, records and publications may go out.
    pub const fn may_order(&self) -> bool {
        matches!(self, Self::Leading { ready: true, .. })
    }
}

/// Whether an order of some reign is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obedience {
    /// It is the highest reign that this node has verified.
    Obey,
    /// A higher one is proven: the order changes nothing, and its sender should learn of the higher one.
    Lower,
    /// A higher one than all that are proven: its document must come first.
    Unproven,
}
