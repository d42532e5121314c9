//! From what the ledger says to the files that pacman reads.
//!
//! [`archive`] reads packages, [`database`] writes what pacman syncs, [`index`] says what a generation shows and whether one
//! may follow another, [`layout`] puts all of it on disk so that no reader ever meets half of it. Everything here
//! blocks and knows neither ledger nor network.

pub mod archive;
pub mod database;
pub mod meta;
#[cfg(test)]
pub(crate) mod testkit;
