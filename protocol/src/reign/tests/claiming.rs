//! When and whom a node asks to lead.

use std::time::Duration;

use super::kit::*;
use crate::{
    machine::Machine,
    reign::{
        Input, KeptBallot, Output, Role,
        document::{Ballot, RefusalCause},
    },
};

#[test]
fn a_lone_node_leads_at_once() {
    let mut desk = Desk::restarted(1, &[1], 1, KeptBallot::default());
    let out = desk.eligible();
    let led = document(1, 1, &[1], &[1]);
    let kept = KeptBallot {
        granted: 1,
        granted_to: Some(id(1)),
        claimed: 1,
        highest: Some(led.clone()),
    };
    assert_eq!(
        out,
        [
            Output::Persist(kept.encode().unwrap()),
            Output::Broadcast(Box::new(led)),
            Output::Became(Role::Leading {
                reign: reign(1, 1),
                ready: true
            }),
        ]
    );
}

#[test]
fn a_starting_node_claims_nothing_before_its_doubt_ended() {
    let mut desk = Desk::restarted(1, &[1, 2], 1, KeptBallot::default());
    assert_eq!(desk.eligible(), []);
    assert_eq!(desk.machine.next_wakeup(), None);
    assert!(words(&desk.feed(Input::Doubt(false))).contains(&"broadcast"));
}

#[test]
fn a_claim_waits_by_rank_and_is_kept_before_it_is_sent() {
    for (n, rank) in [(1, 0), (2, 1), (3, 2)] {
        let others: Vec<_> = [1, 2, 3].into_iter().filter(|other| *other != n).collect();
        let mut desk = Desk::new(n, &[1, 2, 3]);
        desk.alive(&others);
        let start = desk.now;
        assert_eq!(desk.eligible(), []);
        let out = desk.wake();
        let waited = desk.now.since(start);
        let least = Duration::from_millis(150 * rank);
        assert!(
            waited >= least && waited <= least + Duration::from_millis(150),
            "{waited:?}"
        );
        assert_eq!(words(&out), ["persist", "claim", "claim", "became"]);
        assert_eq!(opened(&out).unwrap().asked, [id(1), id(2), id(3)]);
    }
}

#[test]
fn without_a_majority_a_higher_term_is_claimed_after_one_to_one_point_six_seconds() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.alive(&[2, 3]);
    desk.eligible();
    let first = opened(&desk.wake()).unwrap();
    let before = desk.now;
    let second = opened(&desk.wake()).unwrap();
    let waited = desk.now.since(before);
    assert!(
        waited >= Duration::from_secs(1) && waited <= Duration::from_millis(1600),
        "{waited:?}"
    );
    assert_eq!((first.term, second.term), (1, 2));
}

#[test]
fn a_member_confirmed_lost_leaves_the_asked_of_a_new_claim() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.alive(&[2, 3]);
    desk.eligible();
    desk.wake();
    let again = opened(&desk.alive(&[2])).expect("a new claim at once");
    assert_eq!(again.asked, [id(1), id(2)]);
    assert_eq!(again.term, 2);
}

#[test]
fn a_member_without_the_role_master_is_not_asked() {
    let mut desk = Desk::new(1, &[1, 2]);
    desk.alive(&[2, 8]);
    desk.eligible();
    assert_eq!(opened(&desk.wake()).unwrap().asked, [id(1), id(2)]);
}

#[test]
fn a_refusal_names_the_next_term_but_cannot_inflate_it() {
    for (highest, next) in [(40, 41), (u64::MAX, 2)] {
        let mut desk = Desk::new(1, &[1, 2]);
        desk.alive(&[2]);
        desk.eligible();
        let (_, claim) = sent_claim(&desk.wake()).unwrap();
        let (cause, master) = (RefusalCause::Granted, None);
        let ballot = Ballot::Refused {
            cause,
            highest,
            master,
        };
        desk.feed(Input::BallotReceived {
            from: id(2),
            claim,
            ballot,
        });
        assert_eq!(opened(&desk.wake()).unwrap().term, next);
    }
}

#[test]
fn inv1_a_living_master_is_never_displaced_for_rank() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.alive(&[2, 3]);
    desk.show(3, &document(4, 3, &[2, 3], &[2, 3]));
    assert_eq!(desk.eligible(), []);
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(4, 3) });
    assert_eq!(desk.machine.next_wakeup(), None);
    assert_eq!(desk.feed(Input::LeadWanted), []);
    assert_eq!(
        words(&desk.alive(&[2])),
        ["became"],
        "the wish is not kept for later"
    );
}

#[test]
fn a_master_that_a_reached_member_follows_is_not_contended_with() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.alive(&[2]);
    desk.hear(2, Some(reign(4, 3)));
    desk.eligible();
    assert_eq!(desk.machine.next_wakeup(), None);
    desk.hear(2, None);
    assert_eq!(opened(&desk.wake()).unwrap().asked, [id(1), id(2)]);
}

#[test]
fn a_master_that_is_lost_or_came_back_in_another_life_is_succeeded() {
    for alive in [[(2, 1), (2, 1)], [(2, 1), (3, 2)]] {
        let mut desk = Desk::new(1, &[1, 2, 3]);
        desk.alive(&[2, 3]);
        desk.show(3, &document(4, 3, &[2, 3], &[2, 3]));
        desk.eligible();
        let out = desk.feed(Input::Alive(
            alive.into_iter().map(|(n, life)| (id(n), life)).collect(),
        ));
        assert_eq!(out, [Output::Became(Role::Standby)]);
        assert_eq!(opened(&desk.wake()).unwrap().term, 5);
    }
}

#[test]
fn a_record_older_than_the_reign_does_not_disown_it_but_a_newer_one_does() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.alive(&[2, 3]);
    desk.show(3, &document(4, 3, &[2, 3], &[2, 3]));
    desk.eligible();
    desk.later(200);
    assert_eq!(desk.hear(3, None), []);
    desk.later(1000);
    assert_eq!(desk.hear(3, None), [Output::Became(Role::Standby)]);
}

#[test]
fn a_restart_claims_anew_and_alone_it_uses_its_term_again() {
    let kept = KeptBallot {
        granted: 6,
        granted_to: Some(id(1)),
        claimed: 6,
        highest: Some(document(6, 1, &[1, 2], &[1, 2])),
    };
    for (alive, term) in [(&[][..], 6), (&[2][..], 7)] {
        let mut desk = Desk::restarted(1, &[1, 2], 2, kept.clone());
        desk.alive(alive);
        desk.feed(Input::Doubt(false));
        let mut out = desk.eligible();
        if out.is_empty() {
            out = desk.wake();
        }
        let reign = desk
            .machine
            .role()
            .reign()
            .or_else(|| Some(opened(&out)?.reign()))
            .unwrap();
        assert_eq!((reign.term, reign.incarnation), (term, 2));
    }
}

#[test]
fn a_node_that_drains_does_not_claim() {
    let mut desk = Desk::new(1, &[1]);
    assert_eq!(desk.machine.next_wakeup(), None);
    assert_eq!(desk.feed(Input::Wake), []);
}
