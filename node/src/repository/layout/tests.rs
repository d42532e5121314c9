//! No reader meets half of a generation, whenever the writer is stopped.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::repository::disk::names_in;
use crate::repository::testfarm::{FOUNDED, Farm};
use crate::repository::testkit::{Gpg, Pacman, Sample};

fn folder(farm: &Farm) -> PathBuf {
    farm.root().join("farm/x86_64")
}

/// What a reader finds: the number that is shown, after checking that every archive that the database names
/// is there as it says.
fn read_as_pacman_does(farm: &Farm) -> Option<Vec<String>> {
    let folder = folder(farm);
    let db = fs::read(folder.join("farm.db")).ok()?;
    let files = fs::read(folder.join("farm.files")).unwrap();
    let (db, files) = (fields(&db), fields(&files));
    assert_eq!(db, files);
    for (name, sha256) in &db {
        let archive = fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&archive);
        assert_eq!(hex::encode(digest), *sha256, "{name}");
    }
    Some(db.into_iter().map(|(name, _)| name).collect())
}

/// File name and SHA-256 of each package in a database.
fn fields(database: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(zstd::Decoder::new(database).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("desc") {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            let after = |key: &str| text.split_once(key).unwrap().1.lines().nth(1).unwrap().to_owned();
            found.push((after("%FILENAME%"), after("%SHA256SUM%")));
        }
    }
    found
}

/// A farm that shows generation 1 (`a` and `b`) and has made generation 2 (`a` newer, `b` removed, `c` new).
fn two_generations() -> (Farm, Vec<String>, Vec<String>) {
    let mut farm = Farm::new();
    farm.publish(&Sample::new("a", "1-1"));
    farm.publish(&Sample::new("b", "1-1"));
    farm.show(&mut farm.layout(), 1).unwrap();
    let old = read_as_pacman_does(&farm).unwrap();
    farm.publish(&Sample::new("a", "1:0.5-1"));
    farm.remove("b");
    farm.publish(&Sample::new("c", "1-1"));
    let new = farm.make(2).archives.keys().map(ToString::to_string).collect();
    (farm, old, new)
}

#[test]
fn inv3_inv8_a_kill_at_any_step_leaves_the_old_or_the_new_generation() {
    let mut seen_new = false;
    for operations in 0.. {
        let (farm, old, new) = two_generations();
        let mut layout = Layout::open_on(&farm.root(), Disk::default()).unwrap();
        layout.disk = Disk::dying_after(operations);
        let finished = farm.show(&mut layout, 2).is_ok();
        drop(layout);

        let shown = read_as_pacman_does(&farm).expect("one of the two is shown");
        assert!(
            shown == old || shown == new,
            "after {operations} steps: {shown:?}"
        );
        let mut again = farm.layout();
        let number = again.catalogue().shown(&farm.key).unwrap().generation.number;
        assert_eq!(number == 2, shown == new, "after {operations} steps");
        assert_eq!(
            read_as_pacman_does(&farm).unwrap(),
            shown,
            "after {operations} steps and a start"
        );
        assert!(
            !names_in(&folder(&farm))
                .unwrap()
                .iter()
                .any(|name| name.starts_with(TEMPORARY))
        );

        farm.show(&mut again, 2).unwrap();
        assert_eq!(read_as_pacman_does(&farm).unwrap(), new);
        assert_eq!(
            names_in(&folder(&farm).join(GENERATIONS)).unwrap().len(),
            if number == 2 { 1 } else { 2 }
        );
        seen_new |= shown == new && !finished;
        if finished {
            assert!(operations > 20 && seen_new);
            break;
        }
    }
}

#[test]
fn inv8_a_kill_at_any_step_of_the_first_generation_or_a_start_is_repaired() {
    for operations in 0.. {
        let mut farm = Farm::new();
        farm.publish(&Sample::new("a", "1-1"));
        let finished = Layout::open_on(&farm.root(), Disk::dying_after(operations))
            .is_ok_and(|mut layout| farm.show(&mut layout, 1).is_ok());
        read_as_pacman_does(&farm);
        let restarted = Layout::open_on(&farm.root(), Disk::dying_after(operations % 7));
        drop(restarted);
        read_as_pacman_does(&farm);
        farm.show(&mut farm.layout(), 1).unwrap();
        assert_eq!(read_as_pacman_does(&farm).unwrap().len(), 1);
        if finished {
            break;
        }
    }
}

