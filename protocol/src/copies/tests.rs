//! What is copied where, and that it is never a storm.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;
use crate::{
    ledger::named::{Named, Need, What},
    machine::Instant,
};

fn at(seconds: u64) -> Instant {
    Instant::at(Duration::from_secs(1000 + seconds))
}

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn blob(number: u32) -> Digest {
    Digest::of(&number.to_be_bytes())
}

/// Replicas with disks of their own, and the census that looks at them.
struct World {
    census: Census,
    held: BTreeMap<NodeId, BTreeSet<Digest>>,
    replicas: BTreeMap<NodeId, Replica>,
    named: Named,
    now: Instant,
}

impl World {
    /// So many replicas that hold nothing.
    fn new(replicas: u8) -> Self {
        let mut world = Self {
            census: Census::new(),
            held: BTreeMap::new(),
            replicas: BTreeMap::new(),
            named: Named::default(),
            now: at(0),
        };
        for number in 1..=replicas {
            world.come(number);
        }
        world
    }

    fn come(&mut self, number: u8) {
        let replica = Replica {
            free_mib: 10_000,
            leaves: false,
        };
        self.replicas.insert(node(number), replica);
        self.held.entry(node(number)).or_default();
        self.census.set_replicas(self.now, &self.replicas);
    }

    fn go(&mut self, number: u8) {
        self.replicas.remove(&node(number));
        self.census.set_replicas(self.now, &self.replicas);
    }

    fn leaves(&mut self, number: u8) {
        self.replicas.get_mut(&node(number)).unwrap().leaves = true;
        self.census.set_replicas(self.now, &self.replicas);
    }

    fn name(&mut self, need: Need, blobs: impl IntoIterator<Item = u32>) {
        self.named
            .extend(blobs.into_iter().map(|n| (blob(n), need, What::Configuration)));
        self.census.set_named(2, &self.named);
    }

    fn hold(&mut self, number: u8, blobs: impl IntoIterator<Item = u32>) {
        self.held
            .get_mut(&node(number))
            .unwrap()
            .extend(blobs.into_iter().map(blob));
    }

    fn ask(&mut self) {
        loop {
            let questions = self.census.questions(self.now);
            if questions.is_empty() {
                return;
            }
            for question in questions {
                assert!(question.blobs.len() <= crate::wire::HASH_BATCH);
                let held = &self.held[&question.replica];
                let said = question
                    .blobs
                    .iter()
                    .filter(|blob| held.contains(blob))
                    .copied()
                    .collect();
                self.census.answered(self.now, &question, Some(&said));
            }
        }
    }

    /// Does an errand: a blob that is somewhere arrives.
    fn run(&mut self, errand: &Errand) {
        let in_reach = |node: &NodeId| self.replicas.contains_key(node);
        let is_somewhere = |blob: &Digest| {
            let mut held = self.held.iter().filter(|(node, _)| in_reach(node));
            held.any(|(_, held)| held.contains(blob))
        };
        let (came, missing): (BTreeSet<Digest>, BTreeSet<Digest>) =
            errand.blobs.iter().partition(|blob| is_somewhere(blob));
        self.held.get_mut(&errand.replica).unwrap().extend(came);
        self.census.ended(self.now, errand, Some(&missing));
    }

    /// Asks and copies until nothing is left to do; how many rounds of errands that took.
    fn settle(&mut self) -> usize {
        for round in 0.. {
            self.ask();
            let errands = self.census.plan(self.now);
            if errands.is_empty() {
                return round;
            }
            assert!(errands.len() <= ERRANDS);
            assert!(errands.iter().all(|errand| errand.blobs.len() <= BLOBS));
            for errand in errands {
                self.run(&errand);
            }
        }
        unreachable!()
    }

    fn holders(&self, number: u32) -> Vec<NodeId> {
        let holds = |(_, held): &(&NodeId, &BTreeSet<Digest>)| held.contains(&blob(number));
        self.held.iter().filter(holds).map(|(node, _)| *node).collect()
    }
}

#[test]
fn inv2_copies_come_back_to_the_wanted_number_after_a_replica_is_lost() {
    let mut world = World::new(3);
    world.name(Need::InForce, 0..100);
    world.hold(1, 0..100);
    world.hold(2, 0..100);
    world.ask();
    assert_eq!(world.census.standing(), Standing::default());
    assert!(world.census.plan(world.now).is_empty());

    world.go(2);

    assert_eq!(world.census.standing().short, 100);
    world.settle();
    assert_eq!(world.census.standing().short, 0);
    assert_eq!(world.holders(7), [node(1), node(2), node(3)]);
}

#[test]
fn ten_thousand_blobs_that_lost_a_copy_are_no_storm_and_all_come_back() {
    let mut world = World::new(2);
    world.name(Need::InForce, 0..10_000);
    world.hold(1, 0..10_000);
    world.ask();
    let first = world.census.plan(world.now);
    let moved: usize = first.iter().map(|errand| errand.blobs.len()).sum();
    assert!(moved <= ERRANDS * BLOBS, "{moved}");
    let again = world.census.plan(world.now);
    assert!(
        again.len() + first.len() <= PER_REPLICA,
        "one replica gets no more"
    );
    assert_eq!(
        world.census.standing().coming,
        moved + again.iter().map(|e| e.blobs.len()).sum::<usize>()
    );
    for errand in first.iter().chain(&again) {
        world.run(errand);
    }
    world.settle();
    assert_eq!(world.census.standing().short, 0);
}

