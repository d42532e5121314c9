//! Who is here: what nodes say of themselves, and who of them is alive.

pub mod record;

pub use record::NodeRecord;