#[test]
fn inv3_a_generation_waits_for_its_archives() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    let made = farm.make(1);
    let mut layout = farm.layout();
    let refused = layout.show(&farm.key, made.new_generation(), Holding::Here, FOUNDED, |_| {
        false
    });
    assert!(matches!(refused, Err(LayoutError::Missing { number: 1, count: 1, first }) if *first == name));
    assert!(layout.catalogue().keys().is_empty());
    layout
        .show(
            &farm.key,
            made.new_generation(),
            Holding::Elsewhere,
            FOUNDED,
            |_| false,
        )
        .unwrap();
    assert!(
        layout
            .catalogue()
            .shown(&farm.key)
            .unwrap()
            .archive(&name)
            .is_some()
    );
}

#[test]
fn inv3_what_would_take_a_reader_back_is_refused() {
    let (mut farm, _, new) = two_generations();
    let mut layout = farm.layout();
    let first = Farm::make(&farm, 2);
    farm.show(&mut layout, 2).unwrap();
    let refuse = |layout: &mut Layout, made: &crate::repository::testfarm::Made| {
        let shown = layout.show(
            &farm.key,
            made.new_generation(),
            Holding::Elsewhere,
            FOUNDED,
            |_| false,
        );
        assert!(
            matches!(shown, Err(LayoutError::Backwards { shown: 2, .. })),
            "{shown:?}"
        );
    };
    let mut lower = farm.make(2);
    lower.generation.number = 1;
    refuse(&mut layout, &lower);
    let mut earlier = farm.make(3);
    earlier.generation.time = first.generation.time - 1;
    refuse(&mut layout, &earlier);
    assert_eq!(read_as_pacman_does(&farm).unwrap(), new);
    farm.publish(&Sample::new("a", "1:0.4-1"));
    let made = farm.make(3);
    let older = layout.show(
        &farm.key,
        made.new_generation(),
        Holding::Elsewhere,
        FOUNDED,
        |_| false,
    );
    assert!(matches!(
        older,
        Err(LayoutError::Backwards { shown: 2, number: 3 })
    ));
    layout
        .show(
            &farm.key,
            made.new_generation(),
            Holding::Elsewhere,
            FOUNDED,
            |_| true,
        )
        .unwrap();
}

#[test]
fn a_switch_that_fails_leaves_readers_what_they_had() {
    for operations in 0.. {
        let (farm, old, _) = two_generations();
        let mut layout = farm.layout();
        let catalogue = layout.catalogue();
        layout.disk = Disk::dying_after(operations);
        let finished = farm.show(&mut layout, 2).is_ok();
        let known = catalogue.shown(&farm.key).unwrap();
        let shown = read_as_pacman_does(&farm).unwrap();
        assert_eq!(
            known.generation.number == 1,
            shown == old,
            "after {operations} steps"
        );
        assert!(
            shown
                .iter()
                .all(|name| known.archive(&name.parse().unwrap()).is_some())
        );
        if finished {
            break;
        }
    }
}

#[test]
fn inv3_a_name_never_gets_other_bytes() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    let before = fs::read(folder(&farm).join(name.to_string())).unwrap();
    farm.publish(&Sample::new("a", "1-1").lines("depend = other\n"));
    assert!(matches!(farm.place(&mut layout), Err(LayoutError::Bound { .. })));
    let made = farm.make(2);
    let shown = layout.show(
        &farm.key,
        made.new_generation(),
        Holding::Elsewhere,
        FOUNDED,
        |_| true,
    );
    assert!(matches!(shown, Err(LayoutError::Bound { .. })));
    assert_eq!(fs::read(folder(&farm).join(name.to_string())).unwrap(), before);
}

#[test]
fn archives_that_do_not_belong_to_the_index_are_refused() {
    let mut farm = Farm::new();
    farm.publish(&Sample::new("a", "1-1"));
    let mut made = farm.make(1);
    made.index = Index::default();
    let shown = farm.layout().show(
        &farm.key,
        made.new_generation(),
        Holding::Elsewhere,
        FOUNDED,
        |_| false,
    );
    assert!(matches!(shown, Err(LayoutError::Inconsistent(1))));
}

