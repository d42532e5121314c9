//! The node: everything of pacmesh that touches the world.
//!
//! `compose` builds the actors and introduces them to each other; each room owns one resource and hands out a handle.

pub mod blobs;
pub mod clock;
pub mod config;
pub mod frame;
pub mod home;
pub mod http;
pub mod ledger;
pub mod repository;
pub mod source;
pub mod transport;
pub mod worker;
