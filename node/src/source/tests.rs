//! Trees travel whole, equal trees are equal bytes, and hostile ones change nothing outside.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use pacmesh_protocol::{codec, ids::Digest};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::{
    PackOptions, Packed, SourceError, TreeLimits, pack,
    tree::{Content, Entry, Node, TreeError},
    unpack,
};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn packed(folder: &TempDir) -> Packed {
    pack(folder.path(), PackOptions::default()).unwrap()
}

fn unpacked(packed: &Packed) -> (TempDir, Vec<String>) {
    let target = tempdir().unwrap();
    let tree = target.path().join("tree");
    unpack(
        File::open(packed.file.path()).unwrap(),
        &tree,
        TreeLimits::default(),
    )
    .unwrap();
    let mut names = Vec::new();
    list(&tree, "", &mut names);
    names.sort();
    (target, names)
}

fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for item in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{prefix}{}", item.file_name().to_str().unwrap());
        if item.file_type().unwrap().is_dir() {
            list(&item.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}

/// A blob with any table, right or wrong.
fn blob(entries: &[Entry], bytes: &[u8]) -> Vec<u8> {
    let table = codec::encode(&entries.to_vec(), 1 << 20).unwrap();
    let mut blob = b"pmtree\0\x01".to_vec();
    blob.extend((table.len() as u32).to_le_bytes());
    blob.extend(table);
    blob.extend(bytes);
    blob
}

fn plain(path: &str, text: &str) -> Entry {
    Entry {
        path: path.to_owned(),
        node: Node::Plain(Content {
            size: text.len() as u64,
            digest: Digest::of(text.as_bytes()),
        }),
    }
}

fn link(path: &str, target: &str) -> Entry {
    Entry {
        path: path.to_owned(),
        node: Node::Symlink(target.to_owned()),
    }
}

fn refusal(blob: &[u8]) -> TreeError {
    let target = tempdir().unwrap();
    let sentinel = target.path().join("sentinel");
    fs::write(&sentinel, "as it was").unwrap();
    let error = unpack(blob, &target.path().join("tree"), TreeLimits::default()).unwrap_err();
    assert_eq!(fs::read_to_string(&sentinel).unwrap(), "as it was");
    match error {
        SourceError::Tree(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_tree_travels_with_its_modes_and_links() {
    let source = folder(&[
        ("PKGBUILD", "pkgname=a\n"),
        ("keys/pgp/A.asc", "key"),
        ("run.sh", "x"),
    ]);
    fs::set_permissions(source.path().join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("../run.sh", source.path().join("keys/link")).unwrap();
    let (target, names) = unpacked(&packed(&source));
    assert_eq!(names, ["PKGBUILD", "keys/link", "keys/pgp/A.asc", "run.sh"]);
    let mode = |name: &str| {
        fs::metadata(target.path().join("tree").join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!((mode("run.sh") & 0o777, mode("PKGBUILD") & 0o777), (0o755, 0o644));
    let read = fs::read_to_string(target.path().join("tree/keys/link")).unwrap();
    assert_eq!(read, "x");
}

#[test]
fn equal_directories_are_one_blob_whatever_their_times() {
    let one = folder(&[("PKGBUILD", "a"), ("b", "c")]);
    let other = folder(&[("b", "c"), ("PKGBUILD", "a")]);
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    for name in ["b", "PKGBUILD"] {
        File::options()
            .write(true)
            .open(other.path().join(name))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    let (one, other) = (packed(&one), packed(&other));
    assert_eq!(one.digest, other.digest);
    assert_eq!(other.epoch, 1_000);
    assert_eq!(Digest::of(&fs::read(one.file.path()).unwrap()), one.digest);
}

#[test]
fn secrets_leftovers_and_downloads_stay_at_home() {
    let source = folder(&[
        (
            "PKGBUILD",
            "pkgname=foo\npkgver=1\nsource=(https://x.invalid/$pkgname-$pkgver.tgz local.c)\n",
        ),
        ("local.c", ""),
        ("foo-1.tgz", ""),
        (".git/config", ""),
        (".env", "TOKEN=1"),
        (".env.local", "TOKEN=1"),
        (".ssh-notes", ""),
        ("src/a", ""),
        ("pkg/a", ""),
        ("foo-1-1-any.pkg.tar.zst", ""),
        ("foo.log", ""),
        ("lib/src/kept", ""),
        ("foo.install", ""),
    ]);
    let packed = packed(&source);
    let (_target, names) = unpacked(&packed);
    assert_eq!(names, ["PKGBUILD", "foo.install", "lib/src/kept", "local.c"]);
    assert!(
        packed
            .warnings
            .iter()
            .any(|warning| warning.contains("foo-1.tgz")),
        "{:?}",
        packed.warnings
    );
}

#[test]
fn the_include_file_takes_hidden_files_along_but_never_secrets() {
    let source = folder(&[
        ("PKGBUILD", ""),
        (
            ".pacmesh-include",
            "# hidden ones\n.config/a\n./build.log\n.env\n.git\nsrc\n",
        ),
        (".config/a", ""),
        (".config/b", ""),
        ("build.log", ""),
        (".env", ""),
        (".git/x", ""),
        ("src/x", ""),
    ]);
    let (_target, names) = unpacked(&packed(&source));
    assert_eq!(names, [".config/a", ".pacmesh-include", "PKGBUILD", "build.log"]);
}

#[test]
fn a_directory_without_pkgbuild_is_refused_with_the_next_step() {
    let empty = tempdir().unwrap();
    let error = pack(empty.path(), PackOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has no PKGBUILD: name a directory that holds one"),
        "{error}"
    );
    assert!(error.contains(empty.path().to_str().unwrap()));
}

#[test]
fn a_link_out_of_the_directory_is_refused() {
    for target in ["/etc/passwd", "../outside", "a/../../outside"] {
        let source = folder(&[("PKGBUILD", "")]);
        symlink(target, source.path().join("link")).unwrap();
        let error = pack(source.path(), PackOptions::default()).unwrap_err();
        assert!(
            matches!(error, SourceError::Unpackable { .. }),
            "{target}: {error}"
        );
    }
}

#[test]
fn large_directories_need_force() {
    let source = folder(&[("PKGBUILD", "")]);
    let file = File::create(source.path().join("big")).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    let error = pack(source.path(), PackOptions::default()).unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    assert!(pack(source.path(), PackOptions { force: true }).is_ok());
}

#[test]
fn the_epoch_is_the_commit_time_of_a_clean_repository() {
    let source = folder(&[("PKGBUILD", "pkgname=a\n")]);
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .arg("-C")
            .arg(source.path())
            .args(["-c", "user.name=a", "-c", "user.email=a@b.invalid"])
            .args(arguments)
            .env("GIT_COMMITTER_DATE", "2001-02-03T04:05:06Z")
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "PKGBUILD"]);
    git(&["commit", "-qm", "first"]);
    assert_eq!(packed(&source).epoch, 981_173_106);
    fs::write(source.path().join("PKGBUILD"), "pkgname=b\n").unwrap();
    assert!(packed(&source).epoch > 1_600_000_000, "changed since");
}

#[test]
fn inv7_paths_that_could_leave_the_directory_are_refused() {
    for path in ["/a", "../a", "a/../b", "a//b", "./a", "a/.", "", "a\0b", "a/"] {
        let error = refusal(&blob(&[plain(path, "x")], b"x"));
        assert!(matches!(error, TreeError::Path { .. }), "{path:?}: {error}");
    }
}

#[test]
fn inv7_links_cannot_lead_out_or_be_written_through() {
    for (entries, what) in [
        (vec![link("a", "/etc")], "absolute"),
        (vec![link("a", "..")], "above"),
        (vec![link("d/a", "../../x")], "above from a folder"),
        (vec![link("a", "b/../../x")], "climbs behind a name"),
        (vec![link("a", "b/..")], "climbs behind a name that may be a link"),
        (vec![link("a", "")], "empty"),
        (vec![link("a", "b"), plain("a/c", "x")], "below a link"),
        (vec![plain("a", ""), plain("a/c", "x")], "below a file"),
        (
            vec![plain("a", ""), plain("a-b", ""), plain("a/c", "x")],
            "below a file, further on",
        ),
    ] {
        let error = refusal(&blob(&entries, b"x"));
        assert!(matches!(error, TreeError::Path { .. }), "{what}: {error}");
    }
}

#[test]
fn inv5_a_table_that_lies_is_refused_before_it_costs_anything() {
    let huge = Entry {
        path: "a".to_owned(),
        node: Node::Plain(Content {
            size: u64::MAX,
            digest: Digest::of(b""),
        }),
    };
    let also = Entry {
        path: "b".to_owned(),
        ..huge.clone()
    };
    assert!(matches!(
        refusal(&blob(std::slice::from_ref(&huge), b"")),
        TreeError::TooLarge { .. }
    ));
    assert!(matches!(
        refusal(&blob(&[huge, also], b"")),
        TreeError::TooLarge { .. }
    ));
    assert!(matches!(
        refusal(&blob(&[plain("b", "x"), plain("a", "x")], b"xx")),
        TreeError::Path { .. }
    ));
    assert!(matches!(
        refusal(b"pmtree\0\x01\xff\xff\xff\xff"),
        TreeError::Table(_)
    ));
    assert!(matches!(refusal(b"something else"), TreeError::Magic));
    assert!(matches!(refusal(b""), TreeError::Truncated(_)));
}

#[test]
fn inv5_bytes_that_differ_from_the_table_are_refused() {
    assert!(matches!(
        refusal(&blob(&[plain("a", "x")], b"y")),
        TreeError::Hash(_)
    ));
    assert!(matches!(
        refusal(&blob(&[plain("a", "x")], b"")),
        TreeError::Truncated(_)
    ));
    assert!(matches!(
        refusal(&blob(&[plain("a", "x")], b"xx")),
        TreeError::Trailing
    ));
}

#[test]
fn an_existing_directory_is_never_written_into() {
    let target = tempdir().unwrap();
    let error = unpack(&blob(&[], b"")[..], target.path(), TreeLimits::default()).unwrap_err();
    assert!(matches!(error, SourceError::Io { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_travels_whole(files in proptest::collection::btree_map("[a-z]{1,3}(/x[a-z]{1,2}){0,2}/f[0-9]", "[ -~]{0,40}", 0..12)) {
        let mut files: Vec<_> = files.into_iter().filter(|(path, _)| !path.starts_with("src/") && !path.starts_with("pkg/")).collect();
        files.push(("PKGBUILD".to_owned(), String::new()));
        let list: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (target, names) = unpacked(&packed(&folder(&list)));
        prop_assert_eq!(names.len(), files.len());
        for (path, text) in files {
            prop_assert_eq!(fs::read_to_string(target.path().join("tree").join(path)).unwrap(), text);
        }
    }

    #[test]
    fn inv5_any_bytes_are_refused_or_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        whole in any::<bool>(),
    ) {
        let target = tempdir().unwrap();
        let mut blob = if whole { Vec::new() } else { b"pmtree\0\x01\x20\0\0\0".to_vec() };
        blob.extend(&bytes);
        let _ = unpack(&blob[..], &target.path().join("tree"), TreeLimits::default());
        prop_assert!(fs::read_dir(target.path()).unwrap().count() <= 1);
    }

    #[test]
    fn inv7_no_path_or_target_puts_anything_outside(
        path in "(\\.\\.|\\.|/|a|b|\0){0,8}",
        target in "(\\.\\./|\\./|/|a|b){0,8}",
        is_link in any::<bool>(),
    ) {
        let outside = tempdir().unwrap();
        let entry = if is_link { link(&path, &target) } else { plain(&path, "x") };
        let bytes: &[u8] = if is_link { b"" } else { b"x" };
        let tree = outside.path().join("tree");
        if unpack(&blob(&[entry], bytes)[..], &tree, TreeLimits::default()).is_ok() && is_link {
            let place = tree.join(&path);
            let lands = place.parent().unwrap().join(fs::read_link(&place).unwrap());
            if let Ok(lands) = lands.canonicalize() {
                prop_assert!(lands.starts_with(tree.canonicalize().unwrap()));
            }
        }
        let names: Vec<_> = fs::read_dir(outside.path()).unwrap().flatten().map(|item| item.file_name()).collect();
        prop_assert!(names.iter().all(|name| name == "tree"));
    }
}
