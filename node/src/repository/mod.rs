//! From what the ledger says to the files that pacman reads.
//!
//! [`archive`] reads packages, [`database`] writes what pacman syncs, [`index`] says what a generation shows
//! and whether one may follow another, [`layout`] puts all of it on disk so that no reader ever meets half of
//! it, and [`shown`] is what readers hold. All of these block and know neither
//! ledger nor network; `keeper` drives them.

pub mod archive;
pub mod database;
mod disk;
pub mod index;
mod keeper;
pub mod layout;
pub mod meta;
pub mod shown;

pub use keeper::{FromReplicas, Inbox, Mend, RepositoryHandle, keep};

#[cfg(test)]
pub(crate) mod testfarm;
#[cfg(test)]
pub(crate) mod testkit;
