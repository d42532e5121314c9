//! Links: this node keeps in touch with every member it can reach, and ledgers equal along the way.
//!
//! `linker` introduces discovery and transport to each other: candidates and remembered addresses are dialled,
//! credentials pass, then libp2p may talk to them. `spread` moves records: pushes at once, exchanges when digests
//! differ.

mod linker;
mod spread;

pub use linker::link;
pub use spread::{PeerOf, push, spread};
