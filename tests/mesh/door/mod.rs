//! The ahriman door: what unmodified clients of ahriman get from a node. Each test pins one thing that the contract marks
//! as a must.

mod bad_input;
mod lines;
mod protocol;
mod replay;
mod says;
mod session;
mod socket;
mod update;
mod upload;

use pacmesh_tests::{
    cluster::{Farm, Node},
    door::Client,
};

/// A mesh of one that takes unsigned uploads, and a client with full access.
pub(crate) fn open_door(farm: &Farm) -> (Node, Client) {
    let node = farm.founder("desktop");
    let client = let_in(&node);
    (node, client)
}

/// Lets a client upload what is not signed.
pub(crate) fn let_in(node: &Node) -> Client {
    node.cli(&["config", "set", "http.archive_upload", "true"]).ok();
    node.cli(&["config", "set", "sign.verify", "present"]).ok();
    Client::full(node)
}
