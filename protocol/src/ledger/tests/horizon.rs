//! What the horizon drops, whose word raises it, and how far it may rise.

use super::world::*;
use crate::{
    ledger::{
        horizon,
        kinds::{JobState, Kind},
        record::Entry,
    },
    roles::Roles,
};

fn horizon_at(day: u32) -> Entry {
    horizon::raise(day).unwrap()
}

#[test]
fn inv2_jobs_before_the_horizon_fall_whether_they_come_before_it_or_after() {
    let mut world = World::with_masters(1);
    let old = world.write(0, [job_on(4, 1, 0, failed())]);
    let young = world.write(0, [job_on(5, 2, 0, failed())]);
    let horizon = world.write(0, [horizon_at(5)]);
    let mut early = world.ledger();
    let mut late = ledger_of(&[&world.records[..1], &[horizon, young.clone(), old.clone()]].concat());
    assert_eq!(hashes(&early), hashes(&late));
    assert!(early.contains(&young.hash()) && !early.contains(&old.hash()));
    assert_eq!(early.view(), late.view());
    assert_eq!(early.view().jobs().count(), 1);
    assert_eq!(early.view().horizon(), 5);
}

#[test]
fn the_greatest_horizon_counts_and_no_later_word_lowers_it() {
    let mut world = World::with_masters(2);
    for (author, day) in [(0, 3), (1, 9), (0, 5), (1, 2)] {
        world.write(author, [horizon_at(day)]);
    }
    assert_eq!(world.ledger().view().horizon(), 9);
    // One record of each author is enough for ever.
    assert_eq!(world.ledger().records().count(), 2 + 2);
}

#[test]
fn inv6_only_a_masters_word_raises_the_horizon() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    world.write(0, [job_on(1, 1, 0, failed())]);
    world.write(1, [horizon_at(9)]);
    world.write(5, [horizon_at(9)]);
    let mut ledger = world.ledger();
    assert_eq!(ledger.view().horizon(), 0);
    assert_eq!(ledger.view().jobs().count(), 1);
}

#[test]
fn inv6_a_horizon_that_a_verdict_voids_counts_for_nothing_and_jobs_come_back() {
    let mut world = World::with_masters(2);
    let last = world.write(1, [setting("x", 1, "a")]);
    let job = world.write(0, [job_on(1, 1, 0, failed())]);
    world.write(1, [horizon_at(u32::MAX)]);
    let mut ledger = world.ledger();
    assert!(!ledger.contains(&job.hash()));
    ledger.merge(world.write(0, [suspension(1, 0, &last)]));
    assert_eq!(ledger.view().horizon(), 0);
    ledger.merge(job.clone());
    assert!(ledger.contains(&job.hash()));
    // The voided word is still held, and counts again when its author does.
    ledger.merge(world.write(0, [reinstatement(1, 1)]));
    assert_eq!(ledger.view().horizon(), u32::MAX);
    assert!(!ledger.contains(&job.hash()));
}

#[test]
fn a_record_that_says_more_stays_but_shows_its_job_no_longer() {
    let mut world = World::with_masters(1);
    let publication = world.write(
        0,
        [
            job_on(1, 1, 0, JobState::Published),
            binding("foo", "1-1", b"bytes"),
            package("foo", 0, Some("1-1")),
        ],
    );
    world.write(0, [horizon_at(2)]);
    let mut ledger = world.ledger();
    assert!(ledger.contains(&publication.hash()));
    assert_eq!(ledger.view().job(&job_id(1)), None);
    assert_eq!(version_of(&mut ledger, "foo").as_deref(), Some("1-1"));
    assert!(bound(&mut ledger, "foo", "1-1").is_some());
}

