//! The laws of the ledger: orders are total, merging forgets the order of arrival, and verdicts mean what they say.

mod door;
mod generated;
mod growth;
mod healing;
mod horizon;
mod merge;
mod named;
mod orders;
mod quarantine;
mod tree;
mod verdicts;
mod view;
mod world;
