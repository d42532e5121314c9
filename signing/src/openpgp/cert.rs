//! Certificates: public keys with the names and subkeys that they vouch for.
//!
//! A [`Certificate`] exists only when it is one v4 public key of bounded size whose name is bound to it by its own
//! valid signature. Whether it may sign *today* is asked later (`validity`), because keys expire.

use std::fmt;

use pacmesh_protocol::ids::Fingerprint;
use pgp::armor::{self, BlockType};
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, KeyVersion};

use crate::openpgp::{CERTIFICATE_MAX, validity};

/// Why bytes are not a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`CERTIFICATE_MAX`].
    #[error(
        "{0} bytes are too many for one OpenPGP key (at most {CERTIFICATE_MAX}): export it with `gpg --export-options export-minimal`"
    )]
    TooLong(usize),
    /// No OpenPGP public key, neither binary nor armoured.
    #[error("not an OpenPGP public key: export one with `gpg --export`")]
    NotACertificate(#[source] Option<Box<pgp::errors::Error>>),
    /// More than one key where one is expected.
    #[error("more than one OpenPGP key: give one at a time")]
    Several,
    /// A key of a version other than 4: gpg 2.2 and pacman cannot read it.
    #[error("an OpenPGP key of version {0}, which pacman cannot read: make one of version 4")]
    Version(u8),
    /// No user id with a valid signature by the key itself.
    #[error("OpenPGP key {0} vouches for no user id with a valid signature of its own")]
    Unbound(Fingerprint),
}

/// An OpenPGP public key with its names and subkeys.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    key: SignedPublicKey,
    fingerprint: Fingerprint,
    user_id: String,
    bytes: Vec<u8>,
}

impl Certificate {
    /// Reads one certificate, binary or armoured.
    ///
    /// # Errors
    /// When the bytes are too many, no v4 public key, more than one, or not bound to a user id by the key itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > CERTIFICATE_MAX {
            return Err(CertificateError::TooLong(bytes.len()));
        }
        let refused = |e| CertificateError::NotACertificate(Some(Box::new(e)));
        let (mut found, _) = SignedPublicKey::from_reader_many_buf(bytes).map_err(refused)?;
        let key = found
            .next()
            .ok_or(CertificateError::NotACertificate(None))?
            .map_err(refused)?;
        if found.next().is_some() {
            return Err(CertificateError::Several);
        }
        Self::from_key(key)
    }

    /// Reads several certificates that follow each other in one export; at most 64 KiB times `most` in all.
    ///
    /// # Errors
    /// When one of them is no certificate or there are more than `most`.
    pub fn parse_many(bytes: &[u8], most: usize) -> Result<Vec<Self>, CertificateError> {
        if bytes.len() > CERTIFICATE_MAX.saturating_mul(most) {
            return Err(CertificateError::TooLong(bytes.len()));
        }
        let refused = |e| CertificateError::NotACertificate(Some(Box::new(e)));
        let (found, _) = SignedPublicKey::from_reader_many_buf(bytes).map_err(refused)?;
        let mut certificates = Vec::new();
        for key in found {
            if certificates.len() == most {
                return Err(CertificateError::Several);
            }
            certificates.push(Self::from_key(key.map_err(refused)?)?);
        }
        if certificates.is_empty() {
            Err(CertificateError::NotACertificate(None))
        } else {
            Ok(certificates)
        }
    }

    fn from_key(key: SignedPublicKey) -> Result<Self, CertificateError> {
        let version = key.version();
        let fingerprint = fingerprint_of(&key).ok_or(CertificateError::Version(version.into()))?;
        let user_id = validity::user_id(&key).ok_or(CertificateError::Unbound(fingerprint))?;
        let bytes = key
            .to_bytes()
            .map_err(|e| CertificateError::NotACertificate(Some(Box::new(e))))?;
        if bytes.len() > CERTIFICATE_MAX {
            return Err(CertificateError::TooLong(bytes.len()));
        }
        Ok(Certificate {
            key,
            fingerprint,
            user_id,
            bytes,
        })
    }

    /// A certificate made in this process, whose parts are known to fit.
    pub(super) fn from_own_parts(
        key: SignedPublicKey,
        fingerprint: Fingerprint,
        user_id: &str,
        bytes: Vec<u8>,
    ) -> Self {
        Certificate {
            key,
            fingerprint,
            user_id: user_id.to_owned(),
            bytes,
        }
    }

    /// The name of the primary key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The user id that the key vouches for, without control characters (its primary one, else the first).
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The certificate in binary form, as signer entries and knocks carry it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The certificate as text for `pacman-key --add` and `gpg --import`.
    pub fn armored(&self) -> String {
        export_armored([self])
    }

    pub(super) fn key(&self) -> &SignedPublicKey {
        &self.key
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("fingerprint", &self.fingerprint)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

/// Many certificates as one armoured block that `pacman-key --add` and `gpg --import` take at once. Empty for none.
pub fn export_armored<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> String {
    let keys: Vec<&SignedPublicKey> = certificates.into_iter().map(Certificate::key).collect();
    let mut text = Vec::new();
    if !keys.is_empty() {
        armor::write(&keys, BlockType::PublicKey, &mut text, None, true)
            .expect("memory takes all bytes, and each key was written before");
    }
    String::from_utf8(text).expect("armour is base64 and fixed words")
}

/// The fingerprint of the primary key if it is of version 4, the only one that gpg 2.2 knows.
pub(super) fn fingerprint_of(key: &impl KeyDetails) -> Option<Fingerprint> {
    if key.version() != KeyVersion::V4 {
        return None;
    }
    key.fingerprint().as_bytes().try_into().ok().map(Fingerprint)
}
