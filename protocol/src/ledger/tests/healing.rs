//! What the heal plan finds, and that it comes to rest ([`crate::heal`]).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::*;
use crate::{
    heal::{self, Cause, Finding, Remedy},
    ids::{Digest, JobId, RecordHash, RequestId},
    ledger::{
        kinds::{BuildOptions, JobEnd, JobState, JobV1, Origin, SourceKey, SourceV1, Value},
        record::{Entry, RecordV1, ReignId},
        view::View,
    },
    roles::Roles,
};

/// One release, as a master records it.
struct Release<'a> {
    name: &'a str,
    base: &'a str,
    version: &'a str,
    bytes: &'a str,
    generation: u64,
    worker: usize,
}

fn release<'a>(name: &'a str, version: &'a str, bytes: &'a str) -> Release<'a> {
    Release {
        name,
        base: name,
        version,
        bytes,
        generation: 0,
        worker: 0,
    }
}

impl Release<'_> {
    fn entries(&self, job: JobId) -> [Entry; 2] {
        let mut value = package_value(self.name, self.generation, Some(self.version));
        let release = value.release.as_mut().unwrap();
        release.base = self.base.parse().unwrap();
        release.archive = Digest::of(self.bytes.as_bytes());
        release.job = job;
        release.worker = node(self.worker);
        [
            value.entry(&package_key(self.name)).unwrap(),
            binding(self.name, self.version, self.bytes.as_bytes()),
        ]
    }
}

fn job_of(base: &str) -> JobV1 {
    JobV1 {
        base: base.parse().unwrap(),
        tree: Digest::of(base.as_bytes()),
        ..job_value(0, JobState::Queued)
    }
}

/// The publication of a job.
fn publication(number: u8, job: JobV1, inputs: &[&str], releases: &[Release<'_>]) -> Vec<Entry> {
    let job = JobV1 {
        state: JobState::Published,
        end: Some(JobEnd {
            worker: None,
            attempts: 1,
            version: None,
            log: None,
            inputs: inputs.iter().map(|input| Digest::of(input.as_bytes())).collect(),
            started_ms: None,
        }),
        ..job
    };
    let mut entries = vec![job.entry(&job_id(number)).unwrap()];
    entries.extend(
        releases
            .iter()
            .flat_map(|release| release.entries(job_id(number))),
    );
    entries
}

/// A whole publication of one package.
fn published(number: u8, inputs: &[&str], release: Release<'_>) -> Vec<Entry> {
    publication(number, job_of(release.base), inputs, &[release])
}

impl World {
    /// A record of a reign of choice, at a time of choice.
    fn reign(&mut self, author: usize, term: u64, written_ms: u64, entries: Vec<Entry>) {
        let sequence = 1000 + self.records.len() as u64;
        let body = RecordV1 {
            author: node(author),
            incarnation: 1,
            sequence,
            prev: RecordHash::NONE,
            reign: ReignId {
                term,
                node: node(author),
                incarnation: 1,
            },
            request: None,
            written_ms,
            entries,
        };
        self.push(body, author);
    }

    fn plan(&self) -> Vec<Finding> {
        heal::plan(&self.ledger().view(), MESH)
    }
}

/// The jobs that a plan asks for, as the leading master records them.
fn asked(plan: &[Finding]) -> Vec<(JobId, JobV1)> {
    plan.iter()
        .filter_map(|finding| match &finding.remedy {
            Remedy::Rebuild { id, job } => Some((*id, (**job).clone())),
            _ => None,
        })
        .collect()
}

fn told(plan: &[Finding], view: &View) -> Vec<String> {
    plan.iter().map(|finding| finding.describe(view)).collect()
}

/// Both sides of a cut built foo 1-1.
fn cut() -> World {
    let mut world = World::with_masters(2);
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "left")));
    world.reign(1, 2, 11, published(1, &[], release("foo", "1-1", "right")));
    world
}

#[test]
fn nothing_is_found_where_nothing_happened() {
    let mut world = World::with_masters(2);
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "a")));
    world.reign(0, 1, 11, published(2, &["a"], release("bar", "1-1", "b")));
    // A new release of what bar was built against, in the same reign and in the next one.
    world.reign(0, 1, 12, published(3, &[], release("foo", "2-1", "c")));
    world.reign(1, 2, 13, published(4, &[], release("foo", "3-1", "d")));
    world.reign(1, 2, 14, vec![package("bar", 1, None)]);
    assert_eq!(world.plan(), []);
}

