//! One test for each way in which a chain is refused.

use pacmesh_protocol::ledger::record::Entry;
use proptest::prelude::*;

use super::*;
use crate::test_keys::{admission, admitted, authority, founder, invitation, node, record};

fn verdict(credential: &Credential, key: u8) -> Result<Member, ChainError> {
    let mesh = authority(1).mesh();
    verify_credential(credential, &mesh, &mesh, &node(key).id(), &NoVerdicts)
}

fn invited(number: u8, roles: Roles) -> Warrant {
    Warrant::Invitation(invitation(1, number, roles, u64::MAX, 1).statement().clone())
}

/// The founder's chain and one more link by node 1 with these entries.
fn with(entries: Vec<Entry>) -> Credential {
    extend(&founder(1, 1), &record(1, 1, entries)).unwrap()
}

#[test]
fn the_founder_and_those_it_let_in_are_members() {
    let first = founder(1, 1);
    let second = admitted(1, &first, 1, 2, 1, Roles::PEER);
    let third = admitted(1, &second, 2, 3, 5, Roles::GUEST);
    for (credential, key, seat) in [(&first, 1, 0), (&second, 2, 1), (&third, 3, 5)] {
        let member = verdict(credential, key).unwrap();
        assert_eq!((member.node, member.admission.seat), (node(key).id(), seat));
        assert_eq!(member.records.len(), credential.links.len());
    }
    assert_eq!(verdict(&third, 3).unwrap().admission.roles, Roles::GUEST);
}

#[test]
fn a_stranger_shows_nothing() {
    assert!(matches!(
        verdict(&Credential { links: vec![] }, 1),
        Err(ChainError::Stranger)
    ));
}

#[test]
fn a_node_of_another_mesh_is_told_so() {
    let (ours, theirs) = (authority(1).mesh(), authority(2).mesh());
    let error = verify_credential(&founder(2, 1), &theirs, &ours, &node(1).id(), &NoVerdicts).unwrap_err();
    assert!(
        matches!(error, ChainError::OtherMesh { theirs: t } if t == theirs),
        "{error}"
    );
    let lied = verdict(&founder(2, 1), 1).unwrap_err();
    assert!(matches!(lied, ChainError::Record { link: 0, .. }), "{lied}");
}

#[test]
fn a_credential_is_of_use_to_its_subject_alone() {
    let credential = admitted(1, &founder(1, 1), 1, 2, 1, Roles::PEER);
    let error = verdict(&credential, 3).unwrap_err();
    assert!(
        matches!(error, ChainError::WrongKey { last, key } if last == node(2).id() && key == node(3).id())
    );
    assert!(matches!(
        verdict(&founder(1, 1), 2),
        Err(ChainError::WrongKey { .. })
    ));
}

#[test]
fn nobody_founds_a_mesh_for_himself() {
    let own = authority(2).found(node(4).id(), "test".parse().unwrap()).unwrap();
    let entry = admission(node(4).id(), 0, Roles::PEER, Warrant::Founding(own));
    let forged = extend(&Credential { links: vec![] }, &record(1, 4, vec![entry])).unwrap();
    assert!(matches!(
        verdict(&forged, 4),
        Err(ChainError::Warrant {
            link: 0,
            what: "founding"
        })
    ));

    let stolen = authority(1).found(node(1).id(), "test".parse().unwrap()).unwrap();
    let entry = admission(node(4).id(), 0, Roles::PEER, Warrant::Founding(stolen));
    let forged = extend(&Credential { links: vec![] }, &record(1, 4, vec![entry])).unwrap();
    assert!(matches!(
        verdict(&forged, 4),
        Err(ChainError::Warrant { link: 0, .. })
    ));

    let entry = admission(node(4).id(), 0, Roles::PEER, invited(4, Roles::PEER));
    let forged = extend(&Credential { links: vec![] }, &record(1, 4, vec![entry])).unwrap();
    assert!(
        matches!(verdict(&forged, 4), Err(ChainError::Warrant { link: 0, .. })),
        "an invitation founds nothing"
    );
}

