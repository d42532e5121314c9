//! What is in force, kind by kind.

use super::world::*;
use crate::{
    ids::RequestId,
    ledger::{
        kinds::JobState,
        member::Standing,
        record::{RecordV1, ReignId},
    },
    roles::Roles,
};

#[test]
fn what_a_guest_or_a_stranger_wrote_counts_for_nothing() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    for author in [1, 2] {
        world.write(author, [setting("x", 1, "a"), package("foo", 1, Some("1-1"))]);
        world.write(
            author,
            [
                job(1, 0, JobState::Queued),
                generation(1),
                source(1, false),
                signer(1, false),
            ],
        );
        world.write(
            author,
            [
                edit(0, 1, Roles::GUEST, true),
                admission(3, 5, Roles::GUEST),
                invitation(1, true),
            ],
        );
        world.write(author, [unread(99, 1, b"k")]);
    }
    let mut ledger = world.ledger();
    let view = ledger.view();
    assert_eq!(view.setting("x"), None);
    assert_eq!(
        view.jobs().count() + view.generations().count() + view.sources().count(),
        0
    );
    assert_eq!((view.signers().count(), view.all_releases().count()), (0, 0));
    assert_eq!(view.member(&node(0)).unwrap().standing, Standing::Active);
    assert!(view.member(&node(3)).is_none());
    // The authority opened it, whoever carried that; nobody who may closed it.
    assert_eq!(view.open_invitations().count(), 1);
    assert!(!view.has_unread());
}

#[test]
fn a_master_that_gave_its_role_up_keeps_what_it_said() {
    let mut world = World::with_masters(2);
    world.write(1, [package("foo", 1, Some("1-1"))]);
    world.write(0, [edit(1, 1, Roles::STORAGE, false)]);
    let mut ledger = world.ledger();
    assert_eq!(version_of(&mut ledger, "foo").as_deref(), Some("1-1"));
    assert_eq!(ledger.view().master_capable().len(), 1);
    assert!(ledger.view().member(&node(1)).unwrap().roles == Roles::STORAGE);
}

#[test]
fn an_edit_never_gives_more_roles_than_the_admission_did() {
    let mut world = World::with_masters(1);
    world.write(0, [admission(1, 1, Roles::GUEST)]);
    world.write(0, [edit(1, 1, Roles::PEER, false)]);
    assert!(world.ledger().view().member(&node(1)).unwrap().roles == Roles::GUEST);
}

#[test]
fn names_are_unique_and_the_senior_keeps_its_own() {
    let mut world = World::with_masters(1);
    let statement = invitation_by(&AUTHORITY, &MESH, 1, Roles::PEER);
    for number in [3, 1, 2] {
        let seat = number as u64;
        world.write(
            0,
            [admission_as(
                number,
                seat,
                Roles::GUEST,
                "desktop",
                statement.clone(),
            )],
        );
    }
    let long = "x".repeat(63);
    for number in [4, 5] {
        world.write(
            0,
            [admission_as(number, 9, Roles::GUEST, &long, statement.clone())],
        );
    }
    let mut ledger = world.ledger();
    let view = ledger.view();
    let name = |number: usize| view.member(&node(number)).unwrap().name.to_string();
    assert_eq!([name(1), name(2), name(3)], ["desktop", "desktop-2", "desktop-3"]);
    assert_eq!((name(4), name(5)), (long.clone(), format!("{}-2", &long[..61])));
}

#[test]
fn a_credential_leads_from_the_founder_to_its_node() {
    let mut world = World::with_masters(2);
    world.write(1, [admission(2, 2, Roles::GUEST)]);
    let mut ledger = world.ledger();
    let expected: Vec<_> = world
        .records
        .iter()
        .map(|record| record.signed().clone())
        .collect();
    assert_eq!(ledger.view().credential_path(&node(2)), Some(expected));
    assert_eq!(
        ledger.view().credential_path(&node(0)).map(|path| path.len()),
        Some(1)
    );
    assert_eq!(ledger.view().credential_path(&node(5)), None);
}

#[test]
fn uses_of_an_invitation_are_the_members_that_entered_by_it() {
    let mut world = World::with_masters(3);
    let other = invitation_by(&AUTHORITY, &MESH, 2, Roles::GUEST);
    world.write(0, [admission_as(3, 3, Roles::GUEST, "n3", other)]);
    // The same node by another master is the same use.
    world.write(1, [admission(2, 7, Roles::PEER)]);
    let mut ledger = world.ledger();
    let view = ledger.view();
    let uses = [1, 2, 3].map(|number| view.invitation_uses(&invitation_id(number)));
    assert_eq!(uses, [2, 1, 0]);
}

