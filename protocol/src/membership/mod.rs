//! Who is here: what nodes say of themselves, and who of them is alive.
//!
//! Liveness is acknowledged round trips, never gossip that was merely heard: a newer record only earns its author a ping.
//! A silence is believed after two missed pings and the word of two others, or, with nobody to ask, after a longer
//! time. A node that finds itself late or woken from sleep begins all its timers anew before it judges anybody.

mod announce;
mod awareness;
mod doubt;
pub mod io;
mod liveness;
pub mod machine;
pub mod member;
mod numbers;
mod peer;
pub mod record;
mod relay;
mod rival;
mod rng;
pub mod table;

pub use io::{Input, Judgement, Output};
pub use machine::Membership;
pub use member::{Heard, MemberHint, Version};
pub use record::NodeRecord;
pub use table::{MemberState, Seen, Table};

#[cfg(test)]
mod tests;