#[test]
fn inv3_a_name_with_two_archives_is_rebuilt_once() {
    let mut world = cut();
    let plan = world.plan();
    assert_eq!(plan.len(), 1);
    assert!(matches!(plan[0].cause, Cause::BoundTwice { .. }));
    let jobs = asked(&plan);
    assert_eq!(jobs[0].1.tree, Digest::of(b"foo"));
    let (id, job) = jobs[0].clone();
    assert_eq!(plan[0].nonce, job.nonce.unwrap());

    world.reign(1, 3, 20, vec![job.entry(&id).unwrap()]);
    assert_eq!(asked(&world.plan()), []);
    assert!(matches!(world.plan()[0].remedy, Remedy::Asked { .. }));

    world.reign(1, 3, 21, published(2, &[], release("foo", "1-1.1", "again")));
    assert_eq!(world.plan(), []);
}

#[test]
fn a_rebuild_that_failed_is_told_and_not_queued_again() {
    let mut world = cut();
    let (id, job) = asked(&world.plan()).remove(0);
    let failed = JobV1 {
        state: failed(),
        ..job
    };
    world.reign(1, 3, 20, vec![failed.entry(&id).unwrap()]);
    let plan = world.plan();
    assert_eq!(asked(&plan), []);
    let told = told(&plan, &world.ledger().view());
    assert!(
        told[0].contains(&format!("pacmesh retry {}", id.short())),
        "{told:?}"
    );
}

#[test]
fn two_masters_make_one_job_of_one_finding() {
    let (mut one, mut other) = (cut(), cut());
    one.reign(0, 7, 50, vec![setting("x", 1, "a")]);
    other.reign(1, 8, 60, vec![setting("y", 1, "b")]);
    assert_eq!(asked(&one.plan()), asked(&other.plan()));
}

#[test]
fn a_third_archive_of_the_name_asks_for_nothing_more() {
    let mut world = cut();
    world.write(0, [admission(2, 2, Roles::PEER)]);
    let (id, job) = asked(&world.plan()).remove(0);
    world.reign(1, 3, 20, vec![job.entry(&id).unwrap()]);
    world.reign(2, 9, 15, published(5, &[], release("foo", "1-1", "third")));
    assert_eq!(asked(&world.plan()), []);
}

#[test]
fn what_a_held_base_or_an_upload_needs_is_only_told() {
    let mut world = cut();
    let source = SourceV1 {
        version: 1,
        removed: false,
        origin: Origin::Directory,
        tree: Digest::of(b"foo"),
        arches: Vec::new(),
        patches: Vec::new(),
        hold: true,
        options: BuildOptions::default(),
    };
    let key = SourceKey {
        repository: "repo".parse().unwrap(),
        base: "foo".parse().unwrap(),
    };
    world.write(0, [source.entry(&key).unwrap()]);
    assert_eq!(world.plan()[0].remedy, Remedy::Held);

    let mut uploads = World::with_masters(2);
    for (author, bytes) in [(0, "left"), (1, "right")] {
        let job = JobV1 {
            origin: Origin::Upload,
            ..job_of("foo")
        };
        let entries = publication(1, job, &[], &[release("foo", "1-1", bytes)]);
        uploads.reign(author, author as u64 + 1, 10, entries);
    }
    assert_eq!(uploads.plan()[0].remedy, Remedy::Uploaded);
}

#[test]
fn a_guest_that_binds_a_name_makes_no_work() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "ours")));
    world.reign(1, 2, 11, vec![binding("foo", "1-1", b"theirs")]);
    assert_eq!(world.plan(), []);
}

