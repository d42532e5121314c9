//! Who leads.

pub mod document;
