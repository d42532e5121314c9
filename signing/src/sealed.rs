//! Secrets of the mesh that stand in everybody's ledger: encrypted to each member that may lead.
//!
//! A key is drawn for each secret and agreed with every recipient's node key (X25519); BLAKE3 makes of it the key that
//! wraps the content's key. Both layers are AES-256-GCM, with the mesh and the secret's name as associated data, so that
//! no secret passes for another. Every key encrypts one message only, hence the fixed nonce.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use pacmesh_protocol::{
    ids::{MeshId, NodeId},
    ledger::door::{RECIPIENTS, Secret, SecretBox},
};
use zeroize::Zeroizing;

use crate::{
    node_key::NodeKey,
    secret::{SecretError, Seed},
};

const CONTEXT: &str = "pacmesh 2026-11-26 sealed secret, key of a box";
const NONCE: [u8; 12] = [0; 12];
/// A wrapped key and its tag.
const BOX: usize = 32 + 16;
/// Longest content, in bytes.
pub const CONTENT_LIMIT: usize = 4 << 10;

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is nobody who could open it.
    #[error("no member of this mesh may lead, so nobody could open a secret")]
    NoRecipient,
    /// More than a record holds.
    #[error("{0} members may lead; a secret is sealed to at most {RECIPIENTS}")]
    TooMany(usize),
    /// Longer than a record holds.
    #[error("a secret of {0} bytes; at most {CONTENT_LIMIT} fit")]
    TooLong(usize),
    /// It is not for this node.
    #[error("this node may not lead, and cannot open it")]
    NotForUs,
    /// It was made by nobody who followed the rules.
    #[error("it is damaged, or stands under another name")]
    Damaged,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SecretError),
}

/// Seals `content` under `name` to `recipients`.
///
/// # Errors
/// When there is nobody to seal it to, too much of anything, or no randomness.
pub fn seal(
    content: &[u8],
    name: &str,
    mesh: &MeshId,
    recipients: impl IntoIterator<Item = NodeId>,
) -> Result<Secret, SealError> {
    if content.len() > CONTENT_LIMIT {
        return Err(SealError::TooLong(content.len()));
    }
    let sender = NodeKey::from_seed(&Seed::generate()?);
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(SecretError::NoRandom)?;
    let mut boxes = Vec::new();
    for recipient in recipients {
        // A key with which nothing can be agreed opens nothing either.
        let Some(shared) = sender.agree(recipient.as_bytes()) else {
            continue;
        };
        let wrapping = wrapping_key(&shared, sender.id().as_bytes(), &recipient);
        boxes.push(SecretBox {
            hint: hint(&recipient),
            key: encrypt(&wrapping, key.as_slice(), name, mesh)?,
        });
    }
    match boxes.len() {
        0 => Err(SealError::NoRecipient),
        count if count > RECIPIENTS => Err(SealError::TooMany(count)),
        _ => Ok(Secret {
            sender: *sender.id().as_bytes(),
            boxes,
            content: encrypt(&key, content, name, mesh)?,
        }),
    }
}

/// Opens a secret that stands under `name`.
///
/// # Errors
/// When it is not for `node`, or not what it says.
pub fn open(
    node: &NodeKey,
    secret: &Secret,
    name: &str,
    mesh: &MeshId,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let own = node.id();
    let sealed = secret
        .boxes
        .iter()
        .find(|sealed| sealed.hint == hint(&own) && sealed.key.len() == BOX)
        .ok_or(SealError::NotForUs)?;
    let shared = node.agree(&secret.sender).ok_or(SealError::Damaged)?;
    let wrapping = wrapping_key(&shared, &secret.sender, &own);
    let key = decrypt(&wrapping, &sealed.key, name, mesh)?;
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(key.as_slice().try_into().map_err(|_| SealError::Damaged)?);
    decrypt(&key, &secret.content, name, mesh)
}