#[test]
fn the_founder_has_seat_zero() {
    let founding = authority(1).found(node(1).id(), "test".parse().unwrap()).unwrap();
    let entry = admission(node(1).id(), 3, Roles::PEER, Warrant::Founding(founding));
    let forged = extend(&Credential { links: vec![] }, &record(1, 1, vec![entry])).unwrap();
    assert!(matches!(
        verdict(&forged, 1),
        Err(ChainError::Seat { link: 0, seat: 3 })
    ));
}

#[test]
fn each_link_is_written_by_the_node_before_it() {
    let second = admitted(1, &founder(1, 1), 1, 2, 1, Roles::PEER);
    // Node 4, admitted by nobody, writes an admission for node 3 behind the chain of node 2.
    let foreign = admitted(1, &second, 4, 3, 2, Roles::PEER);
    let error = verdict(&foreign, 3).unwrap_err();
    assert!(
        matches!(error, ChainError::NoAdmission { link: 1, node: n } if n == node(4).id()),
        "{error}"
    );
    let mut headless = second.clone();
    headless.links.remove(0);
    assert!(verdict(&headless, 2).is_err());
    // The founder admits node 2 by a record that somebody else signed in place of link 1.
    let entry = admission(node(2).id(), 1, Roles::PEER, invited(2, Roles::PEER));
    let swapped = extend(&founder(1, 1), &record(1, 5, vec![entry])).unwrap();
    assert!(matches!(
        verdict(&swapped, 2),
        Err(ChainError::Author { link: 1 })
    ));
}

#[test]
fn a_changed_record_is_a_forged_one() {
    let mut credential = admitted(1, &founder(1, 1), 1, 2, 1, Roles::GUEST);
    let last = credential.links[1].body.len() - 1;
    credential.links[1].body[last] ^= 1;
    let error = verdict(&credential, 2).unwrap_err();
    assert!(matches!(error, ChainError::Record { link: 1, .. }), "{error}");
}

#[test]
fn a_link_that_admits_nobody_is_refused() {
    let other = Entry {
        kind: Kind::Setting as u16,
        version: 1,
        key: vec![1],
        value: vec![1],
    };
    assert!(matches!(
        verdict(&with(vec![other]), 2),
        Err(ChainError::NoAdmission { link: 1, .. })
    ));
    let mut unread = admission(node(2).id(), 1, Roles::PEER, invited(2, Roles::PEER));
    unread.version = 2;
    assert!(matches!(
        verdict(&with(vec![unread]), 2),
        Err(ChainError::NoAdmission { link: 1, .. })
    ));
}

#[test]
fn only_masters_admit() {
    let second = admitted(1, &founder(1, 1), 1, 2, 1, Roles::GUEST);
    let third = admitted(1, &second, 2, 3, 2, Roles::GUEST);
    let error = verdict(&third, 3).unwrap_err();
    assert!(
        matches!(error, ChainError::NoMaster { link: 2, author } if author == node(2).id()),
        "{error}"
    );
}

#[test]
fn seats_grow_along_the_chain() {
    let second = admitted(1, &founder(1, 1), 1, 2, 4, Roles::PEER);
    for seat in [0, 3, 4] {
        let third = admitted(1, &second, 2, 3, seat, Roles::PEER);
        assert!(matches!(verdict(&third, 3), Err(ChainError::Seat { link: 2, seat: s }) if s == seat));
    }
    let again = with(vec![admission(
        node(2).id(),
        0,
        Roles::PEER,
        invited(2, Roles::PEER),
    )]);
    assert!(matches!(
        verdict(&again, 2),
        Err(ChainError::Seat { link: 1, seat: 0 })
    ));
}

#[test]
fn inv6_no_admission_gives_more_than_its_invitation() {
    let entry = admission(node(2).id(), 1, Roles::PEER, invited(2, Roles::GUEST));
    let error = verdict(&with(vec![entry]), 2).unwrap_err();
    assert!(
        matches!(
            error,
            ChainError::Roles {
                link: 1,
                given: Roles::PEER,
                allowed: Roles::GUEST
            }
        ),
        "{error}"
    );
}

