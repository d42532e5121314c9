//! The keys whose signatures count, as the ledger's signer entries say: certificates by fingerprint, trusted or not.
//!
//! A distrusted certificate stays in the ring, so that its signatures are refused by name and not as unknown ones.

use std::collections::BTreeMap;
use std::io::Read;

use pacmesh_protocol::ids::Fingerprint;

use crate::openpgp::{Certificate, CertificateError, VerifyError, export_armored, verify_detached};

/// Why a signer entry is left out of the ring.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The entry holds no usable certificate.
    #[error("the signer entry {fingerprint} holds no usable OpenPGP key")]
    Certificate {
        /// The key of the entry.
        fingerprint: Fingerprint,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The entry holds the certificate of another key than it names.
    #[error("the signer entry {fingerprint} holds the OpenPGP key {found} instead")]
    Mismatch {
        /// The key of the entry.
        fingerprint: Fingerprint,
        /// What it holds.
        found: Fingerprint,
    },
}

#[derive(Debug, Clone)]
struct Signer {
    certificate: Certificate,
    distrusted: bool,
}

/// A signature that fits, and whether its maker is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The certificate that made it.
    pub signer: Fingerprint,
    /// Whether the mesh trusts that certificate.
    pub trusted: bool,
}

/// Certificates by fingerprint.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    signers: BTreeMap<Fingerprint, Signer>,
}

impl Keyring {
    /// Reads signer entries (fingerprint, certificate, distrusted). Entries that cannot be read are left out and
    /// reported: one bad entry must not stop all packages.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = (Fingerprint, &'a [u8], bool)>,
    ) -> (Self, Vec<SignerError>) {
        let (mut ring, mut problems) = (Keyring::default(), Vec::new());
        for (fingerprint, bytes, distrusted) in entries {
            match Certificate::parse(bytes) {
                Ok(certificate) if certificate.fingerprint() == fingerprint => {
                    ring.insert(certificate, distrusted)
                }
                Ok(other) => {
                    problems.push(SignerError::Mismatch {
                        fingerprint,
                        found: other.fingerprint(),
                    });
                }
                Err(source) => problems.push(SignerError::Certificate { fingerprint, source }),
            }
        }
        (ring, problems)
    }

    /// Adds or replaces a certificate.
    pub fn insert(&mut self, certificate: Certificate, distrusted: bool) {
        self.signers.insert(
            certificate.fingerprint(),
            Signer {
                certificate,
                distrusted,
            },
        );
    }

    /// The certificates that are trusted, by fingerprint.
    pub fn trusted(&self) -> impl Iterator<Item = &Certificate> {
        self.signers
            .values()
            .filter(|signer| !signer.distrusted)
            .map(|signer| &signer.certificate)
    }

    /// All certificates with their trust, by fingerprint.
    pub fn all(&self) -> impl Iterator<Item = (&Certificate, bool)> {
        self.signers
            .values()
            .map(|signer| (&signer.certificate, !signer.distrusted))
    }

    /// Whether the mesh trusts this certificate.
    pub fn is_trusted(&self, fingerprint: &Fingerprint) -> bool {
        self.signers
            .get(fingerprint)
            .is_some_and(|signer| !signer.distrusted)
    }

    /// Verifies a detached signature over `data` at `now` (Unix time in seconds) against all certificates.
    ///
    /// # Errors
    /// As [`verify_detached`]. A distrusted signer is no error here: `policy` decides.
    pub fn verify(&self, data: impl Read, signature: &[u8], now: u64) -> Result<Verified, VerifyError> {
        let certificates = self.signers.values().map(|signer| &signer.certificate);
        let signer = verify_detached(certificates, data, signature, now)?;
        Ok(Verified {
            signer,
            trusted: self.is_trusted(&signer),
        })
    }

    /// Every trusted key that a client needs, as one armoured block for `pacman-key --add`.
    pub fn export(&self) -> String {
        export_armored(self.trusted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_keys::{CREATED, package_key};

    #[test]
    fn signatures_of_trusted_and_distrusted_signers_are_told_apart() {
        let (a, b) = (package_key(1), package_key(2));
        let entry = |key: &crate::PackageKey| (key.fingerprint(), key.certificate().as_bytes().to_vec());
        let (first, second) = (entry(&a), entry(&b));
        let entries = [
            (first.0, first.1.as_slice(), false),
            (second.0, second.1.as_slice(), true),
        ];
        let (ring, problems) = Keyring::from_entries(entries);
        assert!(problems.is_empty());
        for (key, trusted) in [(&a, true), (&b, false)] {
            let signature = key.sign_detached(&b"archive"[..], CREATED).unwrap();
            let verified = ring.verify(&b"archive"[..], &signature, CREATED).unwrap();
            assert_eq!(
                verified,
                Verified {
                    signer: key.fingerprint(),
                    trusted
                }
            );
        }
        let stranger = package_key(3).sign_detached(&b"archive"[..], CREATED).unwrap();
        assert!(matches!(
            ring.verify(&b"archive"[..], &stranger, CREATED),
            Err(VerifyError::NoSuchKey(_))
        ));
        assert_eq!(
            ring.export(),
            export_armored([a.certificate()]),
            "distrusted keys are not handed out"
        );
    }

    #[test]
    fn a_bad_entry_is_left_out_and_reported() {
        let (a, b) = (package_key(1), package_key(2));
        let entries = [
            (a.fingerprint(), &b"garbage"[..], false),
            (b.fingerprint(), a.certificate().as_bytes(), false),
            (a.fingerprint(), a.certificate().as_bytes(), false),
        ];
        let (ring, problems) = Keyring::from_entries(entries);
        assert_eq!(ring.trusted().count(), 1);
        assert!(matches!(
            problems[..],
            [SignerError::Certificate { .. }, SignerError::Mismatch { .. }]
        ));
    }
}
