//! What a quarantine withdraws: what its subject built, signed or published since then, and nothing else.
//!
//! The clock of these worlds counts records.

use super::world::*;
use crate::{
    ids::{Digest, Fingerprint},
    ledger::{
        Ledger,
        kinds::{SignerV1, Value},
        record::Record,
    },
    roles::Roles,
};

fn since(last: &Record, quarantine: u64) -> Terms {
    Terms {
        quarantine: Some(quarantine),
        ..Terms::from(last)
    }
}

fn in_force(ledger: &mut Ledger, name: &str) -> Option<String> {
    version_of(ledger, name)
}

fn withdrawn(ledger: &mut Ledger) -> Vec<String> {
    let view = ledger.view();
    let withdrawn = view.withdrawn();
    withdrawn
        .map(|(key, withdrawn)| format!("{} {}", key.name, withdrawn.release.version))
        .collect()
}

/// Two masters and a worker, number 2.
fn farm() -> World {
    let mut world = World::with_masters(2);
    world.write(0, [admission(2, 2, Roles::GUEST)]);
    world
}

#[test]
fn inv6_what_a_quarantined_worker_built_since_then_is_withdrawn_and_the_release_before_is_back() {
    let mut world = farm();
    world.write(
        0,
        [package_by(0, "foo", 0, "1-1"), package_by(2, "bar", 0, "1-1")],
    );
    let now = world.records.len() as u64;
    world.write(
        0,
        [package_by(2, "foo", 0, "2-1"), package_by(1, "baz", 0, "1-1")],
    );
    world.write(
        0,
        [suspension(
            2,
            0,
            Terms {
                quarantine: Some(now),
                ..Terms::default()
            },
        )],
    );
    let mut ledger = world.ledger();
    assert_eq!(in_force(&mut ledger, "foo").as_deref(), Some("1-1"));
    assert_eq!(
        in_force(&mut ledger, "bar").as_deref(),
        Some("1-1"),
        "built before"
    );
    assert_eq!(
        in_force(&mut ledger, "baz").as_deref(),
        Some("1-1"),
        "built elsewhere"
    );
    assert_eq!(withdrawn(&mut ledger), ["foo 2-1"]);
    let view = ledger.view();
    assert!(view.is_voided(&Digest::of(b"2-1")) && !view.is_voided(&Digest::of(b"1-1")));
}

#[test]
fn inv6_what_a_quarantined_node_signed_is_withdrawn_whoever_built_it() {
    let mut world = farm();
    let certificate = Fingerprint([9; 20]);
    let signer = SignerV1 {
        generation: 0,
        distrusted: false,
        certificate: Vec::new(),
        node: Some(node(2)),
    };
    world.write(0, [signer.entry(&certificate).unwrap()]);
    let mut value = package_value("foo", 0, Some("1-1"));
    value.release.as_mut().unwrap().signer = Some(certificate);
    world.write(0, [value.entry(&package_key("foo")).unwrap()]);
    assert_eq!(in_force(&mut world.ledger(), "foo").as_deref(), Some("1-1"));
    world.write(
        0,
        [suspension(
            2,
            0,
            Terms {
                quarantine: Some(0),
                ..Terms::default()
            },
        )],
    );
    assert_eq!(in_force(&mut world.ledger(), "foo"), None);
}

#[test]
fn inv6_what_a_quarantined_master_published_is_withdrawn_though_its_other_word_stands() {
    let mut world = farm();
    world.write(1, [package_by(0, "foo", 0, "1-1"), binding("foo", "1-1", b"1-1")]);
    let last = world.write(1, [setting("x", 1, "a"), package("gone", 1, None)]);
    world.write(0, [suspension(1, 0, since(&last, 0))]);
    let mut ledger = world.ledger();
    assert_eq!(in_force(&mut ledger, "foo"), None);
    assert_eq!(ledger.view().setting("x"), Some("a"));
    assert!(
        ledger.view().package(&package_key("gone")).is_some(),
        "a removal is no package"
    );
    // The name stays taken, so that what is built anew gets another pkgrel.
    assert_eq!(bound(&mut ledger, "foo", "1-1"), Some(Digest::of(b"1-1")));
}

#[test]
fn a_reinstatement_brings_back_what_was_withdrawn_and_a_revocation_without_a_time_does_not() {
    let mut world = farm();
    world.write(0, [package_by(2, "foo", 0, "1-1")]);
    world.write(
        0,
        [suspension(
            2,
            0,
            Terms {
                quarantine: Some(0),
                ..Terms::default()
            },
        )],
    );
    let mut revoked = world.clone();
    world.write(0, [reinstatement(2, 1)]);
    assert_eq!(in_force(&mut world.ledger(), "foo").as_deref(), Some("1-1"));
    revoked.write(0, [revocation(2, Terms::default())]);
    assert_eq!(in_force(&mut revoked.ledger(), "foo"), None);
    // A suspension that was lifted says nothing when the node is revoked later.
    world.write(0, [revocation(2, Terms::default())]);
    assert_eq!(in_force(&mut world.ledger(), "foo").as_deref(), Some("1-1"));
}

#[test]
fn of_several_quarantines_the_earliest_time_counts() {
    let mut world = farm();
    world.write(0, [package_by(2, "old", 0, "1-1")]);
    let later = world.records.len() as u64;
    world.write(0, [package_by(2, "new", 0, "1-1")]);
    world.write(
        0,
        [suspension(
            2,
            0,
            Terms {
                quarantine: Some(later),
                ..Terms::default()
            },
        )],
    );
    assert_eq!(in_force(&mut world.ledger(), "old").as_deref(), Some("1-1"));
    world.write(
        1,
        [suspension(
            2,
            0,
            Terms {
                quarantine: Some(0),
                ..Terms::default()
            },
        )],
    );
    world.write(1, [suspension(2, 0, Terms::default())]);
    assert_eq!(in_force(&mut world.ledger(), "old"), None);
}

#[test]
fn what_was_rebuilt_or_removed_since_is_no_longer_withdrawn() {
    let mut world = farm();
    world.write(
        0,
        [package_by(2, "foo", 3, "1-1"), package_by(2, "bar", 0, "1-1")],
    );
    world.write(
        0,
        [suspension(
            2,
            0,
            Terms {
                quarantine: Some(0),
                ..Terms::default()
            },
        )],
    );
    let mut ledger = world.ledger();
    assert_eq!(withdrawn(&mut ledger), ["bar 1-1", "foo 1-1"]);
    // A later reinstatement must not bring it back over what was built instead.
    assert_eq!(ledger.view().publication_generation(&package_key("foo")), 3);
    world.write(0, [package_by(1, "foo", 3, "1-1.1"), package("bar", 1, None)]);
    assert_eq!(withdrawn(&mut world.ledger()), Vec::<String>::new());
}

#[test]
fn an_archive_that_somebody_else_published_too_is_not_voided() {
    let mut world = farm();
    world.write(1, [package_by(0, "foo", 0, "1-1")]);
    world.write(0, [package_by(0, "foo", 0, "1-1")]);
    let last = world.write(1, [package_by(0, "bar", 0, "2-1")]);
    world.write(0, [suspension(1, 0, since(&last, 0))]);
    let mut ledger = world.ledger();
    assert!(!ledger.view().is_voided(&Digest::of(b"1-1")));
    assert!(ledger.view().is_voided(&Digest::of(b"2-1")));
    // A guest's word takes nothing from anybody.
    world.write(2, [package_by(0, "foo", 9, "9-9")]);
    assert!(!world.ledger().view().is_voided(&Digest::of(b"9-9")));
}
