//! Detached signatures: who signed these bytes, or why nobody did.
//!
//! The cheap questions come first (size, form, issuer, validity of the key), so that bytes are hashed only for a
//! signature that can still turn out good. Whether its maker is *trusted* is not asked here (see `keyring`, `policy`).

use std::io::{self, Read};

use pacmesh_protocol::ids::Fingerprint;
use pgp::errors::Error;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::types::{KeyDetails, KeyVersion, VerifyingKey};

use crate::openpgp::validity::{self, Unfit};
use crate::openpgp::{CLOCK_TOLERANCE, Certificate, SIGNATURE_MAX};

/// Why bytes are not validly signed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Longer than [`SIGNATURE_MAX`].
    #[error("{0} bytes are too many for a signature (at most {SIGNATURE_MAX})")]
    TooLong(usize),
    /// Not exactly one binary OpenPGP signature packet.
    #[error("not a detached OpenPGP signature ({0})")]
    NotASignature(&'static str),
    /// Made in a way that is not accepted: broken digest, version, unknown critical part.
    #[error("an OpenPGP signature that is not accepted ({0})")]
    Unacceptable(&'static str),
    /// None of the given certificates has the key that the signature names.
    #[error("signed by key {0}, which is not known here: add it with `pacmesh keys import`")]
    NoSuchKey(String),
    /// The bytes are not what was signed, or another key signed them.
    #[error("the signature by {0} does not match these bytes")]
    Bad(Fingerprint),
    /// The signing key is past its expiry.
    #[error("signed by {key}, which expired at Unix time {at}")]
    KeyExpired {
        /// The certificate of the key.
        key: Fingerprint,
        /// Since when, in seconds.
        at: u64,
    },
    /// The signature bears an expiry of its own, which is past.
    #[error("the signature by {key} expired at Unix time {at}")]
    SignatureExpired {
        /// The certificate of the key.
        key: Fingerprint,
        /// Since when, in seconds.
        at: u64,
    },
    /// The signing key was revoked by its owner.
    #[error("signed by {0}, which its owner revoked")]
    Revoked(Fingerprint),
    /// The key exists but is not one for signing packages.
    #[error("signed by {key} with {reason}")]
    MayNotSign {
        /// The certificate of the key.
        key: Fingerprint,
        /// What it lacks.
        reason: &'static str,
    },
    /// The signature claims a time before its key existed, or one that has not come yet.
    #[error("the signature by {key} bears a time ({at}) that cannot be right: check the clocks")]
    Time {
        /// The certificate of the key.
        key: Fingerprint,
        /// The time of signature or key, in seconds of Unix time.
        at: u64,
    },
    /// The signed bytes could not be read.
    #[error("cannot read what was signed")]
    Data(#[source] io::Error),
}

/// Verifies a detached signature over all bytes of `data`, judged at `now` (Unix time in seconds), against primary
/// keys and signing subkeys of `certificates`. Answers with the fingerprint of the signer's certificate.
///
/// # Errors
/// One distinct error for each reason; `data` is read only when all else is in order.
pub fn verify_detached<'a>(
    certificates: impl IntoIterator<Item = &'a Certificate>,
    data: impl Read,
    signature: &[u8],
    now: u64,
) -> Result<Fingerprint, VerifyError> {
    let signature = parse(signature)?;
    let candidate = certificates
        .into_iter()
        .find_map(|certificate| Candidate::find(certificate, &signature))
        .ok_or_else(|| VerifyError::NoSuchKey(issuer_name(&signature)))?;
    let signer = candidate.certificate.fingerprint();
    candidate.check_key(now)?;
    check_times(&signature, candidate.created(), signer, now)?;
    let mut data = Watched {
        inner: data,
        failure: None,
    };
    let outcome = candidate.verify(&signature, &mut data);
    match (outcome, data.failure) {
        (_, Some(failure)) => Err(VerifyError::Data(failure)),
        (Ok(()), None) => Ok(signer),
        (Err(_), None) => Err(VerifyError::Bad(signer)),
    }
}

/// Exactly one signature packet over binary data, of version 4 and with a sound digest.
fn parse(bytes: &[u8]) -> Result<Signature, VerifyError> {
    if bytes.len() > SIGNATURE_MAX {
        return Err(VerifyError::TooLong(bytes.len()));
    }
    if bytes.starts_with(b"-----BEGIN") {
        return Err(VerifyError::NotASignature(
            "armoured text; pacman wants binary, `gpg --detach-sign`",
        ));
    }
    let mut packets = PacketParser::new(bytes);
    let signature = match packets.next() {
        Some(Ok(Packet::Signature(signature))) => signature,
        Some(Ok(_)) => return Err(VerifyError::NotASignature("another kind of packet")),
        Some(Err(_)) => return Err(VerifyError::NotASignature("damaged")),
        None => return Err(VerifyError::NotASignature("empty or cut short")),
    };
    if packets.next().is_some() || !packets.into_inner().is_empty() {
        return Err(VerifyError::NotASignature("more bytes follow"));
    }
    check_form(&signature)?;
    Ok(signature)
}

fn check_form(signature: &Signature) -> Result<(), VerifyError> {
    if signature.version() != SignatureVersion::V4 {
        return Err(VerifyError::Unacceptable("not version 4"));
    }
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(VerifyError::NotASignature("not one over binary data"));
    }
    if !validity::is_strong(signature) {
        return Err(VerifyError::Unacceptable("a broken digest"));
    }
    // No notation has a meaning for packages, so a critical one is as unknown as an unknown part.
    let unknown = |data: &SubpacketData| {
        use SubpacketData::{Experimental, Notation, Other};
        matches!(data, Experimental(..) | Other(..) | Notation(_))
    };
    let parts = signature
        .config()
        .into_iter()
        .flat_map(|config| config.hashed_subpackets());
    for part in parts {
        if part.is_critical && unknown(&part.data) {
            return Err(VerifyError::Unacceptable(
                "an unknown part that must be understood",
            ));
        }
    }
    Ok(())
}

