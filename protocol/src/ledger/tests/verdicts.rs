//! What suspending, revoking and reinstating mean (FORMATS, "Admission, seats and verdicts").

use super::world::*;
use crate::{
    ids::{Digest, MeshId},
    ledger::{Ledger, member::Standing, record::Record},
    roles::Roles,
};

const ELSEWHERE: MeshId = MeshId([0xee; 32]);

fn standing(ledger: &mut Ledger, number: usize) -> Standing {
    ledger.view().member(&node(number)).unwrap().standing.clone()
}

fn is_member(ledger: &mut Ledger, number: usize) -> bool {
    ledger.view().member(&node(number)).is_some()
}

fn standing_terms(last: &Record, numbers: &[usize]) -> Terms {
    Terms {
        cut: Some(last.position()),
        standing: numbers.iter().copied().map(node).collect(),
        ..Terms::default()
    }
}

#[test]
fn inv3_what_a_suspended_member_said_after_its_cut_is_void_and_what_was_in_force_before_is_back() {
    let mut world = World::with_masters(2);
    let before = world.write(1, [setting("x", 1, "before"), package("foo", 1, Some("1-1"))]);
    world.write(1, [setting("x", 2, "after"), package("foo", 1, Some("2-1"))]);
    let mut ledger = world.ledger();
    assert_eq!(ledger.view().setting("x"), Some("after"));
    let verdict = world.write(0, [suspension(1, 0, &before)]);
    merge_batch(&mut ledger, vec![verdict, before]);
    assert_eq!(ledger.view().setting("x"), Some("before"));
    assert_eq!(version_of(&mut ledger, "foo").as_deref(), Some("1-1"));
    assert_eq!(standing(&mut ledger, 1), Standing::Suspended);
    assert_eq!(ledger.view().master_capable().len(), 1);
}

#[test]
fn a_verdict_without_a_cut_voids_all() {
    let mut world = World::with_masters(2);
    world.write(1, [setting("x", 1, "a")]);
    world.write(0, [suspension(1, 0, Terms::default())]);
    assert_eq!(world.ledger().view().setting("x"), None);
}

#[test]
fn a_junior_cannot_suspend_a_senior() {
    let mut world = World::with_masters(2);
    let last = world.records[1].clone();
    world.write(1, [suspension(0, 0, &last)]);
    assert_eq!(standing(&mut world.ledger(), 0), Standing::Active);
}

#[test]
fn of_two_masters_that_suspend_each_other_the_junior_is_out() {
    let mut world = World::with_masters(3);
    let second = world.write(1, [setting("x", 1, "a")]);
    let third = world.write(2, [setting("y", 1, "a")]);
    world.write(2, [suspension(1, 9, &second)]);
    world.write(1, [suspension(2, 0, &third)]);
    let mut ledger = world.ledger();
    assert_eq!(standing(&mut ledger, 1), Standing::Active);
    assert_eq!(standing(&mut ledger, 2), Standing::Suspended);
}

#[test]
fn the_word_of_a_suspended_master_against_its_junior_is_void_after_its_cut() {
    let mut world = World::with_masters(3);
    let last = world.write(1, [setting("x", 1, "a")]);
    let victim = world.write(2, [setting("y", 1, "a")]);
    world.write(1, [suspension(2, 0, &victim)]);
    assert_eq!(standing(&mut world.ledger(), 2), Standing::Suspended);
    world.write(0, [suspension(1, 0, standing_terms(&last, &[]))]);
    assert_eq!(standing(&mut world.ledger(), 2), Standing::Active);
}

#[test]
fn any_unvoided_master_suspends_a_guest() {
    let mut world = World::with_masters(2);
    world.write(0, [admission(2, 2, Roles::GUEST)]);
    world.write(1, [suspension(2, 0, Terms::default())]);
    assert_eq!(standing(&mut world.ledger(), 2), Standing::Suspended);
}

#[test]
fn a_guest_suspends_nobody() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    world.write(0, [admission(2, 2, Roles::GUEST)]);
    world.write(1, [suspension(2, 0, Terms::default())]);
    assert_eq!(standing(&mut world.ledger(), 2), Standing::Active);
}

#[test]
fn a_reinstated_member_counts_again_and_so_does_all_that_it_said() {
    let mut world = World::with_masters(2);
    let before = world.write(1, [setting("x", 1, "before")]);
    world.write(1, [setting("x", 2, "after")]);
    world.write(0, [suspension(1, 0, &before)]);
    world.write(0, [reinstatement(1, 1)]);
    let mut ledger = world.ledger();
    assert_eq!(standing(&mut ledger, 1), Standing::Active);
    assert_eq!(ledger.view().setting("x"), Some("after"));
    world.write(0, [suspension(1, 1, &before)]);
    assert_eq!(standing(&mut world.ledger(), 1), Standing::Suspended);
}

#[test]
fn revoked_absorbs() {
    let mut world = World::with_masters(2);
    world.write(0, [revocation(1, Terms::default())]);
    world.write(0, [reinstatement(1, 99)]);
    world.write(0, [suspension(1, 100, Terms::default())]);
    assert_eq!(standing(&mut world.ledger(), 1), Standing::Revoked);
}

#[test]
fn the_authority_revokes_a_founder_through_whoever_carries_its_word() {
    let mut world = World::with_masters(2);
    world.write(0, [admission(2, 2, Roles::GUEST)]);
    let last = world.write(0, [setting("x", 1, "a")]);
    world.write(0, [setting("x", 2, "b")]);
    world.write(2, [revocation(0, standing_terms(&last, &[1, 2]))]);
    let mut ledger = world.ledger();
    assert_eq!(standing(&mut ledger, 0), Standing::Revoked);
    assert_eq!(standing(&mut ledger, 1), Standing::Active);
    assert!(is_member(&mut ledger, 2));
}

