//! Which keys of a certificate may sign, judged at one moment.
//!
//! rPGP parses and does the arithmetic but has no policy; this is ours. Only what the key said of itself counts, with
//! a valid signature over a digest that is not broken; certifications by others are neither needed nor harmful.
//! A revocation of any kind ends a key for all its signatures.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, PublicKey, Signature, SignatureType};
use pgp::ser::Serialize;
use pgp::types::{Duration, EcdsaPublicParams, KeyDetails, PublicParams, SignedUser, Tag, VerifyingKey};

use crate::openpgp::CLOCK_TOLERANCE;

/// Why a key may not sign at the moment asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Revoked by itself or its primary key.
    Revoked,
    /// Past its own expiry, given in Unix time.
    Expired(u64),
    /// Created later than the verifier's clock shows.
    FromTheFuture(u64),
    /// Without a valid binding, without the flag "sign", or of a weak algorithm.
    MayNotSign(&'static str),
}

/// The user id to show for a key: its primary one, else the first of those that it bound to itself.
pub(super) fn user_id(key: &SignedPublicKey) -> Option<String> {
    let bound = |user: &&SignedUser| newest_binding(&key.primary_key, user).is_some();
    let users: Vec<&SignedUser> = key.details.users.iter().filter(bound).collect();
    let primary =
        |user: &&&SignedUser| newest_binding(&key.primary_key, user).is_some_and(Signature::is_primary);
    let user = users.iter().find(primary).or(users.first())?;
    Some(
        String::from_utf8_lossy(user.id.id())
            .chars()
            .filter(|c| !c.is_control())
            .collect(),
    )
}

/// Whether the primary key may sign packages at `now`.
pub(super) fn check_primary(key: &SignedPublicKey, now: u64) -> Result<(), Unfit> {
    let flags = check_primary_alive(key, now)?;
    may_sign(&flags, key.primary_key.public_params())
}

/// Whether a subkey may sign packages at `now`: alive itself, under a living primary key, and with a signature of
/// its own that accepts that primary key, so that nobody adopts a foreign subkey.
pub(super) fn check_subkey(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: u64,
) -> Result<(), Unfit> {
    check_primary_alive(key, now)?;
    let valid =
        |s: &&Signature| is_strong(s) && s.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok();
    let of = |kind| {
        subkey
            .signatures
            .iter()
            .filter(move |s| s.typ() == Some(kind))
            .filter(valid)
    };
    if of(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(Unfit::Revoked);
    }
    let binding = newest(of(SignatureType::SubkeyBinding)).ok_or(Unfit::MayNotSign("an unbound subkey"))?;
    check_lifetime(&subkey.key, binding.key_expiration_time(), now)?;
    let accepts = |back: &Signature| {
        is_strong(back)
            && back
                .verify_primary_key_binding(&subkey.key, &key.primary_key)
                .is_ok()
    };
    if !binding.embedded_signature().is_some_and(accepts) {
        return Err(Unfit::MayNotSign("a subkey that does not accept its primary key"));
    }
    may_sign(&binding.key_flags(), subkey.key.public_params())
}

/// Not revoked, not expired, created in the past. Gives the flags of the primary key.
fn check_primary_alive(key: &SignedPublicKey, now: u64) -> Result<KeyFlags, Unfit> {
    let primary = &key.primary_key;
    let by_itself = |s: &&Signature| s.verify_key(primary).is_ok();
    if key.details.revocation_signatures.iter().any(|s| by_itself(&s)) {
        return Err(Unfit::Revoked);
    }
    let direct = newest(
        key.details
            .direct_signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::Key) && is_strong(s))
            .filter(by_itself),
    );
    let user = newest(
        key.details
            .users
            .iter()
            .filter_map(|user| newest_binding(primary, user)),
    );
    for signature in [direct, user].into_iter().flatten() {
        check_lifetime(primary, signature.key_expiration_time(), now)?;
    }
    let flags = user
        .or(direct)
        .ok_or(Unfit::MayNotSign("a key without a valid signature of its own"))?;
    Ok(flags.key_flags())
}

fn check_lifetime(key: &impl KeyDetails, lifetime: Option<Duration>, now: u64) -> Result<(), Unfit> {
    let created = u64::from(key.created_at().as_secs());
    if created > now.saturating_add(CLOCK_TOLERANCE) {
        return Err(Unfit::FromTheFuture(created));
    }
    // Zero means "never" (RFC 9580, 5.2.3.13).
    match lifetime.map(|l| u64::from(l.as_secs())).filter(|l| *l > 0) {
        Some(lifetime) if created + lifetime <= now => Err(Unfit::Expired(created + lifetime)),
        _ => Ok(()),
    }
}

fn may_sign(flags: &KeyFlags, params: &PublicParams) -> Result<(), Unfit> {
    if !flags.sign() {
        return Err(Unfit::MayNotSign("a key without the flag for signing"));
    }
    let strong = match params {
        PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => true,
        PublicParams::ECDSA(curve) => !matches!(curve, EcdsaPublicParams::Unsupported { .. }),
        // The modulus alone fills 256 bytes from 2048 bits on.
        PublicParams::RSA(rsa) => rsa.write_len() > 2048 / 8,
        _ => false,
    };
    if strong {
        Ok(())
    } else {
        Err(Unfit::MayNotSign("a key of a weak or unknown algorithm"))
    }
}

/// The newest valid self-signature over a user id, unless the key itself revoked that user id later.
fn newest_binding<'a>(key: &PublicKey, user: &'a SignedUser) -> Option<&'a Signature> {
    let valid = |s: &&Signature| is_strong(s) && s.verify_certification(key, Tag::UserId, &user.id).is_ok();
    let latest = newest(user.signatures.iter().filter(|s| claims(s, key)).filter(valid))?;
    (latest.typ() != Some(SignatureType::CertRevocation)).then_some(latest)
}

/// Whether a signature says that this key made it. Saves the arithmetic for what others certified.
fn claims(signature: &Signature, key: &impl VerifyingKey) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    // Within one second a revocation counts as the later word.
    let order = |s: &&Signature| (s.created(), s.typ() == Some(SignatureType::CertRevocation));
    signatures.filter(|s| s.created().is_some()).max_by_key(order)
}

/// Whether the digest below a signature can still be relied upon.
pub(super) fn is_strong(signature: &Signature) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    matches!(
        signature.hash_alg(),
        Some(Sha224 | Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
    )
}
