//! Which blobs must be kept.

use super::world::*;
use crate::{
    ids::Digest,
    ledger::{
        kinds::{GenerationV1, JobEnd, JobState, Value},
        named::Need,
    },
    roles::Roles,
};

fn need(world: &World, blob: &[u8]) -> Option<Need> {
    let named = world.ledger().named();
    named.get(&Digest::of(blob)).map(|(need, _)| need)
}

fn ended(number: u8, log: &[u8]) -> crate::ledger::record::Entry {
    let mut job = job_value(0, JobState::Published);
    job.tree = Digest::of(b"an old tree");
    job.end = Some(JobEnd {
        worker: None,
        attempts: 1,
        version: None,
        log: Some(Digest::of(log)),
        inputs: vec![Digest::of(b"an input")],
        started_ms: None,
    });
    job.entry(&job_id(number)).unwrap()
}

#[test]
fn what_is_in_force_and_what_is_still_to_be_built_is_needed_most() {
    let mut world = World::with_masters(1);
    world.write(0, [package("foo", 1, Some("1-1")), generation(1)]);
    world.write(0, [job(1, 0, JobState::Queued)]);
    for blob in [&b"1-1"[..], b"meta", b"index", b"db", b"files", b"tree", b"conf"] {
        assert_eq!(need(&world, blob), Some(Need::InForce), "{blob:?}");
    }
}

#[test]
fn the_three_newest_releases_stay_and_older_ones_go_although_their_record_stays() {
    let mut world = World::with_masters(1);
    for number in 1..=5 {
        let version = format!("{number}-1");
        // The binding keeps the record for ever.
        world.write(
            0,
            [
                package("foo", 1, Some(&version)),
                binding("foo", &version, version.as_bytes()),
            ],
        );
    }
    let needs: Vec<_> = (1..=5)
        .map(|n| need(&world, format!("{n}-1").as_bytes()))
        .collect();
    let past = Some(Need::Past);
    assert_eq!(needs, [None, None, past, past, Some(Need::InForce)]);
}

#[test]
fn an_ended_job_keeps_its_tree_and_its_log_and_not_what_it_was_built_against() {
    let mut world = World::with_masters(1);
    world.write(0, [job(1, 0, JobState::Queued)]);
    world.write(0, [ended(1, b"log")]);
    assert_eq!(need(&world, b"log"), Some(Need::Past));
    assert_eq!(need(&world, b"an old tree"), Some(Need::Past));
    assert_eq!(need(&world, b"an input"), None);
    // The queued value was outranked by its own author and is gone.
    assert_eq!(need(&world, b"tree"), None);
}

#[test]
fn a_removed_source_and_a_removed_package_name_nothing_in_force() {
    let mut world = World::with_masters(1);
    world.write(0, [source(1, false)]);
    world.write(0, [package("foo", 1, Some("1-1"))]);
    assert_eq!(need(&world, b"tree"), Some(Need::InForce));
    world.write(0, [source(2, true), package("foo", 2, None)]);
    assert_eq!(need(&world, b"tree"), None);
    assert_eq!(need(&world, b"1-1"), Some(Need::Past));
}

#[test]
fn what_a_suspended_master_wrote_stays_and_is_not_copied() {
    let mut world = World::with_masters(2);
    let last = world.write(1, [package("foo", 1, Some("1-1"))]);
    world.write(1, [package("foo", 1, Some("2-1"))]);
    world.write(0, [suspension(1, 1, &last)]);
    assert_eq!(need(&world, b"1-1"), Some(Need::InForce));
    assert_eq!(need(&world, b"2-1"), Some(Need::Void));
}

#[test]
fn inv5_a_guest_cannot_have_replicas_chase_what_exists_nowhere() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    world.write(1, [source(1, false), package("foo", 1, Some("1-1"))]);
    assert_eq!(need(&world, b"tree"), Some(Need::Void));
    assert_eq!(need(&world, b"1-1"), Some(Need::Void));
}

#[test]
fn of_two_authors_generations_both_are_kept_and_the_newest_is_in_force() {
    let of = |number: u64, blob: &[u8]| GenerationV1 {
        number,
        index: Digest::of(blob),
        db: Digest::of(blob),
        files: Digest::of(blob),
        db_signature: None,
        files_signature: None,
        time: number,
    };
    let key = crate::ledger::kinds::GenerationKey {
        repository: "repo".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    };
    let mut world = World::with_masters(2);
    world.write(0, [of(1, b"one").entry(&key).unwrap()]);
    world.write(0, [of(2, b"two").entry(&key).unwrap()]);
    world.write(1, [of(3, b"three").entry(&key).unwrap()]);
    assert_eq!(need(&world, b"one"), None);
    assert_eq!(need(&world, b"two"), Some(Need::Past));
    assert_eq!(need(&world, b"three"), Some(Need::InForce));
}
