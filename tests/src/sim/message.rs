//! What simulated nodes say to each other.

use std::collections::BTreeSet;

use pacmesh_protocol::{
    ids::{Digest, Incarnation, RecordHash},
    ledger::record::{Record, ReignId},
    reign::document::{Ballot, Document},
    signed::Signed,
};

/// The part of a node record that reign and exchange need; it travels with pings.
#[derive(Debug, Clone, Copy)]
pub struct Notice {
    /// In which life.
    pub incarnation: Incarnation,
    /// The greater one is newer.
    pub sequence: u64,
    /// The reign that the node follows.
    pub reign: Option<ReignId>,
    /// The root of its ledger.
    pub ledger: Digest,
}

/// One message. `meeting` numbers an exchange, for the invariant that watches it.
#[derive(Debug, Clone)]
pub enum Message {
    /// Are you there?
    Ping(Notice),
    /// Yes.
    Ack(Notice),
    /// May I lead?
    Claim(Signed),
    /// The answer to the claim of this digest.
    Ballot(Digest, Box<Ballot>),
    /// This reign began.
    Document(Box<Document>),
    /// My reign ends, lead next.
    Abdicate(ReignId),
    /// Do something, in the name of this reign.
    Order(ReignId),
    /// New records; answered by `Stored` when synced.
    Push(Option<u64>, Vec<Record>),
    /// These are synced here.
    Stored(Option<u64>, Vec<RecordHash>),
    /// I have these, what have you?
    Exchange(u64, BTreeSet<RecordHash>),
    /// You lack these, and I lack those.
    Lacking(u64, Vec<Record>, Vec<RecordHash>),
}

impl Message {
    /// Its name in the event log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ping(_) => "ping",
            Self::Ack(_) => "ack",
            Self::Claim(_) => "claim",
            Self::Ballot(..) => "ballot",
            Self::Document(_) => "document",
            Self::Abdicate(_) => "abdicate",
            Self::Order(_) => "order",
            Self::Push(..) => "push",
            Self::Stored(..) => "stored",
            Self::Exchange(..) => "exchange",
            Self::Lacking(..) => "lacking",
        }
    }

    /// Whether it is only about liveness, and left out of the event log.
    pub const fn is_chatter(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Ack(_))
    }
}
