//! Who writes: masters, and others only what the authority said.

use super::world::*;
use crate::{
    ledger::{CARRIED_LIMIT, Ledger, record::Record},
    roles::Roles,
};

/// How many of these records, which come together, are taken.
fn taken(ledger: &mut Ledger, records: &[Record]) -> usize {
    let (taken, _) = ledger.let_in(records.to_vec());
    let count = taken.len();
    merge_batch(ledger, taken);
    count
}

/// Node 0 founded, 1 is a master admitted by it, 2 a guest admitted by 1.
fn mesh() -> World {
    let mut world = World::with_masters(2);
    world.write(1, [admission(2, 2, Roles::GUEST)]);
    world
}

#[test]
fn inv5_only_masters_write_and_unadmitted_keys_do_not() {
    let mut world = mesh();
    let mut ledger = world.ledger();
    let by_master = world.write(1, [setting("a", 1, "x")]);
    let by_guest = world.write(2, [setting("a", 2, "x")]);
    let by_stranger = world.write(3, [setting("a", 3, "x")]);
    let (taken, left) = ledger.let_in(vec![by_guest.clone(), by_master.clone(), by_stranger.clone()]);
    assert_eq!((taken, left), (vec![by_master], vec![by_guest, by_stranger]));
}

#[test]
fn inv5_nobody_makes_itself_a_master() {
    let mut world = mesh();
    let mut ledger = world.ledger();
    let by_itself = world.write(2, [admission(2, 3, Roles::PEER)]);
    let another = world.write(2, [admission(3, 4, Roles::PEER)]);
    let founded_anew = world.write(3, [founding_by(&key(3), &MESH, 3)]);
    let not_invited = {
        let terms = invitation_by(&key(3), &MESH, 1, Roles::PEER);
        world.write(1, [admission_as(4, 5, Roles::PEER, "n4", terms)])
    };
    let by_not_invited = world.write(4, [setting("a", 1, "x")]);
    assert_eq!(taken(&mut ledger, &[by_itself, another, founded_anew]), 0);
    assert_eq!(
        taken(&mut ledger, &[not_invited]),
        1,
        "a master's record is kept, and void"
    );
    assert_eq!(taken(&mut ledger, &[by_not_invited]), 0);
}

#[test]
fn admissions_open_the_door_in_whatever_order_they_come() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(5, 1, Roles::PEER)]);
    world.write(5, [admission(1, 2, Roles::PEER)]);
    world.write(1, [suspension(5, 0, Terms::default())]);
    world.write(1, [setting("a", 1, "x")]);
    let all = world.records.clone();
    let mut reversed = all.clone();
    reversed.reverse();
    for together in [&all, &reversed] {
        assert_eq!(taken(&mut empty(), together), all.len());
    }

    // One by one, the last first: each comes in once those before it are in.
    let mut ledger = empty();
    let mut rounds = 0;
    while hashes(&ledger).len() < all.len() && rounds < 10 {
        for record in &reversed {
            taken(&mut ledger, std::slice::from_ref(record));
        }
        rounds += 1;
    }
    assert_eq!(hashes(&ledger), hashes(&world.ledger()));
}

#[test]
fn what_a_suspended_or_revoked_master_said_still_comes_in() {
    for verdict in [
        suspension(1, 0, Terms::default()),
        revocation(1, Terms::default()),
    ] {
        let mut world = mesh();
        world.write(0, [verdict]);
        let said = world.write(1, [setting("a", 1, "x")]);
        let mut ledger = world.ledger();
        assert_eq!(taken(&mut ledger, &[said]), 1);
    }
}

#[test]
fn any_member_carries_what_the_authority_said_and_nothing_beside_it() {
    let mut world = mesh();
    let mut ledger = world.ledger();
    let stated = [
        world.write(2, [invitation(7, false)]),
        world.write(2, [revocation(1, Terms::default())]),
        world.write(2, [reinstatement(2, 1)]),
    ];
    assert_eq!(taken(&mut ledger, &stated), stated.len());
    let not_stated = [
        world.write(2, [invitation(7, true)]),
        world.write(2, [revocation_by(&key(2), &MESH, 1, Terms::default())]),
        world.write(2, [suspension(1, 0, Terms::default())]),
        world.write(2, [invitation(8, false), setting("a", 1, "x")]),
        world.write(3, [invitation(9, false)]),
    ];
    assert_eq!(taken(&mut ledger, &not_stated), 0);
}

#[test]
fn inv5_what_one_member_carries_is_bounded() {
    let mut world = mesh();
    let mut ledger = world.ledger();
    let repeated: Vec<Record> = (0..CARRIED_LIMIT + 10)
        .map(|_| world.write(2, [revocation(3, Terms::default())]))
        .collect();
    let (first, rest) = repeated.split_at(CARRIED_LIMIT / 2);
    assert_eq!(
        taken(&mut ledger, first) + taken(&mut ledger, rest),
        CARRIED_LIMIT
    );
    assert_eq!(
        taken(&mut ledger, rest),
        rest.len() - 10,
        "known ones are no news"
    );
}
