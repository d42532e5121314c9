//! ahriman's language: the models of its HTTP contract and the rules over them. Pure, and the same for whoever serves
//! it and whoever speaks it to another server.
//!
//! What is written here is what goes over the wire: names of fields, values of enums, defaults, bounds.

pub mod event;
pub mod facts;
pub mod info;
pub mod json;
pub mod log;
pub mod package;
pub mod patch;
pub mod place;
pub mod role;
pub mod slow;
pub mod status;
pub mod window;
pub mod worker;
