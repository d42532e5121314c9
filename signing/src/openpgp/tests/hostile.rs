//! Bytes from outside: they may be refused, never more.

use pgp::composed::{SignedKeyDetails, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{PubKeyInner, PublicSubkey};
use pgp::ser::Serialize;
use pgp::types::KeyDetails;
use proptest::prelude::*;

use super::*;

const DATA: &[u8] = b"archive";

fn refused(signature: &[u8]) -> VerifyError {
    verify_detached([key(1).certificate()], DATA, signature, NOW).unwrap_err()
}

#[test]
fn inv5_every_truncation_of_a_signature_is_refused() {
    let signature = key(1).sign_detached(DATA, NOW).unwrap();
    for end in 0..signature.len() {
        let error = refused(&signature[..end]);
        assert!(
            matches!(error, VerifyError::NotASignature(_)),
            "cut at {end}: {error}"
        );
    }
}

#[test]
fn inv5_lengths_are_checked_first() {
    assert!(matches!(
        refused(&vec![0xff; SIGNATURE_MAX + 1]),
        VerifyError::TooLong(_)
    ));
    let error = Certificate::parse(&vec![0x99; CERTIFICATE_MAX + 1]).unwrap_err();
    assert!(matches!(error, CertificateError::TooLong(_)), "{error}");
    assert!(matches!(
        Certificate::parse_many(&vec![0; 2 * CERTIFICATE_MAX + 1], 2),
        Err(CertificateError::TooLong(_))
    ));
}

#[test]
fn one_signature_means_one() {
    let mut signature = key(1).sign_detached(DATA, NOW).unwrap();
    signature.extend_from_within(..);
    assert!(matches!(
        refused(&signature),
        VerifyError::NotASignature("more bytes follow")
    ));
    assert!(matches!(
        refused(key(1).certificate().as_bytes()),
        VerifyError::NotASignature(_)
    ));
    assert!(matches!(refused(b"hello"), VerifyError::NotASignature(_)));
}

#[test]
fn one_certificate_means_one() {
    let (a, b) = (key(1), key(2));
    let both = [a.certificate().as_bytes(), b.certificate().as_bytes()].concat();
    assert!(matches!(
        Certificate::parse(&both),
        Err(CertificateError::Several)
    ));
    assert_eq!(
        Certificate::parse_many(&both, 2).unwrap(),
        [a.certificate().clone(), b.certificate().clone()]
    );
    assert!(matches!(
        Certificate::parse_many(&both, 1),
        Err(CertificateError::Several)
    ));
    for empty in [
        &b""[..],
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ] {
        assert!(matches!(
            Certificate::parse(empty),
            Err(CertificateError::NotACertificate(_))
        ));
    }
}

#[test]
fn a_key_without_a_name_of_its_own_is_refused() {
    let victim = key(1);
    let parts = victim.certificate().key();
    // The name and self-signature of another key under this primary key.
    let details = key(2).certificate().key().details.clone();
    let forged = SignedPublicKey::new(parts.primary_key.clone(), details, vec![])
        .to_bytes()
        .unwrap();
    assert!(matches!(
        Certificate::parse(&forged),
        Err(CertificateError::Unbound(_))
    ));
    let bare = SignedKeyDetails::new(vec![], vec![], vec![], vec![]);
    let bare = SignedPublicKey::new(parts.primary_key.clone(), bare, vec![])
        .to_bytes()
        .unwrap();
    assert!(matches!(
        Certificate::parse(&bare),
        Err(CertificateError::Unbound(_))
    ));
}

#[test]
fn inv6_nobody_adopts_the_key_of_another_as_a_subkey() {
    let (victim, thief) = (key(1), key(2));
    let public = &victim.certificate().key().primary_key;
    let params = public.public_params().clone();
    let inner = PubKeyInner::new(
        public.version(),
        public.algorithm(),
        public.created_at(),
        None,
        params,
    )
    .unwrap();
    let subkey = PublicSubkey::from_inner(inner).unwrap();
    let binding = thief.bind_subkey_without_consent(&subkey);
    let parts = thief.certificate().key().clone();
    let subkeys = vec![SignedPublicSubKey::new(subkey, vec![binding])];
    let forged = SignedPublicKey::new(parts.primary_key, parts.details, subkeys)
        .to_bytes()
        .unwrap();
    let forged = Certificate::parse(&forged).unwrap();
    let signature = victim.sign_detached(DATA, NOW).unwrap();
    let error = verify_detached([&forged], DATA, &signature, NOW).unwrap_err();
    assert!(
        matches!(error, VerifyError::MayNotSign { key, .. } if key == thief.fingerprint()),
        "{error}"
    );
}

proptest! {
    #[test]
    fn inv5_arbitrary_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Certificate::parse(&bytes).is_err());
        prop_assert!(verify_detached([key(1).certificate()], DATA, &bytes, NOW).is_err());
    }

    #[test]
    fn inv5_a_packet_of_any_tag_is_no_certificate(tag in 0xc0u8.., body in prop::collection::vec(any::<u8>(), 0..190)) {
        let mut bytes = vec![tag, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        prop_assert!(Certificate::parse(&bytes).is_err());
        prop_assert!(verify_detached([key(1).certificate()], DATA, &bytes, NOW).is_err());
    }

    #[test]
    fn inv6_a_changed_signature_is_refused_or_signs_the_same(at in 0usize..119, bit in 0u8..8) {
        let mut signature = key(1).sign_detached(DATA, NOW).unwrap();
        signature[at] ^= 1 << bit;
        // The unhashed part may change without harm; it can never name another signer or other bytes.
        if let Ok(signer) = verify_detached([key(1).certificate()], DATA, &signature, NOW) {
            prop_assert_eq!(signer, key(1).fingerprint());
        }
        prop_assert!(verify_detached([key(1).certificate()], &b"archivf"[..], &signature, NOW).is_err());
    }

    #[test]
    fn inv5_a_changed_certificate_keeps_its_name_or_is_another(at in any::<prop::sample::Index>(), byte: u8) {
        let key = key(1);
        let mut bytes = key.certificate().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(parsed) = Certificate::parse(&bytes) {
            prop_assert_eq!(parsed.fingerprint(), key.fingerprint());
            prop_assert_eq!(parsed.user_id(), key.certificate().user_id());
        }
    }
}
