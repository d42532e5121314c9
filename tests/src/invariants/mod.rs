//! What must hold in every step of a simulated world. One file per property:
//!
//! | property | DESIGN, "What always holds" | module |
//! |---|---|---|
//! | Two reigns of one term share no granter, and each is proven | 1 | [`inv1a`] |
//! | An order of a lower reign than the highest verified changes nothing | 1 | [`inv1b`] |
//! | A node grants a term once, across crashes | 1 | [`inv1c`] |
//! | What was answered with N copies survives the loss of N − 1 nodes | 2 | [`inv2a`] |
//! | Ledgers that met are equal, and so are their views | 2 | [`inv2b`] |
//! | After a heal: one master, equal ledgers and views, within the stated time | 1, 2 | [`settled`] |

pub mod inv1a;
pub mod inv1b;
pub mod inv1c;
pub mod inv2a;
pub mod inv2b;
pub mod settled;

use std::fmt::Debug;

use crate::sim::{Note, World};

/// A property that is checked after every step; it may remember what it saw.
pub trait Invariant: Debug {
    /// Its number and words.
    fn name(&self) -> &'static str;

    /// Looks at the world and at what happened in this step; an error says what was seen.
    fn check(&mut self, world: &mut World, notes: &[Note]) -> Result<(), String>;
}

/// All of them, knowing nothing yet.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(inv1a::SharedGranters::default()),
        Box::new(inv1b::LowerOrders::default()),
        Box::new(inv1c::GrantedOnce::default()),
        Box::new(inv2a::AnsweredSurvives::default()),
        Box::new(inv2b::MetAreEqual),
    ]
}