#[test]
fn what_was_built_against_the_loser_is_rebuilt_after_the_winner_and_then_rests() {
    let mut world = World::with_masters(2);
    // The second of two masters of the greater term wins; bar stands on the first one's foo.
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "left")));
    world.reign(0, 1, 11, published(2, &["left"], release("bar", "1-1", "bar")));
    world.reign(1, 2, 12, published(1, &[], release("foo", "1-1", "right")));
    world.reign(1, 2, 13, published(3, &["right"], release("baz", "1-1", "baz")));
    let plan = world.plan();
    let bases: Vec<_> = plan.iter().map(|finding| finding.base.to_string()).collect();
    assert_eq!(bases, ["foo", "bar"]);
    assert!(matches!(&plan[1].remedy, Remedy::Behind { base } if base.as_str() == "foo"));

    let (id, job) = asked(&plan).remove(0);
    let rebuilt = JobV1 {
        state: JobState::Published,
        ..job.clone()
    };
    world.reign(1, 3, 20, vec![job.entry(&id).unwrap()]);
    assert!(matches!(world.plan()[1].remedy, Remedy::Behind { .. }));
    let mut entries = published(4, &[], release("foo", "1-1.1", "new"));
    entries.push(rebuilt.entry(&id).unwrap());
    world.reign(1, 3, 21, entries);

    let plan = world.plan();
    assert_eq!((plan.len(), asked(&plan).len()), (1, 1));
    world.reign(1, 3, 30, published(5, &["new"], release("bar", "1-1.1", "bar2")));
    assert_eq!(world.plan(), []);
}

#[test]
fn what_was_built_in_a_later_reign_without_what_another_side_had_published_is_rebuilt() {
    let mut world = World::with_masters(2);
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "old")));
    world.reign(0, 1, 30, published(2, &[], release("foo", "2-1", "new")));
    world.reign(1, 2, 20, published(3, &["old"], release("bar", "1-1", "bar")));
    let plan = world.plan();
    assert_eq!((plan.len(), plan[0].base.as_str()), (1, "bar"));
    assert!(matches!(plan[0].remedy, Remedy::Rebuild { .. }));
}

#[test]
fn a_base_of_which_half_is_behind_is_rebuilt_and_what_it_no_longer_makes_is_not() {
    let mut world = World::with_masters(2);
    let half = |name, version, bytes, generation| Release {
        name,
        base: "foo",
        version,
        bytes,
        generation,
        worker: 0,
    };
    // One side removed and rebuilt a half; the other went on to the next release.
    let old = [half("foo", "1-1", "a1", 0), half("foo-doc", "1-1", "d1", 2)];
    world.reign(1, 2, 10, publication(1, job_of("foo"), &[], &old));
    let new = [half("foo", "1-2", "a2", 0), half("foo-doc", "1-2", "d2", 0)];
    world.reign(0, 1, 11, publication(2, job_of("foo"), &[], &new));
    let plan = world.plan();
    assert!(matches!(&plan[0].cause, Cause::TwoReleases { behind, .. } if behind.len() == 1));
    let (id, job) = asked(&plan).remove(0);

    // A rebuild that leaves it behind again is told, and that is all.
    let rebuilt = JobV1 {
        state: JobState::Published,
        ..job
    };
    let mut entries = publication(
        3,
        job_of("foo"),
        &[],
        &[half("foo", "1-3", "a3", 0), half("foo-doc", "1-3", "d3", 0)],
    );
    entries.push(rebuilt.entry(&id).unwrap());
    world.reign(1, 3, 12, entries);
    assert_eq!(asked(&world.plan()), []);
    assert_eq!(world.plan().len(), 1);

    let mut dropped = World::with_masters(1);
    let both = [half("foo", "1-1", "a1", 0), half("foo-doc", "1-1", "d1", 0)];
    dropped.reign(0, 1, 10, publication(1, job_of("foo"), &[], &both));
    dropped.reign(
        0,
        1,
        11,
        publication(2, job_of("foo"), &[], &[half("foo", "1-2", "a2", 0)]),
    );
    assert_eq!(dropped.plan(), []);
}

#[test]
fn a_publication_that_a_removal_overtook_unseen_is_told() {
    let mut world = World::with_masters(2);
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "old")));
    world.reign(1, 2, 20, vec![package("foo", 1, None)]);
    assert_eq!(world.plan(), [], "the remover had it in view");
    // The side of the old reign goes on, and publishes.
    world.reign(0, 1, 30, published(2, &[], release("foo", "2-1", "new")));
    let plan = world.plan();
    assert!(matches!(&plan[0].cause, Cause::Overtaken { publisher, .. } if *publisher == node(0)));
    assert_eq!(plan[0].remedy, Remedy::Report);
    // Whoever removes it once more has seen it.
    world.reign(1, 3, 40, vec![package("foo", 2, None)]);
    assert_eq!(world.plan(), []);
}

