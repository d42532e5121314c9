//! What we make, gpg reads; what gpg makes, we judge.

use std::time::{SystemTime, UNIX_EPOCH};

use super::gpg::Gpg;
use super::*;

const DATA: &[u8] = b"the bytes of a package archive";

/// gpg knows no other time than the machine's.
fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn key_of_today(name: &str) -> PackageKey {
    PackageKey::generate(&format!("{name} <{name}@pacmesh.invalid>"), wall_clock() - 60).unwrap()
}

fn import(gpg: &Gpg, armored: &str) -> String {
    let path = gpg.file("import.asc", armored.as_bytes());
    gpg.text(&["--import", path.to_str().unwrap()])
}

#[test]
fn gpg_verifies_what_we_sign() {
    let (gpg, key) = (Gpg::new(), key_of_today("desktop"));
    import(&gpg, &key.certificate().armored());
    let archive = vec![0x5a; 3 << 20];
    let signature = key.sign_detached(archive.as_slice(), wall_clock()).unwrap();
    let (good, status) = gpg.verify(&signature, &archive);
    let fingerprint = key.fingerprint().to_string().to_uppercase();
    assert!(good && status.contains("[GNUPG:] GOODSIG"), "{status}");
    assert!(
        status.contains(&format!("[GNUPG:] VALIDSIG {fingerprint}")),
        "{status}"
    );

    let (good, status) = gpg.verify(&signature, &archive[1..]);
    assert!(!good && status.contains("[GNUPG:] BADSIG"), "{status}");
}

#[test]
fn our_signature_names_its_issuer_by_fingerprint_over_sha512() {
    let (gpg, key) = (Gpg::new(), key_of_today("desktop"));
    let signature = key.sign_detached(DATA, wall_clock()).unwrap();
    let path = gpg.file("one.sig", &signature);
    let packets = gpg.text(&["--list-packets", path.to_str().unwrap()]);
    let fingerprint = key.fingerprint().to_string().to_uppercase();
    assert!(
        packets.contains(&format!("hashed subpkt 33 len 21 (issuer fpr v4 {fingerprint})")),
        "{packets}"
    );
    assert!(
        packets.contains("digest algo 10") && packets.contains("sigclass 0x00"),
        "{packets}"
    );
}

#[test]
fn gpg_imports_all_keys_of_one_export() {
    let gpg = Gpg::new();
    let keys = ["desktop", "laptop", "nas"].map(key_of_today);
    let status = import(&gpg, &export_armored(keys.iter().map(PackageKey::certificate)));
    assert_eq!(status.matches("[GNUPG:] IMPORT_OK 1").count(), 3, "{status}");
    let listed = gpg.text(&["--with-colons", "--list-keys"]);
    for key in &keys {
        assert!(
            listed.contains(&key.fingerprint().to_string().to_uppercase()),
            "{listed}"
        );
        assert!(listed.contains(key.certificate().user_id()), "{listed}");
    }
    // s and c in lower case: this key signs and certifies, and has no expiry (an empty field).
    let public = listed.lines().find(|line| line.starts_with("pub:")).unwrap();
    let fields: Vec<&str> = public.split(':').collect();
    assert_eq!((fields[3], fields[6], fields[11]), ("22", "", "scSC"), "{public}");
    assert_eq!(export_armored([]), "");
}

#[test]
fn we_verify_what_gpg_signs_with_ed25519_and_rsa() {
    let gpg = Gpg::new();
    for algorithm in ["ed25519", "rsa4096"] {
        let fingerprint = gpg.make_key(&format!("{algorithm} <a@b.invalid>"), algorithm, "sign", "never");
        let certificate = gpg.certificate(&fingerprint);
        assert_eq!(certificate.user_id(), format!("{algorithm} <a@b.invalid>"));
        let signature = gpg.sign(&fingerprint, &[], DATA);
        let signer = verify_detached([&certificate], DATA, &signature, wall_clock()).unwrap();
        assert_eq!(signer.to_string().to_uppercase(), fingerprint);
        let error = verify_detached([&certificate], &DATA[1..], &signature, wall_clock()).unwrap_err();
        assert!(matches!(error, VerifyError::Bad(f) if f == signer), "{error}");
    }
}

#[test]
fn a_signing_subkey_signs_for_its_certificate_until_it_is_revoked() {
    let gpg = Gpg::new();
    let primary = gpg.make_key("packager <p@b.invalid>", "ed25519", "cert", "never");
    gpg.run(&["--quick-add-key", &primary, "ed25519", "sign", "never"]);
    let signature = gpg.sign(&primary, &[], DATA);
    let certificate = gpg.certificate(&primary);
    let signer = verify_detached([&certificate], DATA, &signature, wall_clock()).unwrap();
    assert_eq!(signer, certificate.fingerprint());

    let commands = gpg.file("commands", b"key 1\nrevkey\ny\n0\n\ny\nsave\n");
    let command_file = format!("--command-file={}", commands.display());
    gpg.run(&[command_file.as_str(), "--edit-key", &primary]);
    let error = verify_detached([&gpg.certificate(&primary)], DATA, &signature, wall_clock()).unwrap_err();
    assert!(matches!(error, VerifyError::Revoked(f) if f == signer), "{error}");
}

