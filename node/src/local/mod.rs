//! The command line's way in: requests, answers and views over the local socket.
//!
//! A caller here has the rights of the node. The daemon opens no path that a caller names: files come as bytes.

pub mod client;
pub mod marks;
pub mod request;
pub mod server;
pub mod views;

pub use client::{Client, ClientError};
pub use request::{LocalReply, LocalRequest, Password};