#[test]
fn an_archive_is_served_for_seven_days_after_it_left() {
    let (farm, old, new) = two_generations();
    let mut layout = farm.layout();
    farm.show(&mut layout, 2).unwrap();
    let left = FOUNDED + 2;
    let gone: Vec<_> = old.iter().filter(|name| !new.contains(name)).collect();
    assert_eq!(gone.len(), 2);
    assert_eq!(layout.sweep(&farm.key, left + sweep::KEPT - 1).unwrap(), 0);
    assert!(gone.iter().all(|name| folder(&farm).join(name).exists()));
    let mut layout = farm.layout();
    assert_eq!(layout.sweep(&farm.key, left + sweep::KEPT).unwrap(), 2);
    assert!(gone.iter().all(|name| !folder(&farm).join(name).exists()));
    assert!(
        farm.layout()
            .catalogue()
            .shown(&farm.key)
            .unwrap()
            .departed
            .is_empty()
    );
    assert_eq!(read_as_pacman_does(&farm).unwrap(), new);
}

#[test]
fn an_archive_that_returns_is_not_swept() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    farm.remove("a");
    farm.show(&mut layout, 2).unwrap();
    assert!(
        layout
            .catalogue()
            .shown(&farm.key)
            .unwrap()
            .departed
            .contains_key(&name)
    );
    farm.publish(&Sample::new("a", "1-1"));
    farm.show(&mut layout, 3).unwrap();
    assert_eq!(layout.sweep(&farm.key, FOUNDED + 10 * sweep::KEPT).unwrap(), 0);
    assert_eq!(read_as_pacman_does(&farm).unwrap(), [name.to_string()]);
}

#[test]
fn strange_files_stay_and_stray_packages_go_after_seven_days() {
    let mut farm = Farm::new();
    farm.publish(&Sample::new("a", "1-1"));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    let (note, stray) = (
        folder(&farm).join("README"),
        folder(&farm).join("x-1-1-any.pkg.tar.zst"),
    );
    for path in [&note, &stray] {
        fs::write(path, "x").unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(FOUNDED))
            .unwrap();
    }
    assert_eq!(layout.sweep(&farm.key, FOUNDED + sweep::KEPT - 1).unwrap(), 0);
    assert_eq!(layout.sweep(&farm.key, FOUNDED + sweep::KEPT).unwrap(), 1);
    assert!(note.exists() && !stray.exists());
}

#[test]
fn what_lies_under_a_name_unrecorded_is_read_before_it_is_believed() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    let mut layout = farm.layout();
    farm.place(&mut layout).unwrap();
    let path = folder(&farm).join(name.to_string());
    let (right, inode) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().ino());
    let mut layout = farm.layout();
    farm.place(&mut layout).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    let mut damaged = right.clone();
    damaged[20] ^= 1;
    fs::write(&path, damaged).unwrap();
    farm.place(&mut farm.layout()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), right);
}

#[test]
fn a_blob_is_never_reachable_for_writing_through_the_repository() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    farm.show(&mut farm.layout(), 1).unwrap();
    let placed = fs::metadata(folder(&farm).join(name.to_string())).unwrap();
    let blob = fs::metadata(farm.home.path().join("blobs").join(name.to_string())).unwrap();
    assert_ne!(placed.ino(), blob.ino());
    assert_eq!((placed.nlink(), placed.permissions().mode() & 0o777), (1, 0o644));
}

#[test]
fn the_databases_carry_the_time_of_their_generation_under_every_name() {
    let mut farm = Farm::new();
    farm.publish(&Sample::new("a", "1-1"));
    farm.show(&mut farm.layout(), 1).unwrap();
    for ending in ["db", "files", "db.tar.zst", "files.tar.zst"] {
        let meta = fs::metadata(folder(&farm).join(format!("farm.{ending}"))).unwrap();
        assert_eq!(
            meta.modified().unwrap(),
            UNIX_EPOCH + Duration::from_secs(FOUNDED + 1),
            "{ending}"
        );
    }
}

