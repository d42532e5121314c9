//! Toy signatures, for the simulated world only: a hash keyed by the *public* key. They show whether the right
//! bytes were signed in the right name, cost a hundredth of ed25519, and protect nothing.

use pacmesh_protocol::{
    ids::{Digest, MeshId, NodeId},
    signed::{Sign, Signature, Verify},
};

/// The mesh of every simulated world.
pub const MESH: MeshId = MeshId([0xee; 32]);

/// The id of the node with this number.
pub fn node_id(number: usize) -> NodeId {
    NodeId([u8::try_from(number + 1).unwrap_or(u8::MAX); 32])
}

/// The number of the node with this id.
pub fn number(node: &NodeId) -> usize {
    usize::from(node.0[0]) - 1
}

/// The toy key of one node; verifies for all of them.
#[derive(Debug, Clone, Copy)]
pub struct ToyKey(pub NodeId);

fn seal(public: &[u8; 32], message: &[u8]) -> Signature {
    let hash = Digest::of(&[public, message].concat());
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(hash.as_bytes());
    Signature::from_bytes(&bytes)
}

impl Sign for ToyKey {
    fn public(&self) -> [u8; 32] {
        self.0.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        seal(&self.0.0, message)
    }
}

impl Verify for ToyKey {
    fn verify(&self, public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        seal(public, message) == *signature
    }
}
