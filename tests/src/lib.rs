//! The kit of whole-system tests.
//!
//! * [`sim`]: a world of machines that one seed decides, for decisions; [`invariants`]: what holds in each of its steps
//! * [`cluster`]: real nodes in processes of their own; [`namespace`]: networks for them; [`lan`]: both together;
//!   [`mishaps`]: what happens to machines; [`audit`]: what must hold afterwards; [`pacman`]: clients of their
//!   repository; [`fixtures`]: what they build; [`process`] and [`wait`]: bounded programs, bounded waits

pub mod audit;
pub mod cluster;
pub mod fixtures;
pub mod invariants;
pub mod lan;
pub mod mishaps;
pub mod namespace;
pub mod pacman;
pub mod process;
pub mod sim;
pub mod wait;
