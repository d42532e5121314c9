//! Leading: this room drives the reign and, while it leads, the schedule.
//!
//! `reign` is the driver of [`pacmesh_protocol::reign`]; it owns the ballot and starts a [`leader`] for each reign of
//! this node. The leader is the only writer of records in its reign: it admits, accepts, orders, publishes.

mod carry;
mod catalogs;
mod changes;
mod copies;
mod entrants;
mod generations;
mod handle;
mod leader;
mod publish;
mod reign;
mod submit;
mod verify;

pub use carry::carry;
pub use copies::{Copies, count_copies};
pub use handle::{Leadership, MasterHandle, Message};
pub use reign::ReignDriver;
