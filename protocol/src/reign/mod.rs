//! Who leads: claims, grants, and the documents that prove a reign.
//!
//! Leading is for order and economy, not for safety; safety is the merge of ledgers. The machine keeps these rules
//! (DESIGN, "Who leads: the reign"):
//!
//! * a term is granted once by a node, and what was granted is on disk before it is sent;
//! * only a verified document raises the highest reign that a node has seen, and only that reign is obeyed;
//! * a node claims only while no living master is known to it or to any member that it reaches;
//! * nothing is ordered before every granter's ledger was merged, nor while the node doubts itself.
//!
//! Inputs and outputs are listed in [`io`]; [`proof`] verifies documents offline, for any member.

pub mod ballot;
pub mod document;
pub mod io;
pub mod machine;
pub mod proof;
pub mod role;

mod candidacy;
mod identity;
mod judge;
mod lead;
mod peers;
mod rank;

#[cfg(test)]
mod tests;

pub use ballot::KeptBallot;
pub use io::{Input, Output, Setup};
pub use machine::ReignMachine;
pub use proof::{DocumentError, VerifiedReign, verify_document};
pub use role::{Obedience, Role};
