//! From a majority to the first order, and out of office.

use super::kit::*;
use crate::reign::{Input, Obedience, Output, Role};

/// Node 1 of three, whose claim was granted by node 2 with `ledger`.
fn elected(ledger: crate::ids::Digest) -> (Desk, Vec<Output>) {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.alive(&[2, 3]);
    desk.eligible();
    let claim = desk.wake();
    let out = desk.granted_by(2, &claim, ledger);
    (desk, out)
}

#[test]
fn a_majority_makes_a_reign_that_is_kept_before_it_is_told() {
    let (mut desk, out) = elected(LEDGER);
    assert_eq!(words(&out), ["persist", "broadcast", "became"]);
    assert_eq!(
        desk.machine.role(),
        Role::Leading {
            reign: reign(1, 1),
            ready: true
        }
    );
    assert_eq!(desk.machine.obedience(reign(1, 1)), Obedience::Obey);
    assert_eq!(desk.feed(Input::Wake), []);
}

#[test]
fn inv2_the_first_order_comes_after_every_granters_ledger_was_merged() {
    let (mut desk, out) = elected(OTHER_LEDGER);
    assert_eq!(words(&out), ["persist", "merge", "broadcast", "became"]);
    assert!(!desk.machine.role().may_order());
    desk.feed(Input::MergeFailed { granter: id(2) });
    assert_eq!(desk.wake(), [Output::MergeFrom { granter: id(2) }]);
    let out = desk.feed(Input::Merged { granter: id(2) });
    let ready = Role::Leading {
        reign: reign(1, 1),
        ready: true,
    };
    assert_eq!(out, [Output::Became(ready)]);
}

#[test]
fn a_granter_that_is_lost_is_not_waited_for() {
    let (mut desk, _) = elected(OTHER_LEDGER);
    assert_eq!(words(&desk.alive(&[3])), ["became"]);
    assert!(desk.machine.role().may_order());
}

#[test]
fn members_that_do_not_announce_the_reign_are_told_again_ever_more_rarely() {
    let (mut desk, _) = elected(LEDGER);
    desk.hear(3, Some(reign(1, 1)));
    let mut moments = Vec::new();
    for _ in 0..3 {
        let out = desk.wake();
        assert!(
            matches!(&out[..], [Output::SendDocument { to, .. }] if *to == id(2)),
            "{out:?}"
        );
        moments.push(desk.now);
    }
    assert!(moments[2].since(moments[1]) > moments[1].since(moments[0]));
    desk.hear(2, Some(reign(1, 1)));
    assert_eq!(crate::machine::Machine::next_wakeup(&desk.machine), None);
}

#[test]
fn a_member_that_comes_is_shown_the_document_at_once() {
    let (mut desk, _) = elected(LEDGER);
    desk.alive(&[2]);
    assert!(matches!(&desk.alive(&[2, 3])[..], [Output::SendDocument { to, .. }] if *to == id(3)));
}

#[test]
fn a_master_in_doubt_orders_nothing() {
    let (mut desk, _) = elected(LEDGER);
    assert_eq!(words(&desk.feed(Input::Doubt(true))), ["became"]);
    assert!(!desk.machine.role().may_order());
    assert_eq!(words(&desk.feed(Input::Doubt(false))), ["became"]);
    assert!(desk.machine.role().may_order());
}

#[test]
fn inv1_a_master_steps_down_before_a_higher_reign_that_asked_it() {
    let (mut desk, _) = elected(LEDGER);
    let out = desk.show(3, &document(2, 3, &[1, 2, 3], &[2, 3]));
    assert_eq!(
        out[1..],
        [
            Output::Relinquish { reign: reign(1, 1) },
            Output::Became(Role::Following { reign: reign(2, 3) }),
        ]
    );
    assert_eq!(desk.machine.obedience(reign(1, 1)), Obedience::Lower);
}

#[test]
fn handing_over_relinquishes_first_and_tells_the_heir() {
    let (mut desk, _) = elected(LEDGER);
    let out = desk.feed(Input::Abdicate { to: Some(id(3)) });
    assert_eq!(
        out,
        [
            Output::Relinquish { reign: reign(1, 1) },
            Output::SendAbdicate {
                to: id(3),
                reign: reign(1, 1)
            },
            Output::Became(Role::Standby),
        ]
    );
}

#[test]
fn an_heir_claims_at_once() {
    let mut desk = Desk::new(3, &[1, 2, 3]);
    desk.alive(&[1, 2]);
    desk.show(1, &document(4, 1, &[1, 2, 3], &[1, 2]));
    desk.eligible();
    let out = desk.feed(Input::Abdicated {
        from: id(1),
        reign: reign(4, 1),
    });
    assert_eq!(opened(&out).unwrap().term, 5);
}

#[test]
fn a_master_that_loses_its_role_or_drains_steps_down() {
    let (mut desk, _) = elected(LEDGER);
    let out = desk.feed(Input::Members([(id(2), 2), (id(3), 3)].into()));
    assert_eq!(words(&out), ["relinquish", "became"]);
    let (mut desk, _) = elected(LEDGER);
    assert_eq!(
        words(&desk.feed(Input::Eligible(false))),
        ["relinquish", "became"]
    );
}
