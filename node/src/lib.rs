//! The node: everything of pacmesh that touches the world.
//!
//! `compose` builds the actors and introduces them to each other; each room owns one resource and hands out a handle.

pub mod blobs;
pub mod cli;
pub mod clock;
pub mod clocks;
pub mod compat;
pub mod compose;
pub mod config;
pub mod error;
pub mod frame;
pub mod home;
pub mod http;
pub mod keyrings;
pub mod ledger;
pub mod links;
pub mod local;
pub mod master;
pub mod membership;
pub mod parting;
pub mod repository;
pub mod rooms;
pub mod service;
mod serving;
pub mod settings;
mod signals;
pub mod source;
pub mod sources;
pub mod telemetry;
pub mod transport;
pub mod users;
pub mod vitals;
pub mod worker;