#[test]
fn a_removal_is_not_undone_by_an_older_record() {
    let mut world = World::with_masters(2);
    world.write(0, [package("foo", 2, None)]);
    world.write(1, [package("foo", 1, Some("9:9-9"))]);
    world.write(1, [package("foo", 2, Some("9:9-9"))]);
    assert_eq!(version_of(&mut world.ledger(), "foo"), None);
    world.write(1, [package("foo", 3, Some("1-1"))]);
    assert_eq!(version_of(&mut world.ledger(), "foo").as_deref(), Some("1-1"));
}

#[test]
fn inv4_a_published_job_absorbs_a_later_cancellation() {
    let mut world = World::with_masters(2);
    world.write(0, [job(1, 0, JobState::Published)]);
    world.write(1, [job(1, 5, JobState::Cancelled)]);
    assert_eq!(
        world.ledger().view().job(&job_id(1)).unwrap().state,
        JobState::Published
    );
}

#[test]
fn what_cannot_be_read_is_kept_and_pushes_nothing_out() {
    let mut world = World::with_masters(1);
    world.write(0, [setting("x", 1, "a")]);
    let later = world.write(0, [unread(6, 2, &setting("x", 1, "a").key)]);
    let unknown = world.write(0, [unread(99, 1, b"k")]);
    let newer = world.write(0, [unread(99, 1, b"k")]);
    let mut ledger = world.ledger();
    let hashes: Vec<_> = ledger.tree().hashes().copied().collect();
    for record in [&later, &unknown, &newer] {
        assert!(ledger.contains(&record.hash()) && hashes.contains(&record.hash()));
    }
    assert_eq!(ledger.unread().len(), 3);
    assert!(ledger.view().has_unread());
    assert_eq!(ledger.view().setting("x"), Some("a"));
}

#[test]
fn a_fork_is_named_and_both_records_are_kept() {
    let mut world = World::with_masters(1);
    let one = world.write_at(0, (5, 1), [setting("x", 1, "a")]);
    let other = world.write_at(0, (5, 1), [setting("y", 1, "b")]);
    let mut ledger = world.ledger();
    assert!(ledger.contains(&one.hash()) && ledger.contains(&other.hash()));
    assert!(
        ledger
            .view()
            .problems()
            .iter()
            .any(|text| text.contains("n0") && text.contains("5/1"))
    );
    assert_eq!(ledger.view().greatest_incarnation(&node(0)), 5);
}

#[test]
fn only_a_record_that_counts_answers_a_request() {
    let mut world = World::with_masters(1);
    let request = RequestId([7; 16]);
    let answer = |author: usize| RecordV1 {
        author: node(author),
        incarnation: 1,
        sequence: 50,
        prev: crate::ids::RecordHash::NONE,
        reign: ReignId {
            term: 1,
            node: node(author),
            incarnation: 1,
        },
        request: Some(request),
        written_ms: 0,
        entries: vec![setting("x", 1, "a")],
    };
    world.push(answer(3), 3);
    assert_eq!(world.ledger().view().request(&request), None);
    let true_one = world.push(answer(0), 0);
    assert_eq!(world.ledger().view().request(&request), Some(&true_one.hash()));
}

#[test]
fn packages_of_a_place_are_its_own_and_all_of_them() {
    let mut world = World::with_masters(1);
    for name in ["+a", "@b", "0c", "_d", "z"] {
        world.write(0, [package(name, 1, Some("1-1"))]);
    }
    let mut ledger = world.ledger();
    let view = ledger.view();
    let key = package_key("z");
    assert_eq!(view.packages_of(&key.repository, &key.arch).count(), 5);
    for (repository, arch) in [
        ("rep", "x86_64"),
        ("repo", "x86_63"),
        ("repo", "x86_65"),
        ("repp", "x86_64"),
    ] {
        assert_eq!(
            view.packages_of(&repository.parse().unwrap(), &arch.parse().unwrap())
                .count(),
            0
        );
    }
}

#[test]
fn five_thousand_publications_are_all_in_force() {
    let mut world = World::with_masters(3);
    for number in 0..5000_usize {
        let name = format!("p{number}");
        world.write(
            number % 3,
            [
                package(&name, 1, Some("1-1")),
                binding(&name, "1-1", name.as_bytes()),
            ],
        );
    }
    let mut ledger = empty();
    for record in &world.records {
        ledger.merge(record.clone());
    }
    assert_eq!(ledger.view().all_releases().count(), 5000);
}
