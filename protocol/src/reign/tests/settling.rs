//! Two reigns meet after a cut: one goes on, under a new term.

use super::kit::*;
use crate::reign::{Input, Output, Role, document::RefusalCause};

/// Node 1, elected by 1 and 2 while the others were out of reach.
fn left_side() -> Desk {
    let mut desk = Desk::new(1, &[1, 2, 3, 4]);
    desk.alive(&[2]);
    desk.eligible();
    let claim = desk.wake();
    desk.granted_by(2, &claim, LEDGER);
    assert!(desk.machine.role().may_order());
    desk
}

#[test]
fn inv1_the_reign_with_more_grants_or_the_senior_claims_the_next_term() {
    let mut desk = left_side();
    desk.alive(&[2, 3, 4]);
    let out = desk.show(3, &document(9, 3, &[3, 4], &[3, 4]));
    assert_eq!(
        words(&out),
        [
            "persist",
            "relinquish",
            "broadcast",
            "persist",
            "claim",
            "claim",
            "claim",
            "became"
        ]
    );
    let claim = opened(&out).unwrap();
    assert_eq!((claim.term, claim.asked.len()), (10, 4));
}

#[test]
fn inv1_the_weaker_reign_steps_down_and_grants() {
    let mut desk = left_side();
    desk.alive(&[2, 3, 4]);
    let out = desk.show(3, &document(9, 3, &[3, 4, 5], &[3, 4, 5]));
    assert_eq!(out, [], "5 is not entitled: nothing is proven");

    let mut desk = Desk::new(3, &[1, 2, 3, 4]);
    desk.alive(&[4]);
    desk.eligible();
    let claimed = desk.wake();
    desk.granted_by(4, &claimed, LEDGER);
    desk.alive(&[1, 2, 4]);
    let out = desk.show(1, &document(1, 1, &[1, 2], &[1, 2]));
    assert_eq!(words(&out), ["document", "relinquish", "became"]);
    assert_eq!(desk.machine.role(), Role::Standby);
    assert!(granted(&desk.ask(&claim(2, 1, &[1, 2, 3, 4]), 1)));
}

#[test]
fn a_third_node_grants_the_stronger_and_refuses_the_weaker() {
    let mut desk = Desk::new(4, &[1, 2, 3, 4]);
    desk.alive(&[1, 2, 3]);
    desk.show(3, &document(9, 3, &[3, 4], &[3, 4]));
    desk.show(1, &document(5, 1, &[1, 2], &[1, 2]));
    assert_eq!(
        refused(&desk.ask(&claim(10, 3, &[1, 2, 3, 4]), 3)),
        Some(RefusalCause::MasterAlive)
    );
    assert_eq!(
        refused(&desk.ask(&claim(10, 2, &[1, 2, 3, 4]), 2)),
        Some(RefusalCause::MasterAlive)
    );
    assert!(granted(&desk.ask(&claim(10, 1, &[1, 2, 3, 4]), 1)));
}

#[test]
fn a_master_that_slept_yields_to_its_successor() {
    let mut desk = left_side();
    desk.feed(Input::Doubt(true));
    desk.feed(Input::Doubt(false));
    desk.alive(&[2, 3, 4]);
    let out = desk.show(3, &document(9, 3, &[3, 4], &[3, 4]));
    assert_eq!(words(&out), ["persist", "relinquish", "became"]);
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(9, 3) });
}

#[test]
fn inv1_whoever_is_shown_a_higher_reign_waits_for_its_master_before_it_claims_above_it() {
    // Alone behind a cut; it heals, and the others' document arrives before they are seen alive.
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.eligible();
    assert!(desk.machine.role().may_order());
    let out = desk.show(2, &document(9, 2, &[2, 3], &[2, 3]));
    assert_eq!(words(&out), ["persist", "relinquish", "became"]);
    desk.later(1000);
    assert_eq!(desk.feed(Input::Wake), []);
    desk.alive(&[2, 3]);
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(9, 2) });

    // One that never comes is not waited for for ever.
    desk.alive(&[]);
    let other = document(20, 3, &[2, 3], &[2, 3]);
    desk.show(3, &other);
    desk.wake();
    desk.wake();
    assert!(desk.machine.role().may_order());
}

#[test]
fn a_lower_reign_is_shown_the_higher_one() {
    let mut desk = Desk::new(2, &[1, 2, 3]);
    desk.alive(&[1, 3]);
    desk.show(3, &document(9, 3, &[2, 3], &[2, 3]));
    let out = desk.hear(1, Some(reign(5, 1)));
    assert!(
        matches!(&out[..], [Output::SendDocument { to, .. }] if *to == id(1)),
        "{out:?}"
    );
}

#[test]
fn inv1_nodes_do_not_keep_a_dead_reign_alive_by_telling_each_other_of_it() {
    let mut desk = Desk::new(2, &[1, 2, 3]);
    desk.alive(&[1, 3]);
    let led = document(9, 3, &[2, 3], &[2, 3]);
    desk.show(3, &led);
    desk.later(1000);
    desk.hear(3, None);
    assert_eq!(desk.machine.role(), Role::Standby);
    desk.show(1, &led);
    assert_eq!(desk.machine.role(), Role::Standby);
    desk.show(3, &led);
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(9, 3) });
}