#[test]
fn what_is_in_force_comes_before_the_past() {
    let mut world = World::new(2);
    world.name(Need::Past, 0..50);
    world.name(Need::InForce, 50..60);
    world.hold(1, 0..60);
    world.ask();
    let errand = world.census.plan(world.now).remove(0);
    let first: BTreeSet<Digest> = errand.blobs[..10].iter().copied().collect();
    assert_eq!(first, (50..60).map(blob).collect());
}

#[test]
fn what_records_name_by_words_that_do_not_count_is_not_copied() {
    let mut world = World::new(2);
    world.name(Need::Void, 0..5);
    world.hold(1, 0..5);
    assert_eq!(world.settle(), 0);
    assert_eq!(world.census.standing(), Standing::default());
}

#[test]
fn nothing_is_copied_before_all_replicas_said_what_they_hold() {
    let mut world = World::new(2);
    world.name(Need::InForce, 0..5);
    world.hold(1, 0..5);
    world.hold(2, 0..5);
    assert!(world.census.plan(world.now).is_empty());
    let questions = world.census.questions(world.now);
    let all: BTreeSet<Digest> = (0..5).map(blob).collect();
    world.census.answered(world.now, &questions[0], Some(&all));
    assert!(world.census.plan(world.now).is_empty() && !world.census.is_known());
    // The other one does not answer: what it may hold is no longer waited for.
    world.census.answered(world.now, &questions[1], None);
    assert!(world.census.is_known());
    assert_eq!(world.census.standing().short, 5);
}

#[test]
fn a_replica_that_fails_is_left_alone_for_longer_and_longer() {
    let mut world = World::new(2);
    world.name(Need::InForce, 0..1);
    world.hold(1, 0..1);
    let mut failed = Vec::new();
    for second in 0..60 {
        world.now = at(second);
        world.ask();
        if let Some(errand) = world.census.plan(world.now).pop() {
            failed.push(second);
            world.census.ended(world.now, &errand, None);
        }
    }
    assert_eq!(failed, [0, 5, 15, 35]);
}

#[test]
fn a_full_replica_does_not_keep_the_others_from_taking_its_share() {
    let mut world = World::new(3);
    world.name(Need::InForce, 0..3);
    world.hold(1, 0..3);
    world.ask();
    for _ in 0..8 {
        for errand in world.census.plan(world.now) {
            if errand.replica == node(2) {
                let all = errand.blobs.iter().copied().collect();
                world.census.ended(world.now, &errand, Some(&all));
            } else {
                world.run(&errand);
            }
        }
    }
    assert_eq!(world.census.standing().short, 0);
    assert!((0..3).all(|n| world.holders(n) == [node(1), node(3)]));
}

#[test]
fn what_no_replica_holds_is_told_and_looked_for_now_and_then() {
    let mut world = World::new(2);
    world.name(Need::InForce, 0..1);
    let mut looked = Vec::new();
    for second in 0..130 {
        world.now = at(second);
        world.ask();
        for errand in world.census.plan(world.now) {
            looked.push(second);
            world.run(&errand);
        }
    }
    assert_eq!(looked, [0, 60, 120]);
    assert_eq!(world.census.standing().nowhere, BTreeSet::from([blob(0)]));
}

#[test]
fn a_blob_that_a_disk_lost_is_noticed_and_copied_back() {
    let mut world = World::new(2);
    world.name(Need::InForce, 0..9000);
    world.hold(1, 0..9000);
    world.hold(2, 0..9000);
    world.ask();
    world.held.get_mut(&node(2)).unwrap().remove(&blob(8500));
    world.now = at(61);
    world.settle();
    assert_eq!(world.holders(8500), [node(1), node(2)]);
}

#[test]
fn what_only_a_leaving_replica_holds_is_copied_first_and_it_gets_nothing_new() {
    let mut world = World::new(3);
    world.name(Need::InForce, 0..40);
    // 0..20 are held by 1 alone; 20..40 lack a copy as well, but are safe with 2.
    world.hold(1, 0..20);
    world.hold(2, 20..40);
    world.leaves(1);
    world.ask();
    assert_eq!(world.census.sole(&node(1)).len(), 20);
    let first = world.census.plan(world.now);
    let alone: BTreeSet<Digest> = (0..20).map(blob).collect();
    assert!(first.iter().all(|errand| errand.replica != node(1)));
    assert!(first.iter().any(|errand| alone.contains(&errand.blobs[0])));
    for errand in &first {
        world.run(errand);
    }
    world.settle();
    assert!(world.census.sole(&node(1)).is_empty());
    assert!(world.held[&node(1)].len() == 20);
}

#[test]
fn it_is_mending_while_something_in_force_gets_a_copy() {
    let mut world = World::new(2);
    world.name(Need::Past, 0..1);
    world.hold(1, 0..2);
    world.ask();
    let past = world.census.plan(world.now).remove(0);
    assert!(!world.census.is_mending());
    world.name(Need::InForce, 1..2);
    world.ask();
    let errand = world.census.plan(world.now).remove(0);
    assert!(world.census.is_mending());
    world.run(&past);
    assert!(world.census.is_mending());
    world.run(&errand);
    assert!(!world.census.is_mending());
}

#[test]
fn memory_is_that_of_what_is_named_and_of_who_is_in_reach() {
    let mut world = World::new(2);
    for generation in 0..200u32 {
        world.named = Named::default();
        world.name(Need::InForce, generation * 10..generation * 10 + 50);
        world.hold(1, generation * 10..generation * 10 + 50);
        world.settle();
        world.go(2);
        world.come(2);
    }
    assert_eq!(world.census.blobs.len(), 50);
    assert!(world.census.seen.values().all(|seen| seen.known.len() <= 50));
    assert!(world.census.search.len() <= 50);
}
