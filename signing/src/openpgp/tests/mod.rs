//! OpenPGP against the real gpg, in both directions, and against bytes that mean harm.

mod against_gpg;
mod gpg;
mod hostile;

use super::*;
use crate::secret::SecretsDir;

/// A moment after the creation of all keys in these tests.
const NOW: u64 = 1_790_000_000;
const DAY: u64 = 24 * 60 * 60;

/// A package key whose seed is one repeated byte.
fn key(seed: u8) -> PackageKey {
    let seed = zeroize::Zeroizing::new([seed; 32]).into();
    PackageKey::from_parts(seed, "pacmesh test <test@pacmesh.invalid>", NOW - DAY).unwrap()
}

#[test]
fn a_key_comes_back_from_its_file_with_the_same_certificate() {
    let home = tempfile::tempdir().unwrap();
    let dir = SecretsDir::open_or_create(home.path().join("secrets")).unwrap();
    assert!(PackageKey::load(&dir).unwrap().is_none());
    let made = PackageKey::load_or_create(&dir, "desktop <desktop@pacmesh.invalid>", NOW).unwrap();
    let loaded = PackageKey::load_or_create(&dir, "ignored, there is a key", NOW + 9).unwrap();
    assert_eq!(made.certificate(), loaded.certificate());
    assert_eq!(
        loaded.certificate().user_id(),
        "desktop <desktop@pacmesh.invalid>"
    );
    let other = PackageKey::generate("desktop <desktop@pacmesh.invalid>", NOW).unwrap();
    assert_ne!(other.fingerprint(), made.fingerprint());
}

#[test]
fn a_certificate_fits_into_a_knock_and_reads_back_in_both_forms() {
    let long = "n".repeat(USER_ID_MAX);
    let key = PackageKey::generate(&long, NOW).unwrap();
    assert!(key.certificate().as_bytes().len() <= 4096);
    for bytes in [
        key.certificate().as_bytes(),
        key.certificate().armored().as_bytes(),
    ] {
        assert_eq!(&Certificate::parse(bytes).unwrap(), key.certificate());
    }
}

#[test]
fn one_key_file_always_means_one_fingerprint_and_certificate() {
    let key = key(1);
    assert_eq!(
        key.fingerprint().to_string(),
        "af6ab59d3fdb9eacf29dfb0e93ef112e2adfbfa8"
    );
    let certificate = blake3::hash(key.certificate().as_bytes());
    assert_eq!(
        certificate.to_hex()[..16],
        *"e45b1f8140a9998d",
        "ledgers hold these bytes"
    );
}

#[test]
fn user_ids_and_times_that_openpgp_cannot_hold_are_refused() {
    for bad in ["", "two\nlines", &"n".repeat(USER_ID_MAX + 1)] {
        assert!(
            matches!(PackageKey::generate(bad, NOW), Err(SignError::UserId(_))),
            "{bad:?}"
        );
    }
    assert!(matches!(
        PackageKey::generate("a", 1 << 32),
        Err(SignError::Time(_))
    ));
    assert!(matches!(
        key(1).sign_detached(&b""[..], 1 << 32),
        Err(SignError::Time(_))
    ));
}

#[test]
fn our_own_signature_verifies_and_names_its_signer() {
    let (key, other) = (key(1), key(2));
    let signature = key.sign_detached(&b"archive"[..], NOW).unwrap();
    let known = [other.certificate().clone(), key.certificate().clone()];
    assert_eq!(
        verify_detached(&known, &b"archive"[..], &signature, NOW).unwrap(),
        key.fingerprint()
    );
}

#[test]
fn inv6_tampered_bytes_and_unknown_signers_are_told_apart() {
    let (key, other) = (key(1), key(2));
    let signature = key.sign_detached(&b"archive"[..], NOW).unwrap();
    let by = |certificate: &Certificate, data: &[u8]| {
        verify_detached([certificate], data, &signature, NOW).unwrap_err()
    };
    assert!(matches!(by(key.certificate(), b"archivf"), VerifyError::Bad(f) if f == key.fingerprint()));
    assert!(matches!(by(key.certificate(), b""), VerifyError::Bad(_)));
    let error = by(other.certificate(), b"archive");
    assert!(
        matches!(&error, VerifyError::NoSuchKey(name) if *name == key.fingerprint().to_string()),
        "{error}"
    );
}

#[test]
fn a_signature_is_never_older_than_its_key_nor_from_the_future() {
    let key = key(1);
    let verdict = |at: u64, now: u64| {
        let signature = key.sign_detached(&b"archive"[..], at).unwrap();
        verify_detached([key.certificate()], &b"archive"[..], &signature, now)
    };
    assert!(
        verdict(0, NOW).is_ok(),
        "a clock that was reset signs at the creation of its key"
    );
    assert!(verdict(NOW + DAY, NOW).is_ok(), "a clock that is a little fast");
    assert!(matches!(
        verdict(NOW + DAY + 1, NOW),
        Err(VerifyError::Time { .. })
    ));
    assert!(
        matches!(verdict(NOW, 0), Err(VerifyError::Time { .. })),
        "a verifier without a clock says so"
    );
}

#[test]
fn a_signature_from_before_its_key_is_refused() {
    let key = key(1);
    let early = pgp::types::Timestamp::from_secs(u32::try_from(NOW - DAY - 1).unwrap());
    let signature = key.sign_at(&b"archive"[..], early).unwrap();
    let error = verify_detached([key.certificate()], &b"archive"[..], &signature, NOW).unwrap_err();
    assert!(
        matches!(error, VerifyError::Time { at, .. } if at == NOW - DAY - 1),
        "{error}"
    );
}

#[test]
fn inv6_a_key_without_the_flag_for_signing_signs_nothing() {
    let key = key(1);
    let signature = key.sign_detached(&b"archive"[..], NOW).unwrap();
    let certificate = Certificate::parse(key.certificate_without_sign_flag().as_bytes()).unwrap();
    let error = verify_detached([&certificate], &b"archive"[..], &signature, NOW).unwrap_err();
    assert!(matches!(error, VerifyError::MayNotSign { .. }), "{error}");
}

#[test]
fn data_that_cannot_be_read_is_not_called_badly_signed() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let key = key(1);
    let signature = key.sign_detached(&b"archive"[..], NOW).unwrap();
    let error = verify_detached([key.certificate()], Broken, &signature, NOW).unwrap_err();
    assert!(matches!(error, VerifyError::Data(_)), "{error}");
    assert!(matches!(key.sign_detached(Broken, NOW), Err(SignError::Data(_))));
}

#[test]
fn a_secret_never_shows() {
    let key = key(0xab);
    let expected = format!(
        "PackageKey {{ fingerprint: {:?}, user_id: \"pacmesh test <test@pacmesh.invalid>\", .. }}",
        key.fingerprint()
    );
    assert_eq!(format!("{key:?}"), expected);
}
