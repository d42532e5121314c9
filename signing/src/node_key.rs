//! The key that a node is: one ed25519 key for its id, its records, TLS and libp2p.
//!
//! Verification is strict everywhere (RFC 8032 with canonical scalars, no small-order points), so that all nodes
//! judge one signature alike and no signature fits two messages.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use pacmesh_protocol::ids::NodeId;
use pacmesh_protocol::signed::{Sign, Signature, Verify};
use zeroize::Zeroizing;

use crate::key_file::{KeyContent, KeyFile};
use crate::secret::{SecretError, SecretsDir, Seed};

pub(crate) const FILE: KeyFile = KeyFile {
    name: "identity.key",
    kind: "identity",
    fields: &[],
};

/// A node's private key. Never shown: its `Debug` is its public id.
pub struct NodeKey {
    key: SigningKey,
}

impl NodeKey {
    /// The key in `identity.key`, made at the first call.
    ///
    /// # Errors
    /// When the file is loose, foreign or damaged, or cannot be written.
    pub fn load_or_create(dir: &SecretsDir) -> Result<Self, SecretError> {
        let make = || {
            Ok::<_, SecretError>(KeyContent {
                seed: Seed::generate()?,
                fields: vec![],
            })
        };
        FILE.load_or_create(dir, make)
            .map(|content| Self::from_seed(&content.seed))
    }

    pub(crate) fn from_seed(seed: &Seed) -> Self {
        NodeKey {
            key: seed.signing_key(),
        }
    }

    /// The node that this key is.
    pub fn id(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    /// The secret seed itself, for the two libraries that must hold the key to prove it in a handshake: rustls (QUIC)
    /// and libp2p. The only way by which private bytes leave this crate; wiped when dropped. Never store or log it.
    pub fn transport_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The X25519 secret that this key shares with the holder of `public`; `None` where there is none that only the two
    /// know. (RFC 7748 over the Montgomery form of both keys; eprint 2021/509 on one key for both uses.)
    pub(crate) fn agree(&self, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        if !is_usable(public) {
            return None;
        }
        let theirs = VerifyingKey::from_bytes(public).ok()?.to_montgomery();
        Some(Zeroizing::new((theirs * self.key.to_scalar()).to_bytes()))
    }
}

impl Sign for NodeKey {
    fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        sign(&self.key, message)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeKey").field(&self.id()).finish()
    }
}

/// Judges everybody's ed25519 signatures, strictly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ed25519Verifier;

impl Verify for Ed25519Verifier {
    fn verify(&self, public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.to_bytes());
        VerifyingKey::from_bytes(public).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// Whether a public key can verify anything: a point of the curve, not of small order, in its one canonical form.
pub(crate) fn is_usable(public: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| !key.is_weak() && key.to_edwards().compress().to_bytes() == *public)
}

pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    Signature::from_bytes(&key.sign(message).to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> NodeKey {
        NodeKey::from_seed(&Zeroizing::new([byte; 32]).into())
    }

    #[test]
    fn a_node_keeps_its_key_over_restarts() {
        let home = tempfile::tempdir().unwrap();
        let dir = SecretsDir::open_or_create(home.path().join("secrets")).unwrap();
        let first = NodeKey::load_or_create(&dir).unwrap();
        let again = NodeKey::load_or_create(&SecretsDir::open(home.path().join("secrets")).unwrap()).unwrap();
        assert_eq!(first.id(), again.id());
        assert_eq!(again.public(), *first.id().as_bytes());
        assert_eq!(
            SigningKey::from_bytes(&again.transport_seed())
                .verifying_key()
                .to_bytes(),
            first.public()
        );
    }

    #[test]
    fn a_signature_fits_one_key_and_one_message() {
        let (a, b) = (key(1), key(2));
        let signature = a.sign(b"word");
        assert!(Ed25519Verifier.verify(&a.public(), b"word", &signature));
        assert!(!Ed25519Verifier.verify(&b.public(), b"word", &signature));
        assert!(!Ed25519Verifier.verify(&a.public(), b"wore", &signature));
        for at in 0..64 {
            let mut bytes = signature.to_bytes();
            bytes[at] ^= 1;
            assert!(
                !Ed25519Verifier.verify(&a.public(), b"word", &Signature::from_bytes(&bytes)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn keys_of_small_order_verify_nothing() {
        // The neutral element: with R = identity and S = 0 it "signs" every message under the lax equation.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!Ed25519Verifier.verify(&neutral, b"anything", &Signature::from_bytes(&forged)));
        assert!(!is_usable(&neutral));
        assert!(!is_usable(&[0xff; 32]), "no point of the curve");
        assert!(is_usable(&key(1).public()));
    }

    #[test]
    fn the_seed_does_not_show() {
        let shown = format!("{:?}", key(0xab));
        assert_eq!(shown, format!("NodeKey({:?})", key(0xab).id()));
    }
}