#[test]
fn what_was_asked_for_long_ago_may_be_asked_for_again() {
    let mut world = World::with_masters(1);
    world.write(
        0,
        [
            job_on(1, 1, 3, JobState::Published),
            binding("foo", "1-1", b"bytes"),
        ],
    );
    let again = world.write(0, [job_on(200, 1, 0, JobState::Queued)]);
    // Published absorbs, until the horizon passes.
    assert_eq!(world.ledger().view().job(&job_id(1)).unwrap().day, 1);
    world.write(0, [horizon_at(100)]);
    let mut ledger = world.ledger();
    assert!(ledger.contains(&again.hash()));
    let view = ledger.view();
    let job = view.job(&job_id(1)).unwrap();
    assert_eq!((job.day, &job.state), (200, &JobState::Queued));
}

#[test]
fn tombstones_bindings_and_verdicts_outlive_every_horizon() {
    let mut world = World::with_masters(2);
    let last = world.write(1, [setting("x", 1, "a")]);
    world.write(
        0,
        [
            job_on(0, 1, 0, JobState::Published),
            binding("foo", "1-1", b"bytes"),
        ],
    );
    world.write(0, [package("foo", 1, None)]);
    world.write(0, [suspension(1, 0, &last)]);
    let before = world.ledger();
    world.write(0, [horizon_at(u32::MAX)]);
    let mut ledger = world.ledger();
    assert_eq!(ledger.records().count(), before.records().count() + 1);
    assert!(bound(&mut ledger, "foo", "1-1").is_some());
    assert!(ledger.view().is_cut_off(&node(1)));
    assert_eq!(ledger.kind(Kind::Package).count(), 1);
}

#[test]
fn the_horizon_rises_to_the_first_open_job_and_passes_it_once_it_ended() {
    let mut world = World::with_masters(1);
    world.write(0, [job_on(3, 1, 0, JobState::Queued)]);
    world.write(0, [job_on(1, 2, 0, failed())]);
    assert_eq!(world.ledger().view().horizon_up_to(10), Some(3));
    world.write(0, [job_on(3, 1, 0, JobState::Cancelled)]);
    assert_eq!(world.ledger().view().horizon_up_to(10), Some(10));
    world.write(0, [horizon_at(10)]);
    assert_eq!(world.ledger().view().horizon_up_to(10), None);
    assert_eq!(world.ledger().view().horizon_up_to(9), None);
}

/// Two sides of a cut accepted one job on two days; if only its end fell, it would be built again.
#[test]
fn inv4_a_job_of_two_days_falls_whole_or_not_at_all() {
    let mut world = World::with_masters(2);
    world.write(1, [job_on(6, 1, 0, JobState::Queued)]);
    world.write(0, [job_on(5, 1, 0, JobState::Published)]);
    let view = world.ledger().view();
    assert_eq!(view.job(&job_id(1)).unwrap().state, JobState::Published);
    assert_eq!(view.horizon_up_to(6), Some(5));
    assert_eq!(view.horizon_up_to(7), Some(7));
    // Another such job, across the days to which the first one lowers it.
    world.write(1, [job_on(4, 2, 0, JobState::Queued)]);
    world.write(0, [job_on(5, 2, 0, JobState::Published)]);
    assert_eq!(world.ledger().view().horizon_up_to(6), Some(4));
}

#[test]
fn a_node_learns_which_open_jobs_of_its_own_the_others_never_knew() {
    let mut world = World::with_masters(2);
    world.write(0, [job_on(1, 1, 0, JobState::Queued)]);
    world.write(0, [job_on(1, 2, 0, JobState::Queued)]);
    world.write(0, [job_on(1, 2, 0, JobState::Cancelled)]);
    world.write(0, [job_on(8, 3, 0, JobState::Queued)]);
    let mut ledger = world.ledger();
    assert!(ledger.take_overtaken().is_empty());
    ledger.merge(world.write(1, [horizon_at(5)]));
    let lost: Vec<_> = ledger.take_overtaken().into_iter().map(|job| job.job).collect();
    assert_eq!(lost, [job_id(1)]);
    assert!(ledger.take_overtaken().is_empty());
}
