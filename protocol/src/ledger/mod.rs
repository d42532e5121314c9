//! The mesh's shared facts. **The ledger keeps facts; the view decides.**

pub mod kinds;
pub mod record;
