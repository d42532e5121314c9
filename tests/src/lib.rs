//! The kit of whole-system tests.
//!
//! * [`sim`]: a world of machines that one seed decides, for decisions; [`invariants`]: what holds in each of its steps
//! * [`cluster`]: real nodes in processes of their own; [`namespace`]: networks for them; [`lan`]: both together;
//!   [`mishaps`]: what happens to machines; [`audit`]: what must hold afterwards; [`pacman`]: clients of their
//!   repository; [`fixtures`] and [`gate`]: what they build; [`process`], [`background`] and [`wait`]: bounded programs,
//!   bounded waits

pub mod audit;
pub mod background;
pub mod cluster;
pub mod door;
pub mod fixtures;
pub mod gate;
pub mod invariants;
pub mod lan;
pub mod mishaps;
pub mod namespace;
pub mod pacman;
pub mod process;
pub mod sim;
pub mod wait;