#[test]
fn an_expired_key_signs_nothing_more() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("short <s@b.invalid>", "ed25519", "sign", "1d");
    let (certificate, signature) = (gpg.certificate(&fingerprint), gpg.sign(&fingerprint, &[], DATA));
    assert!(verify_detached([&certificate], DATA, &signature, wall_clock()).is_ok());
    let error = verify_detached([&certificate], DATA, &signature, wall_clock() + 2 * DAY).unwrap_err();
    assert!(matches!(error, VerifyError::KeyExpired { .. }), "{error}");
}

#[test]
fn the_newest_expiry_counts() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("longer <l@b.invalid>", "ed25519", "sign", "1d");
    let signature = gpg.sign(&fingerprint, &[], DATA);
    gpg.run(&["--quick-set-expire", &fingerprint, "3d"]);
    let certificate = gpg.certificate(&fingerprint);
    assert!(verify_detached([&certificate], DATA, &signature, wall_clock() + 2 * DAY).is_ok());
    let error = verify_detached([&certificate], DATA, &signature, wall_clock() + 4 * DAY).unwrap_err();
    assert!(matches!(error, VerifyError::KeyExpired { .. }), "{error}");
}

#[test]
fn a_revoked_user_id_names_nobody() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("old <old@b.invalid>", "ed25519", "sign,cert", "never");
    gpg.run(&["--quick-add-uid", &fingerprint, "new <new@b.invalid>"]);
    gpg.run(&["--quick-revoke-uid", &fingerprint, "old <old@b.invalid>"]);
    assert_eq!(gpg.certificate(&fingerprint).user_id(), "new <new@b.invalid>");
}

#[test]
fn short_rsa_keys_sign_nothing() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("short <s@b.invalid>", "rsa1024", "sign", "never");
    let signature = gpg.sign(&fingerprint, &[], DATA);
    let error =
        verify_detached([&gpg.certificate(&fingerprint)], DATA, &signature, wall_clock()).unwrap_err();
    assert!(matches!(error, VerifyError::MayNotSign { .. }), "{error}");
}

#[test]
fn an_expired_signature_is_told_from_an_expired_key() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("long <l@b.invalid>", "ed25519", "sign", "never");
    let certificate = gpg.certificate(&fingerprint);
    let signature = gpg.sign(&fingerprint, &["--default-sig-expire=1d"], DATA);
    assert!(verify_detached([&certificate], DATA, &signature, wall_clock()).is_ok());
    let error = verify_detached([&certificate], DATA, &signature, wall_clock() + 2 * DAY).unwrap_err();
    assert!(matches!(error, VerifyError::SignatureExpired { .. }), "{error}");
}

#[test]
fn a_revoked_key_signs_nothing_more() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("gone <g@b.invalid>", "ed25519", "sign", "never");
    let (before, signature) = (gpg.certificate(&fingerprint), gpg.sign(&fingerprint, &[], DATA));
    let revocation = gpg.prepared_revocation(&fingerprint);
    gpg.run(&["--import", revocation.to_str().unwrap()]);
    assert!(verify_detached([&before], DATA, &signature, wall_clock()).is_ok());
    let error =
        verify_detached([&gpg.certificate(&fingerprint)], DATA, &signature, wall_clock()).unwrap_err();
    assert!(matches!(error, VerifyError::Revoked(_)), "{error}");
}

#[test]
fn only_binary_signatures_with_a_sound_digest_count() {
    let gpg = Gpg::new();
    let fingerprint = gpg.make_key("odd <o@b.invalid>", "rsa2048", "sign", "never");
    let certificate = gpg.certificate(&fingerprint);
    let verdict = |options: &[&str]| {
        let signature = gpg.sign(&fingerprint, options, DATA);
        verify_detached([&certificate], DATA, &signature, wall_clock())
    };
    assert!(verdict(&["--digest-algo=SHA256"]).is_ok());
    assert!(matches!(
        verdict(&["--digest-algo=SHA1"]),
        Err(VerifyError::Unacceptable(_))
    ));
    assert!(matches!(
        verdict(&["--textmode"]),
        Err(VerifyError::NotASignature(_))
    ));
    assert!(matches!(
        verdict(&["--armor"]),
        Err(VerifyError::NotASignature(_))
    ));
    let critical = verdict(&["--sig-notation=!odd@b.invalid=1"]);
    assert!(
        matches!(critical, Err(VerifyError::Unacceptable(_))),
        "{critical:?}"
    );
}

#[test]
fn certifications_by_others_neither_help_nor_harm() {
    let gpg = Gpg::new();
    let packager = gpg.make_key("packager <p@b.invalid>", "ed25519", "sign,cert", "never");
    let friend = gpg.make_key("friend <f@b.invalid>", "ed25519", "sign,cert", "never");
    gpg.run(&["--local-user", &friend, "--quick-sign-key", &packager]);
    let signature = gpg.sign(&packager, &[], DATA);
    assert!(verify_detached([&gpg.certificate(&packager)], DATA, &signature, wall_clock()).is_ok());
}
