//! What a signature covers: a purpose, the mesh, and the exact bytes that were received.
//!
//! Bytes are signed and passed on as they came; nothing is encoded again before it is verified.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    ids::{MeshId, NodeId},
};

/// What a signature is for; one made for one purpose is worthless for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A ledger record.
    Record,
    /// The authority founds the mesh with its first node.
    Found,
    /// The authority permits admissions.
    Invitation,
    /// The authority revokes or reinstates.
    Verdict,
    /// A joiner proves that it holds an invitation.
    Join,
    /// A node describes itself by gossip.
    NodeRecord,
    /// A node asks to lead.
    Claim,
    /// A node grants a claim.
    Grant,
    /// A node asks for a change.
    Carried,
}

impl Purpose {
    /// The purpose string that starts the signed bytes (FORMATS, "Records" and "Entering and meeting").
    pub const fn label(self) -> &'static str {
        match self {
            Self::Record => "pacmesh/record/1",
            Self::Found => "pacmesh/found/1",
            Self::Invitation => "pacmesh/invitation/1",
            Self::Verdict => "pacmesh/verdict/1",
            Self::Join => "pacmesh/join/1",
            Self::NodeRecord => "pacmesh/node/1",
            Self::Claim => "pacmesh/claim/1",
            Self::Grant => "pacmesh/grant/1",
            Self::Carried => "pacmesh/carried/1",
        }
    }
}

/// The bytes that a signature covers: `purpose 0x00 mesh-id body`.
pub fn message(purpose: Purpose, mesh: &MeshId, body: &[u8]) -> Vec<u8> {
    let label = purpose.label().as_bytes();
    let mut bytes = Vec::with_capacity(label.len() + 33 + body.len());
    bytes.extend_from_slice(label);
    bytes.push(0);
    bytes.extend_from_slice(mesh.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// An ed25519 signature (RFC 8032), 64 bytes: R, then S.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signature {
    r: [u8; 32],
    s: [u8; 32],
}

impl Signature {
    /// From the 64 bytes of RFC 8032.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&bytes[..32]);
        s.copy_from_slice(&bytes[32..]);
        Self { r, s }
    }

    /// The 64 bytes of RFC 8032.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.r);
        bytes[32..].copy_from_slice(&self.s);
        bytes
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", hex::encode(&self.r[..4]))
    }
}

/// Signs in the name of one key. Implemented by the crate that sees private keys.
pub trait Sign: Send + Sync + fmt::Debug {
    /// The public key that verifies what this signs.
    fn public(&self) -> [u8; 32];

    /// Signs these bytes as they are; callers go through [`Signed::seal`] or [`message`].
    fn sign(&self, message: &[u8]) -> Signature;

    /// The node that this key names.
    fn node(&self) -> NodeId {
        NodeId(self.public())
    }
}

/// Judges signatures, strictly (no small-order keys, canonical scalars only).
pub trait Verify: Send + Sync + fmt::Debug {
    /// Whether `signature` over `message` was made by the holder of `public`.
    fn verify(&self, public: &[u8; 32], message: &[u8], signature: &Signature) -> bool;
}

/// Bytes with a signature, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signed {
    /// The encoded value, kept as it came.
    pub body: Vec<u8>,
    /// Over `purpose 0x00 mesh body`.
    pub signature: Signature,
}

/// Why signed bytes were not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// The signature does not fit the body, the mesh or the key.
    #[error("a signature that does not fit")]
    Signature,
    /// The body is not a value of its kind.
    #[error("a signed body that cannot be read")]
    Body(#[from] CodecError),
}

impl Signed {
    /// Encodes and signs `value`.
    pub fn seal<T: Serialize>(
        value: &T,
        purpose: Purpose,
        mesh: &MeshId,
        key: &dyn Sign,
        limit: usize,
    ) -> Result<Self, CodecError> {
        let body = codec::encode(value, limit)?;
        let signature = key.sign(&message(purpose, mesh, &body));
        Ok(Self { body, signature })
    }

    /// Verifies against a key known beforehand, then decodes.
    pub fn open<T: serde::de::DeserializeOwned>(
        &self,
        purpose: Purpose,
        mesh: &MeshId,
        public: &[u8; 32],
        verifier: &dyn Verify,
        limit: usize,
    ) -> Result<T, SignedError> {
        self.check(purpose, mesh, public, verifier)?;
        Ok(codec::decode(&self.body, limit)?)
    }

    /// Decodes without believing: for values that name their own author, whose key must then pass [`Signed::check`].
    pub fn peek<T: serde::de::DeserializeOwned>(&self, limit: usize) -> Result<T, CodecError> {
        codec::decode(&self.body, limit)
    }

    /// Verifies the signature alone.
    pub fn check(
        &self,
        purpose: Purpose,
        mesh: &MeshId,
        public: &[u8; 32],
        verifier: &dyn Verify,
    ) -> Result<(), SignedError> {
        if verifier.verify(public, &message(purpose, mesh, &self.body), &self.signature) {
            Ok(())
        } else {
            Err(SignedError::Signature)
        }
    }
}
