//! What is served over HTTP, one room per audience: [`repo`] is for pacman, [`compat`] for ahriman's clients.
//!
//! Only this room knows axum. Connections are accepted by [`listener`] alone, so that each listener has its
//! bounds.

pub mod compat;
pub mod listener;
pub mod repo;
