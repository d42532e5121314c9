//! Our databases mean what `repo-add` writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::repository::archive;
use crate::repository::testkit::{Gpg, Sample, makepkg, run};

const SUITE: &str = r#"
pkgbase=mesh-suite
pkgname=(mesh-lib mesh-docs)
epoch=1
pkgver=2.0.r5
pkgrel=3
pkgdesc="A suite   with  odd spaces"
arch=(x86_64)
url="https://example.org/?q=a=b"
license=(MIT 'custom:odd')
groups=(farm base-farm)
depends=('glibc>=2.36' sh)
makedepends=(gcc make)
checkdepends=(python)
optdepends=('perl: for the scripts' 'ruby')
package_mesh-lib() {
  provides=('libmesh.so=2-64' mesh-virtual=2)
  conflicts=(mesh-old)
  replaces=(mesh-older)
  backup=(etc/mesh.conf)
  install=mesh.install
  install -d "$pkgdir"/etc "$pkgdir"/usr/lib "$pkgdir"/usr/lib64 "$pkgdir/var/empty dir" "$pkgdir"/usr-local
  echo a=1 > "$pkgdir"/etc/mesh.conf
  echo lib > "$pkgdir"/usr/lib/libmesh.so.2
  ln -s libmesh.so.2 "$pkgdir"/usr/lib/libmesh.so
  ln "$pkgdir"/usr/lib/libmesh.so.2 "$pkgdir"/usr/lib/libmesh-hard.so
  echo x > "$pkgdir/usr/lib/grün und blau"
  echo x > "$pkgdir/usr/lib/$(printf 'a%.0s' $(seq 150))"
  echo x > "$pkgdir"/usr/lib/.hidden
}
package_mesh-docs() {
  arch=(any)
  pkgdesc="The documents"
  depends=()
  install -d "$pkgdir"/usr/share/doc
  echo doc > "$pkgdir"/usr/share/doc/mesh
}
"#;

/// A database taken apart: package folder, then field, then its lines.
type Meaning = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn meaning(database: &Path, scratch: &Path) -> Meaning {
    fs::create_dir_all(scratch).unwrap();
    run(Command::new("bsdtar")
        .arg("-xf")
        .arg(database)
        .arg("-C")
        .arg(scratch));
    let mut all = Meaning::new();
    for folder in fs::read_dir(scratch).unwrap() {
        let folder = folder.unwrap();
        let fields = all.entry(folder.file_name().into_string().unwrap()).or_default();
        for file in fs::read_dir(folder.path()).unwrap() {
            for block in fs::read_to_string(file.unwrap().path()).unwrap().split("\n\n") {
                let mut lines = block.trim_end().lines().map(str::to_owned);
                let Some(key) = lines.next() else { continue };
                assert!(
                    fields.insert(key.clone(), lines.collect()).is_none(),
                    "{key} is there twice"
                );
            }
        }
    }
    all
}

fn without_md5(mut meaning: Meaning) -> Meaning {
    meaning
        .values_mut()
        .for_each(|fields| drop(fields.remove("%MD5SUM%")));
    meaning
}

#[test]
fn our_databases_mean_what_repo_add_writes() {
    let home = tempfile::tempdir().unwrap();
    let install = ("mesh.install", "post_install() {\n  true\n}\n");
    let mut archives = makepkg(home.path(), SUITE, &[install]);
    assert_eq!(archives.len(), 2);
    let odd = Sample::new("odd", "0.1-1")
        .lines("depend =\npkgbase = odd-base\n  license =  two  words \n# license = no\n");
    archives.push(odd.write(&home.path().join("out")));
    let signature = Gpg::new().sign(&archives[0]);

    let theirs = home.path().join("theirs.db.tar.gz");
    run(Command::new("repo-add").arg("-q").arg(&theirs).args(&archives));

    let read: Vec<_> = archives
        .iter()
        .map(|path| {
            (
                archive::read(path).unwrap(),
                path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
            )
        })
        .collect();
    let ours = write(read.iter().map(|(meta, file_name): &(_, PackageFileName)| {
        meta.matches(file_name).unwrap();
        let signed = file_name.to_string() == archives[0].file_name().unwrap().to_str().unwrap();
        Entry {
            meta,
            file_name,
            signature: signed.then_some(signature.as_slice()),
        }
    }))
    .unwrap();

    for (kind, bytes) in [("db", &ours.db), ("files", &ours.files)] {
        let file = home.path().join(format!("ours.{kind}"));
        fs::write(&file, bytes).unwrap();
        let ours = meaning(&file, &home.path().join(format!("ours-{kind}")));
        let theirs = home.path().join(format!("theirs.{kind}.tar.gz"));
        let theirs = without_md5(meaning(&theirs, &home.path().join(format!("theirs-{kind}"))));
        assert_eq!(ours, theirs, "{kind}");
        let docs = &ours["mesh-docs-1:2.0.r5-3"];
        assert_eq!(
            (docs["%ARCH%"][0].as_str(), docs.contains_key("%PGPSIG%")),
            ("any", true)
        );
    }
}

