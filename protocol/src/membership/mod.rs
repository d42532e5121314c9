//! Who is here: what nodes say of themselves, and who of them is alive.

pub mod member;
pub mod record;
pub mod table;

pub use member::{Heard, MemberHint, Version};
pub use record::NodeRecord;
pub use table::{MemberState, Seen, Table};
