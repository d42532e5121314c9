//! What comes back from a backup, what does not open, and what is put aside.

use super::*;
use crate::{PackageKey, test_keys::CREATED};

fn phrase(text: &str) -> Passphrase {
    text.to_owned().try_into().unwrap()
}

fn good() -> Passphrase {
    phrase("correct horse")
}

fn secrets(home: &tempfile::TempDir, name: &str) -> SecretsDir {
    SecretsDir::open_or_create(home.path().join(name)).unwrap()
}

/// A node with all three keys.
fn founder(dir: &SecretsDir) -> (NodeId, MeshId, PackageKey) {
    let node = NodeKey::load_or_create(dir).unwrap();
    let package = PackageKey::load_or_create(dir, "desk <desk@pacmesh.invalid>", CREATED).unwrap();
    let authority = Authority::generate().unwrap();
    authority.store(dir).unwrap();
    (node.id(), authority.mesh(), package)
}

#[test]
fn all_keys_and_what_they_belong_to_come_back() {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = (secrets(&home, "old"), secrets(&home, "new"));
    let (node, mesh, package) = founder(&old);

    let file = seal(&old, b"the mesh", &good()).unwrap();
    let opened = Opened::open(&file, &good()).unwrap();
    let aside = opened.store(&new).unwrap();

    assert_eq!(
        (opened.node(), opened.authority(), opened.about()),
        (node, Some(mesh), &b"the mesh"[..])
    );
    assert_eq!(aside, Vec::<PathBuf>::new());
    assert_eq!(NodeKey::load_or_create(&new).unwrap().id(), node);
    assert_eq!(Authority::load(&new).unwrap().unwrap().mesh(), mesh);
    let restored = PackageKey::load(&new).unwrap().unwrap();
    assert_eq!(restored.fingerprint(), package.fingerprint());
    assert_eq!(
        restored.certificate().as_bytes(),
        package.certificate().as_bytes()
    );
}

#[test]
fn a_node_without_the_authority_has_a_backup_without_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = secrets(&home, "secrets");
    NodeKey::load_or_create(&dir).unwrap();
    let missing = seal(&dir, b"", &good()).unwrap_err().to_string();
    assert!(missing.contains("openpgp.key"), "{missing}");
    PackageKey::load_or_create(&dir, "desk <desk@pacmesh.invalid>", CREATED).unwrap();

    let file = seal(&dir, b"", &good()).unwrap();

    assert_eq!(Opened::open(&file, &good()).unwrap().authority(), None);
}

#[test]
fn nothing_of_the_keys_is_in_the_file_and_two_backups_have_nothing_in_common() {
    let home = tempfile::tempdir().unwrap();
    let dir = secrets(&home, "secrets");
    founder(&dir);
    let (one, two) = (
        seal(&dir, b"the mesh", &good()).unwrap(),
        seal(&dir, b"the mesh", &good()).unwrap(),
    );
    for word in [&b"pacmesh"[..], b"seed", b"the mesh"] {
        assert!(!one.windows(word.len()).any(|window| window == word));
    }
    // Magic, version and costs, then the length.
    assert_ne!(one[22..66], two[22..66]);
    assert_ne!(one[74..], two[74..]);
}

#[test]
fn another_passphrase_opens_nothing_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let dir = secrets(&home, "secrets");
    founder(&dir);
    let file = seal(&dir, b"", &good()).unwrap();
    let error = Opened::open(&file, &phrase("correct house")).unwrap_err();
    assert!(matches!(error, BackupError::Passphrase), "{error}");
}

#[test]
fn damage_anywhere_is_found_and_is_not_called_a_wrong_passphrase() {
    let home = tempfile::tempdir().unwrap();
    let dir = secrets(&home, "secrets");
    founder(&dir);
    let file = seal(&dir, b"the mesh", &good()).unwrap();
    let flipped = |at: usize| {
        let mut bytes = file.clone();
        bytes[at] ^= 1;
        Opened::open(&bytes, &good()).unwrap_err()
    };
    assert!(matches!(flipped(0), BackupError::Foreign));
    assert!(matches!(flipped(9), BackupError::Version(0)));
    // A nonce, a length, the first and the last sealed byte.
    for at in [54, 73, 74, file.len() - 1] {
        let error = flipped(at);
        assert!(matches!(error, BackupError::Damaged(_)), "byte {at}: {error}");
    }
    // The salt and the check belong to the passphrase.
    for at in [22, 38] {
        assert!(matches!(flipped(at), BackupError::Passphrase), "byte {at}");
    }
}

#[test]
fn inv5_a_file_cut_anywhere_or_with_costs_beyond_reason_is_refused_before_work_is_done() {
    let home = tempfile::tempdir().unwrap();
    let dir = secrets(&home, "secrets");
    founder(&dir);
    let file = seal(&dir, b"", &good()).unwrap();
    for end in (0..80).chain([file.len() - 1]) {
        let error = Opened::open(&file[..end], &good()).unwrap_err();
        match end {
            0..8 => assert!(matches!(error, BackupError::Foreign), "cut at {end}: {error}"),
            _ => assert!(
                matches!(error, BackupError::Damaged("it is cut short")),
                "cut at {end}: {error}"
            ),
        }
    }
    let mut longer = file.clone();
    longer.push(0);
    assert!(matches!(
        Opened::open(&longer, &good()),
        Err(BackupError::Damaged("something follows it"))
    ));
    for at in [10, 14, 18] {
        let mut greedy = file.clone();
        greedy[at] = 0xff;
        let error = Opened::open(&greedy, &good()).unwrap_err();
        assert!(
            matches!(error, BackupError::Damaged("it asks for too much to be opened")),
            "{error}"
        );
    }
}

#[test]
fn keys_that_are_there_are_put_aside_and_never_lost() {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = (secrets(&home, "old"), secrets(&home, "new"));
    let (node, ..) = founder(&old);
    let other = NodeKey::load_or_create(&new).unwrap().id();
    std::fs::write(new.path_of("identity.key.left-1"), "an earlier one").unwrap();
    let opened = Opened::open(&seal(&old, b"", &good()).unwrap(), &good()).unwrap();

    let aside = opened.store(&new).unwrap();

    assert_eq!(aside, [new.path_of("identity.key.left-2")]);
    assert_eq!(NodeKey::load_or_create(&new).unwrap().id(), node);
    let kept = std::fs::read(&aside[0]).unwrap();
    let kept = node_key::FILE.parse(&kept).unwrap();
    assert_eq!(NodeKey::from_seed(&kept.seed).id(), other);
    // A second time everything is there.
    assert_eq!(opened.store(&new).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_passphrase_has_a_length_and_does_not_show() {
    assert_eq!(
        Passphrase::try_from("seven77".to_owned()),
        Err(PassphraseError::Short)
    );
    assert_eq!(Passphrase::try_from("x".repeat(1025)), Err(PassphraseError::Long));
    assert_eq!(format!("{:?}", good()), "Passphrase(..)");
}
