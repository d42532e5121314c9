//! The ledger on disk and its exchange with peers. **Durable before heard**: nothing is acknowledged, returned,
//! announced or visible in a view before it is synced.
//!
//! `store` is the file, `actor` the one thread that owns it, [`LedgerHandle`] what everybody else holds; what records
//! mean is decided by `pacmesh_protocol::ledger`. [`exchange()`] makes two ledgers equal, [`answer()`] is its other side.

mod actor;
mod error;
mod exchange;
mod handle;
mod store;

pub use error::LedgerError;
pub use exchange::{ExchangeError, ExchangeSummary, Peer, answer, exchange};
pub use handle::{LedgerHandle, MergeSummary};

#[cfg(test)]
mod tests;