/// The signature's own times: not before its key, not in the future, not over.
fn check_times(
    signature: &Signature,
    key_created: u64,
    key: Fingerprint,
    now: u64,
) -> Result<(), VerifyError> {
    let Some(made) = signature.created().map(|t| u64::from(t.as_secs())) else {
        return Err(VerifyError::Unacceptable("no time of signing"));
    };
    if made < key_created || made > now.saturating_add(CLOCK_TOLERANCE) {
        return Err(VerifyError::Time { key, at: made });
    }
    match signature
        .signature_expiration_time()
        .map(|l| u64::from(l.as_secs()))
        .filter(|l| *l > 0)
    {
        Some(lifetime) if made + lifetime <= now => Err(VerifyError::SignatureExpired {
            key,
            at: made + lifetime,
        }),
        _ => Ok(()),
    }
}

/// The key that a signature names, inside its certificate.
struct Candidate<'a> {
    certificate: &'a Certificate,
    /// Index among the subkeys; `None` is the primary key.
    subkey: Option<usize>,
}

impl<'a> Candidate<'a> {
    fn find(certificate: &'a Certificate, signature: &Signature) -> Option<Self> {
        let key = certificate.key();
        if is_issuer(&key.primary_key, signature) {
            return Some(Candidate {
                certificate,
                subkey: None,
            });
        }
        let subkey = key
            .public_subkeys
            .iter()
            .position(|subkey| is_issuer(&subkey.key, signature))?;
        Some(Candidate {
            certificate,
            subkey: Some(subkey),
        })
    }

    fn check_key(&self, now: u64) -> Result<(), VerifyError> {
        let key = self.certificate.fingerprint();
        let parts = self.certificate.key();
        let checked = match self.subkey {
            None => validity::check_primary(parts, now),
            Some(index) => validity::check_subkey(parts, &parts.public_subkeys[index], now),
        };
        checked.map_err(|unfit| match unfit {
            Unfit::Revoked => VerifyError::Revoked(key),
            Unfit::Expired(at) => VerifyError::KeyExpired { key, at },
            Unfit::FromTheFuture(at) => VerifyError::Time { key, at },
            Unfit::MayNotSign(reason) => VerifyError::MayNotSign { key, reason },
        })
    }

    fn created(&self) -> u64 {
        let key = self.certificate.key();
        let created = match self.subkey {
            None => key.primary_key.created_at(),
            Some(index) => key.public_subkeys[index].key.created_at(),
        };
        u64::from(created.as_secs())
    }

    fn verify(&self, signature: &Signature, data: impl Read) -> Result<(), Error> {
        let key = self.certificate.key();
        match self.subkey {
            None => signature.verify(&key.primary_key, data),
            Some(index) => signature.verify(&key.public_subkeys[index].key, data),
        }
    }
}

/// Whether the signature names this key: by fingerprint if it has one, else by its 64-bit id. One without an issuer
/// names nobody.
fn is_issuer(key: &impl VerifyingKey, signature: &Signature) -> bool {
    if key.version() != KeyVersion::V4 {
        return false;
    }
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        signature.issuer_key_id().contains(&&key.legacy_key_id())
    } else {
        fingerprints.contains(&&key.fingerprint())
    }
}

fn issuer_name(signature: &Signature) -> String {
    if let Some(fingerprint) = signature.issuer_fingerprint().first() {
        return hex::encode(fingerprint.as_bytes());
    }
    match signature.issuer_key_id().first() {
        Some(id) => hex::encode(id.as_ref()),
        None => "without a name".to_owned(),
    }
}

/// Remembers the error of a reader, so that an unreadable file is not called badly signed.
struct Watched<R> {
    inner: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            let kind = e.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failure = Some(e);
            }
            kind.into()
        })
    }
}
