//! Two nodes that see each other only through a third: one leads, the other follows it from afar.

use std::collections::BTreeMap;

use super::kit::*;
use crate::{
    ids::NodeId,
    machine::Machine,
    reign::{Input, Output, Role, document::RefusalCause},
};

/// Node 3 sees 2, and hears through 2 that 1 lives.
fn reach(desk: &mut Desk, alive: &[u8], relayed: &[u8]) -> Vec<Output> {
    let lives = |nodes: &[u8]| -> BTreeMap<NodeId, u64> { nodes.iter().map(|n| (id(*n), 1)).collect() };
    desk.feed(Input::Reach {
        alive: lives(alive),
        relayed: lives(relayed),
    })
}

/// It was shown by 2, which follows 1, that 1 leads.
fn far_side() -> Desk {
    let mut desk = Desk::new(3, &[1, 2, 3]);
    desk.eligible();
    reach(&mut desk, &[2], &[1]);
    desk.hear(2, Some(reign(5, 1)));
    desk.show(2, &document(5, 1, &[1, 2], &[1, 2]));
    desk
}

#[test]
fn inv1_a_master_beyond_a_member_that_follows_it_is_followed_and_not_contended() {
    let mut desk = far_side();
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(5, 1) });
    assert_eq!(desk.machine.next_wakeup(), None, "it has nothing to claim");
    // As soon as nobody reaches it any longer, its seat is free.
    reach(&mut desk, &[2], &[]);
    desk.hear(2, None);
    assert_eq!(desk.machine.role(), Role::Standby);
    assert!(desk.machine.next_wakeup().is_some());
}

#[test]
fn inv1_a_master_that_went_out_of_direct_reach_is_followed_without_a_pause() {
    let mut desk = Desk::new(3, &[1, 2, 3]);
    desk.alive(&[1, 2]);
    desk.show(1, &document(5, 1, &[1, 2, 3], &[1, 2, 3]));
    desk.hear(2, Some(reign(5, 1)));
    let out = reach(&mut desk, &[2], &[1]);
    assert_eq!(out, [], "the role is the same");
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(5, 1) });
    let out = reach(&mut desk, &[1, 2], &[]);
    assert_eq!(out, [], "nor is there one on its way back");
    assert_eq!(desk.machine.role(), Role::Following { reign: reign(5, 1) });
}

#[test]
fn inv1_a_claim_is_refused_while_others_follow_a_master_beyond_them() {
    let mut desk = Desk::new(4, &[1, 2, 3, 4]);
    reach(&mut desk, &[2, 3], &[1]);
    for member in [2, 3] {
        desk.hear(member, Some(reign(5, 1)));
    }
    desk.show(2, &document(5, 1, &[1, 2, 3], &[1, 2, 3]));
    let refusal = desk.ask(&claim(6, 3, &[2, 3, 4]), 3);
    assert_eq!(refused(&refusal), Some(RefusalCause::MasterAlive));
    // Nobody else follows it: the claimant knows best that its master is gone.
    desk.hear(2, None);
    assert!(granted(&desk.ask(&claim(6, 3, &[2, 3, 4]), 3)));
}

#[test]
fn a_follower_shows_its_master_to_a_member_that_has_followed_nobody_for_a_while() {
    let mut desk = Desk::new(2, &[1, 2, 3]);
    desk.alive(&[1, 3]);
    desk.show(1, &document(5, 1, &[1, 2], &[1, 2]));
    assert_eq!(desk.hear(3, None), [], "the master's own word may be on its way");
    desk.later(2000);
    let out = desk.hear(3, None);
    assert!(
        matches!(&out[..], [Output::SendDocument { to, .. }] if *to == id(3)),
        "{out:?}"
    );
    assert_eq!(desk.hear(3, None), [], "once is enough for a while");
}