/// Whether a secret is sealed to exactly these.
pub fn is_sealed_to(secret: &Secret, recipients: impl IntoIterator<Item = NodeId>) -> bool {
    let mut wanted: Vec<_> = recipients.into_iter().map(|recipient| hint(&recipient)).collect();
    let mut there: Vec<_> = secret.boxes.iter().map(|sealed| sealed.hint).collect();
    wanted.sort_unstable();
    there.sort_unstable();
    wanted == there
}

fn hint(node: &NodeId) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *node.as_bytes();
    [a, b, c, d, e, f, g, h]
}

fn wrapping_key(shared: &[u8; 32], sender: &[u8; 32], recipient: &NodeId) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(shared).update(sender).update(recipient.as_bytes());
    Zeroizing::new(*hasher.finalize().as_bytes())
}

fn associated(name: &str, mesh: &MeshId) -> Vec<u8> {
    [mesh.as_bytes().as_slice(), name.as_bytes()].concat()
}

fn encrypt(key: &[u8; 32], plain: &[u8], name: &str, mesh: &MeshId) -> Result<Vec<u8>, SealError> {
    let payload = Payload {
        msg: plain,
        aad: &associated(name, mesh),
    };
    cipher(key)
        .encrypt(Nonce::from_slice(&NONCE), payload)
        .map_err(|_| SealError::Damaged)
}

fn decrypt(
    key: &[u8; 32],
    sealed: &[u8],
    name: &str,
    mesh: &MeshId,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let payload = Payload {
        msg: sealed,
        aad: &associated(name, mesh),
    };
    cipher(key)
        .decrypt(Nonce::from_slice(&NONCE), payload)
        .map(Zeroizing::new)
        .map_err(|_| SealError::Damaged)
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new_from_slice(key).expect("a key of the right length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: MeshId = MeshId([9; 32]);

    fn node(byte: u8) -> NodeKey {
        NodeKey::from_seed(&Zeroizing::new([byte; 32]).into())
    }

    #[test]
    fn inv6_recipients_open_a_secret_and_nobody_else_does() {
        let (master, other, guest) = (node(1), node(2), node(3));
        let secret = seal(b"word", "user/a", &MESH, [master.id(), other.id()]).unwrap();
        for recipient in [&master, &other] {
            assert_eq!(
                open(recipient, &secret, "user/a", &MESH).unwrap().as_slice(),
                b"word"
            );
        }
        assert!(matches!(
            open(&guest, &secret, "user/a", &MESH),
            Err(SealError::NotForUs)
        ));
        let shown = format!("{secret:?}");
        assert!(
            !shown.contains("119, 111, 114, 100"),
            "the content is in the clear: {shown}"
        );
    }

    #[test]
    fn a_secret_passes_for_no_other() {
        let master = node(1);
        let secret = seal(b"word", "user/a", &MESH, [master.id()]).unwrap();
        assert!(open(&master, &secret, "user/b", &MESH).is_err());
        assert!(open(&master, &secret, "user/a", &MeshId([8; 32])).is_err());
        for at in 0..secret.content.len() {
            let mut damaged = secret.clone();
            damaged.content[at] ^= 1;
            assert!(open(&master, &damaged, "user/a", &MESH).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_box_that_was_relabelled_for_somebody_else_does_not_open() {
        let (master, guest) = (node(1), node(3));
        let mut secret = seal(b"word", "user/a", &MESH, [master.id()]).unwrap();
        secret.boxes[0].hint = hint(&guest.id());
        assert!(matches!(
            open(&guest, &secret, "user/a", &MESH),
            Err(SealError::Damaged)
        ));
    }

    #[test]
    fn it_is_known_to_whom_a_secret_is_sealed() {
        let (a, b) = (node(1).id(), node(2).id());
        let secret = seal(b"word", "x", &MESH, [a, b]).unwrap();
        assert!(is_sealed_to(&secret, [b, a]));
        assert!(!is_sealed_to(&secret, [a]));
        assert!(matches!(
            seal(b"word", "x", &MESH, []),
            Err(SealError::NoRecipient)
        ));
    }
}