#[test]
fn statements_that_are_forged_or_of_another_mesh_count_for_nothing() {
    for (signer, mesh) in [(key(1), MESH), (AUTHORITY, ELSEWHERE)] {
        let mut founded = World::new();
        founded.write(0, [founding_by(&signer, &mesh, 0)]);
        assert!(!is_member(&mut founded.ledger(), 0));

        let mut world = World::with_masters(2);
        let statement = invitation_by(&signer, &mesh, 2, Roles::PEER);
        world.write(0, [admission_as(2, 2, Roles::PEER, "n2", statement.clone())]);
        world.write(1, [revocation_by(&signer, &mesh, 0, Terms::default())]);
        world.write(0, [suspension(1, 0, Terms::default())]);
        world.write(1, [reinstatement_by(&signer, &mesh, 1, 9)]);
        let mut ledger = world.ledger();
        assert!(!is_member(&mut ledger, 2));
        assert_eq!(standing(&mut ledger, 0), Standing::Active);
        assert_eq!(standing(&mut ledger, 1), Standing::Suspended);
    }
}

#[test]
fn a_revocation_may_not_be_carried_with_another_cut() {
    use crate::ledger::kinds::{Value, VerdictV1};
    let mut world = World::with_masters(2);
    let last = world.write(1, [setting("x", 1, "a")]);
    let (key, mut value) = VerdictV1::read(&revocation(1, &last)).unwrap();
    value.cut = None;
    world.write(0, [value.entry(&key).unwrap()]);
    assert_eq!(standing(&mut world.ledger(), 1), Standing::Active);
}

#[test]
fn inv6_a_voided_binding_still_takes_its_name() {
    let mut world = World::with_masters(2);
    world.write(1, [binding("foo", "1-1", b"theirs")]);
    world.write(0, [suspension(1, 0, Terms::default())]);
    let mut ledger = world.ledger();
    assert_eq!(bound(&mut ledger, "foo", "1-1"), Some(Digest::of(b"theirs")));
    // One that counts goes before one that does not, whichever is greater.
    world.write(0, [binding("foo", "1-1", b"ours")]);
    let mut ledger = world.ledger();
    assert_eq!(bound(&mut ledger, "foo", "1-1"), Some(Digest::of(b"ours")));
    assert_eq!(ledger.view().bound_twice().count(), 1);
}

#[test]
fn admissions_by_a_cut_off_master_stand_only_if_they_are_listed() {
    let mut world = World::with_masters(2);
    world.write(1, [admission(2, 2, Roles::GUEST)]);
    let last = world.write(1, [admission(3, 3, Roles::PEER)]);
    world.write(1, [admission(4, 4, Roles::GUEST)]);
    world.write(0, [suspension(1, 0, standing_terms(&last, &[2, 4]))]);
    let mut ledger = world.ledger();
    assert!(is_member(&mut ledger, 2));
    assert!(!is_member(&mut ledger, 3), "not listed");
    assert!(!is_member(&mut ledger, 4), "above the cut");
    assert!(
        ledger
            .view()
            .voids_admission(&node(1), &last.position(), &node(3))
    );
    assert!(
        !ledger
            .view()
            .voids_admission(&node(1), &last.position(), &node(2))
    );
}

#[test]
fn two_lists_of_standing_admissions_intersect() {
    let mut world = World::with_masters(3);
    world.write(2, [admission(3, 3, Roles::GUEST)]);
    let last = world.write(2, [admission(4, 4, Roles::GUEST)]);
    world.write(0, [suspension(2, 0, standing_terms(&last, &[3, 4]))]);
    world.write(1, [suspension(2, 0, standing_terms(&last, &[4, 5]))]);
    let mut ledger = world.ledger();
    assert!(!is_member(&mut ledger, 3));
    assert!(is_member(&mut ledger, 4));
}

#[test]
fn the_next_admission_of_a_fork_counts_where_the_first_is_void() {
    let mut world = World::with_masters(2);
    let place = (1, 1);
    let mut twins = [
        world.write_at(1, place, [admission(2, 2, Roles::GUEST)]),
        world.write_at(1, place, [admission(2, 3, Roles::GUEST)]),
    ];
    twins.sort();
    for kept in &twins {
        let mut cut = world.clone();
        cut.write(0, [suspension(1, 0, standing_terms(kept, &[2]))]);
        let mut ledger = empty();
        merge_batch(&mut ledger, cut.records.clone());
        assert_eq!(ledger.view().member(&node(2)).unwrap().admission, kept.hash());
    }
}

#[test]
fn an_admission_needs_a_junior_seat_a_master_and_the_invitations_roles() {
    let mut world = World::with_masters(2);
    world.write(0, [admission(2, 2, Roles::GUEST)]);
    world.write(1, [admission(3, 1, Roles::GUEST)]);
    world.write(2, [admission(4, 5, Roles::GUEST)]);
    let narrow = invitation_by(&AUTHORITY, &MESH, 3, Roles::GUEST);
    world.write(0, [admission_as(5, 6, Roles::PEER, "n5", narrow)]);
    let mut ledger = world.ledger();
    let members: Vec<_> = ledger.view().members().map(|member| member.id).collect();
    assert_eq!(members, [node(0), node(1), node(2)]);
}
