//! How a claim is answered.

use super::kit::*;
use crate::{
    ids::Digest,
    reign::{
        Input, KeptBallot, Output,
        document::{Ballot, RefusalCause},
        judge::TERM_LEAP,
    },
};

fn asked() -> Desk {
    let mut desk = Desk::new(3, &[1, 2, 3]);
    desk.alive(&[1, 2]);
    desk
}

#[test]
fn a_grant_is_kept_before_it_is_sent() {
    let mut desk = asked();
    let claim = claim(5, 1, &[1, 2, 3]);
    let kept = KeptBallot {
        granted: 5,
        granted_to: Some(id(1)),
        ..KeptBallot::default()
    };
    let ballot = Ballot::Granted {
        grant: grant(&claim, 3),
        ledger: LEDGER,
    };
    assert_eq!(
        desk.ask(&claim, 1),
        [
            Output::Persist(kept.encode().unwrap()),
            Output::Reply {
                to: id(1),
                claim: Digest::of(&claim.body),
                ballot: Box::new(ballot),
            },
        ]
    );
}

#[test]
fn inv1_a_term_is_granted_once_even_across_a_restart() {
    let mut desk = asked();
    let out = desk.ask(&claim(5, 1, &[1, 2, 3]), 1);
    assert!(granted(&out));
    assert_eq!(
        refused(&desk.ask(&claim(5, 2, &[1, 2, 3]), 2)),
        Some(RefusalCause::Granted)
    );

    let Output::Persist(bytes) = &out[0] else {
        panic!("{out:?}");
    };
    let mut desk = Desk::restarted(3, &[1, 2, 3], 2, KeptBallot::decode(bytes).unwrap());
    desk.alive(&[1, 2]);
    desk.feed(Input::Doubt(false));
    assert_eq!(
        refused(&desk.ask(&claim(5, 2, &[1, 2, 3]), 2)),
        Some(RefusalCause::Granted)
    );
    assert!(granted(&desk.ask(&claim(6, 2, &[1, 2, 3]), 2)));
}

#[test]
fn the_same_claim_asked_twice_gets_the_same_grant() {
    let mut desk = asked();
    let claim = claim(5, 1, &[1, 2, 3]);
    assert!(granted(&desk.ask(&claim, 1)));
    let again = desk.ask(&claim, 1);
    assert!(granted(&again));
    assert_eq!(words(&again), ["reply"]);
}

#[test]
fn a_term_far_above_the_highest_verified_is_refused() {
    let mut desk = asked();
    let leap = claim(TERM_LEAP + 1, 1, &[1, 2, 3]);
    assert_eq!(refused(&desk.ask(&leap, 1)), Some(RefusalCause::TooHigh));
    assert!(granted(&desk.ask(&claim(TERM_LEAP, 1, &[1, 2, 3]), 1)));
}

#[test]
fn nobody_is_granted_while_another_master_lives() {
    let mut desk = asked();
    let led = document(4, 2, &[1, 2, 3], &[1, 2]);
    desk.show(2, &led);
    let out = desk.ask(&claim(5, 1, &[1, 2, 3]), 1);
    assert_eq!(refused(&out), Some(RefusalCause::MasterAlive));
    let told = out.iter().any(|output| {
        matches!(output, Output::Reply { ballot, .. }
            if matches!(&**ballot, Ballot::Refused { master: Some(master), .. } if *master == led))
    });
    assert!(told, "the refusal shows the reign");
    assert!(
        granted(&desk.ask(&claim(5, 2, &[1, 2, 3]), 2)),
        "the master itself may claim anew"
    );
}

#[test]
fn a_node_in_doubt_grants_nothing() {
    let mut desk = asked();
    desk.feed(Input::Doubt(true));
    assert_eq!(
        refused(&desk.ask(&claim(5, 1, &[1, 2, 3]), 1)),
        Some(RefusalCause::Doubt)
    );
}

#[test]
fn only_entitled_members_are_granted_and_only_their_own_claims() {
    let mut desk = asked();
    for (claim, from) in [
        (claim(5, 8, &[3, 8]), 8),
        (claim(5, 1, &[1, 3]), 2),
        (claim(5, 1, &[3]), 1),
        (claim(5, 1, &[3, 1]), 1),
    ] {
        assert_eq!(refused(&desk.ask(&claim, from)), Some(RefusalCause::NotEntitled));
    }
}

#[test]
fn a_claimant_that_grants_a_higher_term_gives_its_own_claim_up() {
    let mut desk = asked();
    desk.eligible();
    let own = desk.wake();
    assert_eq!(opened(&own).unwrap().term, 1);
    assert!(granted(&desk.ask(&claim(2, 1, &[1, 2, 3]), 1)));
    assert_eq!(desk.granted_by(2, &own, LEDGER), []);
}