#[test]
fn inv8_a_damaged_manifest_withdraws_the_generation_until_it_comes_again() {
    let mut farm = Farm::new();
    farm.publish(&Sample::new("a", "1-1"));
    farm.show(&mut farm.layout(), 1).unwrap();
    let generation = folder(&farm).join(SHOWN).canonicalize().unwrap();
    fs::write(generation.join(MANIFEST), b"garbage").unwrap();
    let mut layout = farm.layout();
    assert!(layout.catalogue().keys().is_empty());
    assert_eq!(read_as_pacman_does(&farm), None);
    farm.show(&mut layout, 1).unwrap();
    assert_eq!(read_as_pacman_does(&farm).unwrap().len(), 1);
}

#[test]
fn a_blob_of_the_wrong_length_is_not_placed() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    let blob = farm.home.path().join("blobs").join(name.to_string());
    fs::write(&blob, "short").unwrap();
    assert!(matches!(
        farm.place(&mut farm.layout()),
        Err(LayoutError::Length { found: 5, .. })
    ));
    assert!(!folder(&farm).join(name.to_string()).exists());
}

#[test]
fn a_new_signature_replaces_the_old_one() {
    let mut farm = Farm::new();
    let name = farm.publish_signed(&Sample::new("a", "1-1"), |_| Some(b"guest".to_vec()));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    let path = folder(&farm).join(name.signature());
    assert_eq!(fs::read(&path).unwrap(), b"guest");
    farm.publish_signed(&Sample::new("a", "1-1"), |_| Some(b"master".to_vec()));
    farm.show(&mut layout, 2).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"master");
}

#[test]
fn real_pacman_installs_signed_packages_from_the_folder() {
    let gpg = Gpg::new();
    let mut farm = Farm::new();
    let epoch = Sample::new("app", "2:1.0-1")
        .lines("depend = lib>=1.0\ngroup = tools\nprovides = app-virtual=1\noptdepend = x: y\n");
    farm.publish_signed(&epoch, |path| Some(gpg.sign(path)));
    let mut any = Sample::new("lib", "1.0.r3-1.1");
    any.arch = "any".into();
    farm.publish_signed(&any, |path| Some(gpg.sign(path)));
    farm.show(&mut farm.layout(), 1).unwrap();

    let server = format!("file://{}", folder(&farm).display());
    let pacman = Pacman::new("farm", &server, "Required DatabaseOptional");
    let keys = farm.home.path().join("keys.asc");
    fs::write(&keys, gpg.export()).unwrap();
    pacman.trust(&keys, &gpg.fingerprint);
    pacman.run(&["-Sy"]);
    pacman.run(&["-Fy"]);
    let info = pacman.run(&["-Si", "app"]);
    for expected in [
        "2:1.0-1",
        "lib>=1.0",
        "tools",
        "app-virtual=1",
        "x: y",
        "Signature",
    ] {
        assert!(info.contains(expected), "{expected}: {info}");
    }
    assert!(pacman.run(&["-Fl", "lib"]).contains("usr/share/lib/version"));
    pacman.run(&["-S", "app"]);
    assert_eq!(
        fs::read_to_string(pacman.root().join("usr/share/app/version")).unwrap(),
        "2:1.0-1\n"
    );
    assert!(pacman.run(&["-Q"]).contains("lib 1.0.r3-1.1"));
}

#[test]
fn real_pacman_takes_an_empty_repository_and_refuses_an_unsigned_package() {
    let mut farm = Farm::new();
    farm.show(&mut farm.layout(), 1).unwrap();
    let server = format!("file://{}", folder(&farm).display());
    let pacman = Pacman::new("farm", &server, "Required DatabaseOptional");
    pacman.run(&["-Sy"]);
    farm.publish(&Sample::new("a", "1-1"));
    farm.show(&mut farm.layout(), 2).unwrap();
    pacman.run(&["-Syy"]);
    assert!(pacman.run(&["-Sl", "farm"]).contains("a 1-1"));
    let said = pacman.refused(&["-S", "a"]);
    assert!(said.contains("a-1-1-x86_64.pkg.tar.zst.sig"), "{said}");
}
