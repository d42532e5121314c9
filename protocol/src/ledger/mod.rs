//! The mesh's shared facts. **The ledger keeps facts; the view decides.**
//!
//! [`Ledger`] keeps records: per key the K greatest values of each author, a record as long as any of its entries is
//! kept. [`view::View`] is a pure function of them: what is in force is the greatest value that no verdict voids. So
//! what a node sees depends on which facts it knows, never on the order in which they came.

mod admitted;
mod constitution;
pub mod door;
pub mod horizon;
pub mod kinds;
pub mod member;
pub mod named;
pub mod order;
pub mod record;
mod shelf;
mod state;
pub mod tree;
pub mod view;

pub use admitted::CARRIED_LIMIT;
pub use shelf::{Overtaken, Withdrawn};
pub use state::{Ledger, Merged};

#[cfg(test)]
mod tests;
