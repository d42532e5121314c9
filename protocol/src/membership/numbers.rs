//! The numbers of FORMATS ("Numbers") that decide who is alive, and the bounds that keep this machine small.

use std::time::Duration;

/// Between two pings of a close pair: master and member, or two that may lead.
pub(super) const CLOSE_PING: Duration = Duration::from_millis(300);
/// Between two turns: in each one random other member and one random lost member are pinged.
pub(super) const TURN: Duration = Duration::from_secs(1);
/// Members met for the first time that are pinged per turn, close ones aside: each costs a handshake.
pub(super) const FIRST_PINGS: u32 = 8;
/// Least time for an acknowledgement; else four smoothed round trips.
pub(super) const PING_WAIT: Duration = Duration::from_millis(300);
/// Missed pings in a row that make a member suspect.
pub(super) const MISSES: u32 = 2;
/// Members asked about one that is silent.
pub(super) const ASKED: usize = 2;
/// Least time for the answer of a third; else four smoothed round trips.
pub(super) const ASK_WAIT: Duration = Duration::from_millis(250);
/// Longest time that this node tries on behalf of another, whatever that one asks for.
pub(super) const RELAY_WAIT: Duration = Duration::from_secs(5);
/// Most inquiries of others that are open here: one for each member about two of its peers.
pub(super) const RELAYS: usize = 512;
/// After this silence a member is lost though nobody confirmed it.
pub(super) const UNCONFIRMED: Duration = Duration::from_millis(2500);
/// Greatest Lifeguard factor; the least is 1.
pub(super) const FACTOR_LIMIT: u32 = 8;
/// After so long the factor falls by one.
pub(super) const FACTOR_DECAY: Duration = Duration::from_secs(10);
/// A wake-up that comes later than this after it was due puts the node in doubt.
pub(super) const LATE: Duration = Duration::from_secs(1);
/// Changes of the own record within this time are announced together.
pub(super) const JOIN: Duration = Duration::from_millis(200);
/// The own record is announced at least so often.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long another holder of this node's key may take to show that it lives: two heartbeats and their way here.
pub(super) const RIVAL_WAIT: Duration = Duration::from_secs(12);
/// How often others are asked for what they heard of it meanwhile.
pub(super) const RIVAL_ASK: Duration = Duration::from_secs(1);
/// Most gossiped records that are accepted of one author within [`RATE_WINDOW`].
pub(super) const RATE: usize = 5;
/// See [`RATE`].
pub(super) const RATE_WINDOW: Duration = Duration::from_secs(1);
/// Pings to one member that may be under way: with a factor of 1 more than two seconds of them.
pub(super) const OUTSTANDING: usize = 8;
/// Members that are asked for their table when new members were admitted.
pub(super) const TABLES: usize = 3;