fn sample_meta(name: &str, version: &str) -> (PackageMeta, PackageFileName) {
    let home = tempfile::tempdir().unwrap();
    let sample = Sample::new(name, version);
    (
        archive::read(&sample.write(home.path())).unwrap(),
        sample.file_name(),
    )
}

#[test]
fn equal_entries_give_equal_bytes_in_any_order() {
    let packages: Vec<_> = ["b", "a", "a-b", "c"]
        .iter()
        .map(|name| sample_meta(name, "1:1.0-1"))
        .collect();
    let entries: Vec<_> = packages
        .iter()
        .map(|(meta, file_name)| Entry {
            meta,
            file_name,
            signature: None,
        })
        .collect();
    let forward = write(entries.clone()).unwrap();
    assert_eq!(forward, write(entries.into_iter().rev()).unwrap());
    assert_ne!(forward.db, forward.files);
}

#[test]
fn a_name_stands_once_in_a_database() {
    let (old, new) = (sample_meta("a", "1-1"), sample_meta("a", "2-1"));
    let entries = [&old, &new].map(|(meta, file_name)| Entry {
        meta,
        file_name,
        signature: None,
    });
    assert!(matches!(write(entries), Err(DatabaseError::Repeated(name)) if name.as_str() == "a"));
}

#[test]
fn a_signature_that_pacman_cannot_read_is_refused() {
    let (meta, file_name) = sample_meta("a", "1-1");
    for wrong in [
        &b""[..],
        b"-----BEGIN PGP SIGNATURE-----",
        &[0; SIGNATURE_MAX + 1],
    ] {
        let entry = Entry {
            meta: &meta,
            file_name: &file_name,
            signature: Some(wrong),
        };
        assert!(matches!(write([entry]), Err(DatabaseError::Signature { .. })));
    }
}

#[test]
fn a_long_name_fits() {
    let (name, version) = ("n".repeat(100), format!("1{}-1", ".1".repeat(50)));
    let (meta, file_name) = sample_meta(&name, &version);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("long.files");
    fs::write(
        &path,
        write([Entry {
            meta: &meta,
            file_name: &file_name,
            signature: None,
        }])
        .unwrap()
        .files,
    )
    .unwrap();
    let meaning = meaning(&path, &home.path().join("x"));
    assert_eq!(meaning[&format!("{name}-{version}")]["%NAME%"], [name]);
}

proptest! {
    #[test]
    fn no_text_in_a_package_makes_a_field(text in "[ -~]{0,40}", list in prop::collection::vec("[!-~][ -~]{0,20}", 0..4)) {
        let (mut meta, file_name) = sample_meta("a", "1-1");
        meta.description = text.trim().to_owned();
        meta.depends = list.iter().map(|item| item.trim().to_owned()).collect();
        let desc = desc(&Entry { meta: &meta, file_name: &file_name, signature: None });
        let blocks: Vec<_> = desc.split_terminator("\n\n").collect();
        let expected = 11 + usize::from(!meta.description.is_empty()) + usize::from(!list.is_empty());
        prop_assert_eq!(blocks.len(), expected, "{}", desc);
    }
}