#[test]
fn a_removal_is_confirmed_in_the_reign_that_wrote_it_as_well() {
    let mut world = World::with_masters(2);
    world.reign(0, 1, 10, published(1, &[], release("foo", "1-1", "old")));
    world.reign(1, 2, 20, vec![package("foo", 1, None)]);
    world.reign(0, 1, 30, published(2, &[], release("foo", "2-1", "new")));
    assert!(matches!(world.plan()[0].cause, Cause::Overtaken { .. }));

    // The reign of the side that removed goes on after the heal, and removes what is removed already.
    world.reign(1, 2, 40, vec![package("foo", 3, None)]);
    assert_eq!(world.plan(), []);

    // What another cut hides from that removal is told again.
    world.reign(
        0,
        1,
        50,
        published(3, &[], {
            Release {
                generation: 2,
                ..release("foo", "3-1", "newer")
            }
        }),
    );
    assert!(matches!(world.plan()[0].cause, Cause::Overtaken { .. }));
}

#[test]
fn a_removal_by_an_earlier_reign_overtakes_what_a_later_one_published_below_it() {
    let mut world = World::with_masters(2);
    world.reign(0, 1, 30, vec![package("foo", 1, None)]);
    world.reign(1, 2, 20, published(2, &[], release("foo", "2-1", "new")));
    assert!(matches!(world.plan()[0].cause, Cause::Overtaken { .. }));
}

#[test]
fn inv6_what_a_quarantine_withdrew_is_rebuilt_and_what_was_built_against_it_waits() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    let by = |worker, name, version, bytes| Release {
        worker,
        ..release(name, version, bytes)
    };
    world.reign(0, 1, 10, published(1, &[], by(1, "foo", "1-1", "bad")));
    world.reign(0, 1, 11, published(2, &["bad"], by(0, "bar", "1-1", "bar")));
    world.write(
        0,
        [suspension(
            1,
            0,
            Terms {
                quarantine: Some(0),
                ..Terms::default()
            },
        )],
    );
    let plan = world.plan();
    assert_eq!(plan.len(), 2);
    assert!(matches!(&plan[0].cause, Cause::Withdrawn { member, .. } if *member == node(1)));
    assert!(matches!(&plan[1].remedy, Remedy::Behind { base } if base.as_str() == "foo"));
    assert_eq!(asked(&plan).len(), 1);

    world.reign(0, 2, 20, published(3, &[], by(0, "foo", "1-1.1", "good")));
    let plan = world.plan();
    assert_eq!((plan.len(), plan[0].base.as_str()), (1, "bar"));
    assert_eq!(asked(&plan).len(), 1);
}

#[test]
fn a_finding_waits_for_an_open_job_of_its_base() {
    let mut world = cut();
    world.reign(0, 3, 20, vec![job_of("foo").entry(&job_id(9)).unwrap()]);
    assert_eq!(world.plan()[0].remedy, Remedy::After { id: job_id(9) });
}

#[test]
fn a_minority_does_not_act_and_half_does_with_the_senior() {
    let mut world = World::with_masters(4);
    world.write(0, [edit(3, 1, Roles::STORAGE, false)]);
    let view = world.ledger().view();
    let may = |numbers: &[usize]| {
        heal::may_act(&view, |other| {
            numbers.iter().any(|number| node(*number) == *other)
        })
    };
    assert!(may(&[0, 1]) && may(&[1, 2]) && !may(&[0]) && !may(&[2, 3]));
    let two = World::with_masters(2).ledger().view();
    let may = |number: usize| heal::may_act(&two, |other| *other == node(number));
    assert!(may(0) && !may(1));
}

/// What the masters of a mesh that is cut and heals again may publish, and what is said about them.
#[derive(Debug, Clone, Copy)]
struct Deed {
    kind: u8,
    author: usize,
    base: usize,
    version: usize,
    generation: u64,
    input: usize,
}

const BASES: [&str; 3] = ["foo", "bar", "baz"];
const VERSIONS: [&str; 4] = ["1-1", "1-2", "2-1", "2-2"];

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0_u8..10, 0..3_usize, 0..3_usize, 0..4_usize, 0_u64..3, 0..9_usize).prop_map(
        |(kind, author, base, version, generation, input)| Deed {
            kind,
            author,
            base,
            version,
            generation,
            input,
        },
    );
    prop::collection::vec(deed, 1..25)
}