#[test]
fn an_invitation_by_another_authority_lets_nobody_in() {
    let foreign = Warrant::Invitation(invitation(2, 2, Roles::PEER, u64::MAX, 1).statement().clone());
    let entry = admission(node(2).id(), 1, Roles::PEER, foreign);
    let error = verdict(&with(vec![entry]), 2).unwrap_err();
    assert!(
        matches!(
            error,
            ChainError::Warrant {
                link: 1,
                what: "invitation"
            }
        ),
        "{error}"
    );
}

#[test]
fn inv5_chains_have_a_greatest_length() {
    let mut credential = founder(1, 1);
    let mut author = 1;
    for joiner in 2..=16 {
        credential = admitted(1, &credential, author, joiner, Seat::from(joiner), Roles::PEER);
        author = joiner;
    }
    assert!(verdict(&credential, 16).is_ok(), "sixteen links");
    let entry = admission(node(17).id(), 17, Roles::PEER, invited(17, Roles::PEER));
    let longer = record(1, 16, vec![entry]);
    assert!(matches!(
        extend(&credential, &longer),
        Err(ChainError::TooManyLinks(17))
    ));
    credential.links.push(longer.signed().clone());
    assert!(matches!(
        verdict(&credential, 17),
        Err(ChainError::TooManyLinks(17))
    ));

    let ballast = Entry {
        kind: 99,
        version: 1,
        key: vec![],
        value: vec![0; VALUE_LIMIT],
    };
    let entry = admission(node(2).id(), 1, Roles::PEER, invited(2, Roles::PEER));
    let heavy = record(1, 1, vec![entry, ballast]);
    let mut credential = founder(1, 1);
    assert!(matches!(extend(&credential, &heavy), Err(ChainError::TooLong)));
    credential.links.push(heavy.signed().clone());
    assert!(matches!(verdict(&credential, 2), Err(ChainError::TooLong)));
}

struct Held {
    void: Option<(NodeId, NodeId)>,
    out: Option<NodeId>,
}

impl Verdicts for Held {
    fn voids(&self, author: &NodeId, _: &Position, admitted: &NodeId) -> bool {
        self.void == Some((*author, *admitted))
    }

    fn excludes(&self, node: &NodeId) -> bool {
        self.out == Some(*node)
    }
}

#[test]
fn verdicts_that_are_held_count() {
    let second = admitted(1, &founder(1, 1), 1, 2, 1, Roles::PEER);
    let third = admitted(1, &second, 2, 3, 2, Roles::GUEST);
    let mesh = authority(1).mesh();
    let judge = |held: Held| verify_credential(&third, &mesh, &mesh, &node(3).id(), &held);
    let voided = judge(Held {
        void: Some((node(2).id(), node(3).id())),
        out: None,
    })
    .unwrap_err();
    assert!(
        matches!(voided, ChainError::Voided { node: n, .. } if n == node(3).id()),
        "{voided}"
    );
    let voided = judge(Held {
        void: Some((node(1).id(), node(2).id())),
        out: None,
    })
    .unwrap_err();
    assert!(
        matches!(voided, ChainError::Voided { node: n, .. } if n == node(2).id()),
        "{voided}"
    );
    let out = judge(Held {
        void: None,
        out: Some(node(3).id()),
    })
    .unwrap_err();
    assert!(matches!(out, ChainError::Excluded { .. }), "{out}");
    // An admission that stands outlives its author; and no verdict touches the founding.
    assert!(
        judge(Held {
            void: Some((node(1).id(), node(1).id())),
            out: Some(node(2).id())
        })
        .is_ok()
    );
}

proptest! {
    #[test]
    fn inv5_arbitrary_links_are_refused_without_panic(
        body in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..2,
    ) {
        let mut credential = admitted(1, &founder(1, 1), 1, 2, 1, Roles::PEER);
        credential.links[at].body = body;
        prop_assert!(verdict(&credential, 2).is_err());
    }
}
