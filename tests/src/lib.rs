//! The kit of whole-system tests.
//!
//! * [`sim`]: a world of machines that one seed decides, for decisions; [`invariants`]: what holds in each of its steps

pub mod invariants;
pub mod sim;
