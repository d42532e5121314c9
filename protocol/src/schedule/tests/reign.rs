//! The beginning of a reign: inventories first, then adoption, then work.

use super::fixtures::*;
use crate::{
    schedule::{Input, Liveness, Output, Schedule, WorkerState},
    work::{FailureClass, Inventory, Order, RunningAttempt},
};

/// A new reign of term 2 that knows the open job foo and its probe, and no inventory yet.
fn succeeding(workers: &[WorkerState]) -> Desk {
    let mut desk = Desk {
        schedule: Schedule::new(),
    };
    desk.say(10, Input::Reign(reign(2)));
    desk.say(10, view(vec![], vec![job("foo")]));
    desk.say(10, Input::Workers(workers.to_vec()));
    assert_eq!(desk.probed(10, &probe("foo", &[])), []);
    desk
}

/// What the reign before ordered as its attempt `number`.
fn earlier(number: u64) -> Order {
    let (_, order) = the_order(&Desk::leading(&[worker(1)]).submit(1, vec![], &[probe("foo", &[])]));
    Order {
        fence: fence(1, number),
        ..order
    }
}

fn running_one(order: &Order) -> Inventory {
    let running: Vec<RunningAttempt> = vec![running(order)];
    Inventory {
        running,
        ..Inventory::default()
    }
}

#[test]
fn nothing_is_ordered_before_every_alive_worker_told_what_it_has() {
    let suspect = that_is(Liveness::Suspect, worker(3));
    let mut desk = succeeding(&[worker(1), worker(2)]);
    assert_eq!(desk.waiting_for(10, "foo"), "the inventories of the workers");
    assert_eq!(desk.say(10, empty_handed(node(1))), []);
    assert_eq!(ordered(&desk.say(10, empty_handed(node(2)))), ["foo"]);

    let mut desk = succeeding(&[worker(1), suspect]);
    assert_eq!(orders(&desk.say(10, empty_handed(node(1)))), []);
    assert_eq!(
        desk.waiting_for(10, "foo"),
        "workers that have not told yet what they build"
    );
    assert_eq!(ordered(&desk.say(15, Input::Wake)), ["foo"]);
}

#[test]
fn after_1_second_new_jobs_are_ordered_and_old_ones_after_5() {
    let mut desk = succeeding(&[worker(1), worker(2)]);
    desk.say(10, empty_handed(node(1)));
    assert_eq!(desk.wakeup(), Some(at(11)));
    assert_eq!(desk.say(11, Input::Wake), []);
    assert_eq!(ordered(&desk.submit(11, vec![], &[probe("app", &[])])), ["app"]);
    assert_eq!(orders(&desk.say(14, Input::Wake)), []);
    assert_eq!(ordered(&desk.say(15, Input::Wake)), ["foo"]);
}

#[test]
fn the_greatest_fence_is_adopted_under_a_new_one_and_the_others_stop() {
    let mut desk = succeeding(&[worker(1), worker(2)]);
    assert_eq!(desk.say(10, has(node(1), running_one(&earlier(3)))), []);
    let out = desk.say(10, has(node(2), running_one(&earlier(7))));
    let adopt = Output::Adopt {
        worker: node(2),
        job: job_id("foo"),
        old: fence(1, 7),
        new: fence(2, 1),
    };
    let stop = Output::Cancel {
        worker: node(1),
        job: job_id("foo"),
        fence: fence(1, 3),
    };
    assert_eq!(out, [adopt, stop]);
    let live = &desk.schedule.live_jobs(at(10))[0];
    assert_eq!(
        (live.worker, live.started_ms, live.waiting_for.clone()),
        (Some(node(2)), Some(5), None)
    );
}

#[test]
fn inv4_an_adopted_attempt_is_told_its_pkgrel_also_by_the_fence_of_before() {
    let mut desk = succeeding(&[worker(1)]);
    desk.say(10, has(node(1), running_one(&earlier(3))));
    for by in [fence(1, 3), fence(2, 1)] {
        let prepared = Input::Prepared {
            worker: node(1),
            job: job_id("foo"),
            fence: by,
            version: "1-1".parse().unwrap(),
        };
        let out = desk.say(10, prepared);
        assert!(
            matches!(out[..], [Output::AnswerPrepared { fence, .. }] if fence == by),
            "{out:?}"
        );
    }
}

