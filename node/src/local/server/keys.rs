//! Signing keys: who is trusted, and who no longer.

use std::sync::Arc;

use pacmesh_protocol::{ids::Fingerprint, wire::Change};
use pacmesh_signing::Certificate;

use super::{
    caller::{Caller, End, cut},
    mesh::counted,
};
use crate::{
    error::chain,
    keyrings,
    local::{request::LocalReply, views::SignerView},
    master::carry,
    rooms::Rooms,
};

/// Most certificates that are trusted by one command.
const MANY: usize = 64;
/// Most keys in one answer.
const LISTED: usize = 1024;
/// Least digits of the end of a fingerprint: what people call a short key id.
const SUFFIX: usize = 8;

/// A fingerprint as gpg and pacman-key show it.
pub(super) fn upper(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().to_uppercase()
}

pub(super) async fn list(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let view = rooms.ledger.view();
    let ring = keyrings::all(&view);
    let shown = ring.all().take(LISTED).map(|(certificate, trusted)| {
        let fingerprint = certificate.fingerprint();
        let node = view.signer(&fingerprint).and_then(|signer| signer.node);
        SignerView {
            fingerprint: upper(&fingerprint),
            user_id: cut(certificate.user_id()),
            node: node.map(|node| rooms.name_of(&node)),
            trusted,
        }
    });
    caller.say(LocalReply::Keys(shown.collect())).await
}

pub(super) async fn export(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let keys = keyrings::for_clients(&rooms.ledger.view()).export();
    caller.say(LocalReply::Bytes(keys.into_bytes())).await
}

pub(super) async fn trust(rooms: &Arc<Rooms>, caller: &mut Caller, bytes: &[u8]) -> Result<(), End> {
    let certificates = Certificate::parse_many(bytes, MANY).map_err(|error| chain(&error))?;
    let mut trusted = Vec::new();
    for certificate in &certificates {
        let change = Change::Signer {
            certificate: certificate.as_bytes().to_vec(),
            distrusted: false,
        };
        carry(rooms, change).await?;
        trusted.push(upper(&certificate.fingerprint()));
    }
    let number = counted(trusted.len(), "key", "keys");
    caller
        .done(format!("{number} trusted: {}", trusted.join(" ")))
        .await
}

pub(super) async fn distrust(rooms: &Arc<Rooms>, caller: &mut Caller, text: &str) -> Result<(), End> {
    let view = rooms.ledger.view();
    let fingerprint = pick(text, view.signers().map(|(fingerprint, _)| *fingerprint))?;
    let certificate = view
        .signer(&fingerprint)
        .map(|signer| signer.certificate.clone())
        .unwrap_or_default();
    carry(
        rooms,
        Change::Signer {
            certificate,
            distrusted: true,
        },
    )
    .await?;
    caller
        .done(format!("{} is trusted no longer.", upper(&fingerprint)))
        .await
}

/// Which key a fingerprint or the end of one means.
fn pick(text: &str, keys: impl Iterator<Item = Fingerprint>) -> Result<Fingerprint, String> {
    let digits: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    let shown: String = text.chars().take(80).collect();
    if digits.len() < SUFFIX || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!(
            "'{shown}' is not the end of a fingerprint: give at least {SUFFIX} hex digits"
        ));
    }
    let mut alike = keys.filter(|key| key.to_string().ends_with(digits));
    match (alike.next(), alike.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(format!(
            "there is no key '{shown}' in this mesh: see 'pacmesh keys list'"
        )),
        (Some(_), Some(_)) => Err(format!("'{shown}' means several keys: give more digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_meant_by_the_end_of_its_fingerprint_however_it_is_written() {
        let (a, b) = (Fingerprint([0xab; 20]), Fingerprint([0xcd; 20]));
        for text in ["abababab", "0xABABABAB", "ABAB ABAB ABAB", &a.to_string()] {
            assert_eq!(pick(text, [a, b].into_iter()), Ok(a), "{text}");
        }
    }

    #[test]
    fn what_is_short_unknown_or_shared_by_two_keys_is_refused() {
        let (a, mut c) = (Fingerprint([0xab; 20]), Fingerprint([0xab; 20]));
        c.0[0] = 0;
        for text in ["ababab", "12345678", "abababab", "not a key"] {
            assert!(pick(text, [a, c].into_iter()).is_err(), "{text}");
        }
    }
}
