//! The schedule by its outputs: one file per family of rules, and a small world that goes wrong at random.

mod admission;
mod attempts;
mod fixtures;
mod placement;
mod reign;
mod waiting;
mod world;