#[test]
fn inv4_an_adoption_that_comes_too_late_builds_anew() {
    let mut desk = succeeding(&[worker(1)]);
    desk.say(10, has(node(1), running_one(&earlier(3))));
    let gone = Input::Ordered {
        worker: node(1),
        job: job_id("foo"),
        fence: fence(2, 1),
        result: Err("no such attempt".to_owned()),
    };
    desk.say(10, gone);
    assert_eq!(ordered(&desk.say(15, Input::Wake)), ["foo"]);
}

#[test]
fn a_finished_result_of_the_reign_before_is_taken() {
    let mut desk = succeeding(&[worker(1)]);
    let inventory = Inventory {
        reports: vec![built(&earlier(3))],
        ..Inventory::default()
    };
    let out = desk.say(10, has(node(1), inventory));
    assert!(matches!(out[..], [Output::Verify { .. }]), "{out:?}");
}

#[test]
fn failures_that_the_reign_before_kept_unacknowledged_still_count() {
    let mut desk = succeeding(&[worker(1), worker(2)]);
    let inventory = Inventory {
        reports: vec![failed(&earlier(3), FailureClass::Build)],
        ..Inventory::default()
    };
    assert_eq!(desk.say(10, has(node(1), inventory)), []);
    let (second, order) = the_order(&desk.say(10, empty_handed(node(2))));
    assert_eq!(second, 2);
    assert_eq!(
        the_failure(&desk.report(12, 2, failed(&order, FailureClass::Build))).1,
        FailureClass::Build
    );
}

#[test]
fn an_attempt_whose_job_comes_with_a_later_merge_is_adopted_then() {
    let mut desk = Desk::default();
    desk.say(10, Input::Reign(reign(2)));
    desk.say(10, view(vec![], vec![]));
    desk.say(10, Input::Workers(vec![worker(1)]));
    assert_eq!(desk.say(10, has(node(1), running_one(&earlier(3)))), []);
    let out = desk.say(12, view(vec![], vec![job("foo")]));
    assert!(matches!(out[0], Output::Adopt { .. }), "{out:?}");
}

#[test]
fn an_inventory_without_an_attempt_that_was_taken_means_that_it_is_lost() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    assert_eq!(
        desk.say(2, empty_handed(node(1))),
        [],
        "the order may still be on its way"
    );
    desk.taken(2, 1, &order);
    let out = desk.say(3, empty_handed(node(1)));
    assert!(matches!(out[..], [Output::Cancel { .. }]), "{out:?}");
    assert_eq!(ordered(&desk.say(8, Input::Wake)), ["foo"]);
}

#[test]
fn inv4_a_report_of_an_earlier_attempt_does_not_hide_that_the_last_one_is_lost() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (first, old) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let failure = failed(&old, FailureClass::Build);
    let (second, _) = the_order(&desk.report(2, first, failure.clone()));
    let only_first = || Input::Workers(vec![worker(first)]);
    assert_ne!(first, second);
    let (again, new) = the_order(&desk.say(3, only_first()));
    assert_eq!(again, first);
    desk.taken(3, first, &new);
    let inventory = Inventory {
        reports: vec![failure],
        ..Inventory::default()
    };
    let out = desk.say(4, has(node(first), inventory));
    assert!(matches!(out[..], [Output::Cancel { .. }]), "{out:?}");
    assert_eq!(ordered(&desk.say(9, Input::Wake)), ["foo"]);
}

#[test]
fn inv4_an_answer_of_an_earlier_life_does_not_keep_a_lost_attempt() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let restarted = WorkerState {
        incarnation: 2,
        ..worker(1)
    };
    assert_eq!(
        desk.say(2, Input::Workers(vec![restarted])),
        [Output::AskInventory { worker: node(1) }]
    );
    desk.say(2, empty_handed(node(1)));
    desk.taken(2, 1, &order);
    assert_eq!(ordered(&desk.say(7, Input::Wake)), ["foo"]);
}