fn world_of(deeds: &[Deed]) -> World {
    let mut world = World::with_masters(3);
    for (number, deed) in deeds.iter().enumerate() {
        let (term, now) = (deed.author as u64 + 1, 100 + number as u64);
        let base = BASES[deed.base];
        let version = VERSIONS[deed.version];
        let bytes = format!("{base}-{version}-{}", deed.author);
        let input = format!(
            "{}-{}-{}",
            BASES[deed.input % 3],
            VERSIONS[deed.input % 4],
            deed.input / 3
        );
        let entries = match deed.kind {
            0..=6 => {
                let release = Release {
                    generation: deed.generation,
                    worker: deed.version % 3,
                    ..release(base, version, &bytes)
                };
                let job = 10 * deed.base as u8 + deed.version as u8;
                published(job, &[&input], release)
            }
            7 => vec![package(base, deed.generation, None)],
            _ => vec![suspension(
                deed.base,
                0,
                Terms {
                    cut: world
                        .records
                        .iter()
                        .rev()
                        .find(|r| r.author() == node(deed.base))
                        .map(|r| r.position()),
                    quarantine: (deed.kind == 9).then_some(deed.input as u64 * 15),
                    standing: (0..3).map(node).collect(),
                },
            )],
        };
        world.reign(deed.author, term, now, entries);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_depends_on_what_is_known_and_not_on_the_order_in_which_it_came(
        records in deeds().prop_map(|deeds| world_of(&deeds).records).prop_flat_map(|records| {
            (Just(records.clone()), Just(records).prop_shuffle())
        })
    ) {
        let (written, shuffled) = records;
        let (mut one, mut other) = (empty(), empty());
        merge_batch(&mut one, written);
        merge_batch(&mut other, shuffled);
        prop_assert_eq!(heal::plan(&one.view(), MESH), heal::plan(&other.view(), MESH));
    }

    #[test]
    fn a_finding_has_a_name_of_its_own_and_a_base_one_rebuild_at_a_time(deeds in deeds()) {
        let plan = world_of(&deeds).plan();
        let nonces: BTreeSet<RequestId> = plan.iter().map(|finding| finding.nonce).collect();
        prop_assert_eq!(nonces.len(), plan.len());
        let jobs = asked(&plan);
        let places: BTreeSet<_> = jobs.iter().map(|(_, job)| (job.base.clone(), job.arch.clone())).collect();
        prop_assert_eq!(places.len(), jobs.len());
    }

    /// A master that does what the plan asks, and builds what it is asked for against what is in force, is asked
    /// for nothing more after a few rounds.
    #[test]
    fn the_plan_comes_to_rest(deeds in deeds()) {
        let mut world = world_of(&deeds);
        world.write(0, [admission(4, 9, Roles::PEER)]);
        for round in 0..24_u64 {
            let view = world.ledger().view();
            let plan = heal::plan(&view, MESH);
            let jobs = asked(&plan);
            if jobs.is_empty() {
                return Ok(());
            }
            for (id, job) in jobs {
                let key = package_key(job.base.as_str());
                let inputs: Vec<Digest> = view.all_releases().filter(|(other, _)| **other != key).map(|(_, r)| r.archive).collect();
                let version = (1..).map(|rel| format!("2-3.{rel}")).find(|version| {
                    let version = version.parse().unwrap();
                    view.binding(&key.name, &version, &key.arch).is_none()
                }).unwrap();
                let bytes = format!("{version}-{round}");
                let mut entries: Vec<Entry> = Release {
                    generation: view.publication_generation(&key),
                    worker: 4,
                    ..release(job.base.as_str(), &version, &bytes)
                }.entries(id).into();
                let end = JobEnd { worker: None, attempts: 1, version: None, log: None, inputs, started_ms: None };
                entries.push(JobV1 { state: JobState::Published, end: Some(end), ..job }.entry(&id).unwrap());
                world.reign(4, 100 + round, 1000 + round, entries);
            }
        }
        let view = world.ledger().view();
        prop_assert!(false, "no rest: {:#?}", told(&world.plan(), &view));
    }
}
