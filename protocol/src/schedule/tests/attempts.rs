//! From an order to the end of a job.

use super::fixtures::*;
use crate::{
    ledger::kinds::JobState,
    schedule::{Input, Liveness, Output, VerifyError, WorkerState},
    work::{FailureClass, INPUT_LIMIT, Inventory, Order, Outcome, Report},
};

#[test]
fn a_result_is_verified_then_published_then_acknowledged() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    assert_eq!(order.fence, fence(1, 1));
    assert_eq!(desk.taken(1, 1, &order), []);
    let report = Box::new(built(&order));
    let verify = Output::Verify {
        worker: node(1),
        report: report.clone(),
        probe: Box::new(order.probe.clone()),
    };
    assert_eq!(desk.report(2, 1, built(&order)), [verify]);
    let publish = Output::Publish {
        job: order.job,
        worker: node(1),
        attempts: 1,
        report,
        probe: Box::new(order.probe.clone()),
    };
    assert_eq!(desk.verified(3, &order), [publish]);
    let acknowledged = Output::AckReport {
        worker: node(1),
        job: order.job,
        fence: order.fence,
    };
    let job = order.job;
    let out = desk.say(4, Input::Recorded { job });
    assert_eq!(out, std::slice::from_ref(&acknowledged));
    let published = view(
        vec![published("foo", &[])],
        vec![ended("foo", JobState::Published)],
    );
    assert_eq!(desk.say(4, published), []);
    assert_eq!(desk.report(5, 1, built(&order)), [acknowledged]);
}

#[test]
fn inv4_reports_that_come_twice_publish_once() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    assert_eq!(desk.report(2, 1, built(&order)).len(), 1);
    assert_eq!(desk.report(2, 1, built(&order)), []);
    assert_eq!(desk.verified(3, &order).len(), 1);
    assert_eq!(desk.verified(3, &order), []);
    assert_eq!(desk.report(3, 1, built(&order)), []);
}

#[test]
fn an_end_that_could_not_be_recorded_is_handed_out_again() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.report(2, 1, built(&order));
    let publish = desk.verified(3, &order);
    let job = order.job;
    assert_eq!(desk.say(4, Input::RecordFailed { job }), []);
    assert_eq!(desk.wakeup(), Some(at(5)));
    assert_eq!(desk.say(9, Input::Wake), publish);
}

#[test]
fn the_same_failure_on_two_workers_fails_the_job_with_the_last_log() {
    let mut desk = Desk::leading(&[worker(1), worker(2), worker(3)]);
    let (first, one) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let (second, two) = the_order(&desk.report(2, first, failed(&one, FailureClass::Build)));
    let report = failed(&two, FailureClass::Build);
    let fail = Output::Fail {
        job: one.job,
        class: FailureClass::Build,
        error: "it broke".to_owned(),
        attempts: 2,
        report: Some((node(second), Box::new(report.clone()))),
    };
    assert_eq!(desk.report(3, second, report), [fail]);
    let out = desk.say(4, Input::Recorded { job: one.job });
    let acknowledged = [(first, one), (second, two)].map(|(worker, order)| Output::AckReport {
        worker: node(worker),
        job: order.job,
        fence: order.fence,
    });
    assert_eq!(out, acknowledged);
}

#[test]
fn the_only_capable_worker_decides_alone() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let out = desk.report(2, 1, failed(&order, FailureClass::Check));
    assert_eq!(the_failure(&out).1, FailureClass::Check);
}

#[test]
fn what_was_not_probed_or_does_not_verify_is_a_mismatch() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let mut other = built(&order);
    let Outcome::Built(packages) = &mut other.outcome else {
        panic!()
    };
    packages[0].file = "evil-1-1-x86_64.pkg.tar.zst".parse().unwrap();
    let (_, class, error) = the_failure(&desk.report(2, 1, other));
    assert_eq!(class, FailureClass::Mismatch);
    assert_eq!(error, "evil-1-1-x86_64.pkg.tar.zst is not a package of foo");

    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.report(2, 1, built(&order));
    let unsigned = Input::Verified {
        job: order.job,
        fence: order.fence,
        result: Err(VerifyError::Mismatch("no signature".to_owned())),
    };
    let (_, class, error) = the_failure(&desk.say(3, unsigned));
    assert_eq!((class, error.as_str()), (FailureClass::Mismatch, "no signature"));
}

#[test]
fn inv4_a_result_whose_bytes_are_gone_is_built_again() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (first, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.report(2, first, built(&order));
    let gone = Input::Verified {
        job: order.job,
        fence: order.fence,
        result: Err(VerifyError::Unreachable("no answer".to_owned())),
    };
    assert_eq!(desk.say(3, gone), []);
    assert_ne!(the_order(&desk.say(8, Input::Wake)).0, first);
}

#[test]
fn inv4_a_confirmed_loss_moves_the_job_at_once_and_an_unheard_worker_has_5_seconds() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (first, _) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    assert_eq!(first, 1);
    let lost = Input::Workers(vec![that_is(Liveness::Lost, worker(1)), worker(2)]);
    assert_eq!(the_order(&desk.say(2, lost)).0, 2);

    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    desk.submit(1, vec![], &[probe("foo", &[])]);
    let unheard = Input::Workers(vec![that_is(Liveness::Unheard, worker(1)), worker(2)]);
    assert_eq!(desk.say(2, unheard), []);
    assert_eq!(
        desk.waiting_for(3, "foo"),
        "worker-1, which may be merely unheard, for 4 s"
    );
    assert_eq!(desk.say(6, Input::Wake), []);
    assert_eq!(the_order(&desk.say(7, Input::Wake)).0, 2);
}

#[test]
fn a_worker_that_was_merely_unheard_goes_on_with_its_attempt() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.say(
        2,
        Input::Workers(vec![that_is(Liveness::Unheard, worker(1)), worker(2)]),
    );
    let back = desk.say(3, Input::Workers(vec![worker(1), worker(2)]));
    assert_eq!(back, [Output::AskInventory { worker: node(1) }]);
    let inventory = Inventory {
        running: vec![running(&order)],
        ..Inventory::default()
    };
    let adopt = Output::Adopt {
        worker: node(1),
        job: order.job,
        old: order.fence,
        new: fence(1, 2),
    };
    assert_eq!(desk.say(3, has(node(1), inventory)), [adopt]);
    // Its report crossed the adoption.
    let out = desk.report(3, 1, built(&order));
    assert!(matches!(out[..], [Output::Verify { .. }]), "{out:?}");
}

#[test]
fn inv4_a_planned_stop_costs_no_attempt_and_its_builds_are_adopted_within_30_seconds() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.taken(1, 1, &order);
    let away = Input::Workers(vec![that_is(Liveness::Away, worker(1)), worker(2)]);
    assert_eq!(desk.say(2, away), []);
    assert_eq!(
        desk.waiting_for(3, "foo"),
        "worker-1, which stopped by plan and goes on with it if it comes back, for 29 s"
    );
    assert_eq!(desk.say(31, Input::Wake), []);
    let returned = WorkerState {
        incarnation: 2,
        ..worker(1)
    };
    let back = desk.say(31, Input::Workers(vec![returned, worker(2)]));
    assert_eq!(back, [Output::AskInventory { worker: node(1) }]);
    let inventory = Inventory {
        running: vec![running(&order)],
        ..Inventory::default()
    };
    let adopt = Output::Adopt {
        worker: node(1),
        job: order.job,
        old: order.fence,
        new: fence(1, 2),
    };
    assert_eq!(desk.say(31, has(node(1), inventory)), [adopt]);
    // It did nothing wrong, so it is given the next job at once.
    let live = desk.schedule.live_jobs(at(31));
    assert_eq!((live[0].attempts, live[0].worker), (1, Some(node(1))));
    desk.say(
        32,
        Input::Workers(vec![WorkerState {
            incarnation: 2,
            ..worker(1)
        }]),
    );
    desk.report(32, 1, built(&order));
    assert_eq!(the_order(&desk.submit(33, vec![], &[probe("app", &[])])).0, 1);
}

#[test]
fn inv4_what_a_stopped_worker_does_not_bring_back_goes_elsewhere() {
    let stopped = || Input::Workers(vec![that_is(Liveness::Away, worker(1)), worker(2)]);
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    desk.submit(1, vec![], &[probe("foo", &[])]);
    desk.say(2, stopped());
    assert_eq!(orders(&desk.say(31, Input::Wake)), []);
    assert_eq!(the_order(&desk.say(32, Input::Wake)).0, 2);

    // A machine that was restarted says so, and nobody waits any longer.
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    desk.submit(1, vec![], &[probe("foo", &[])]);
    desk.say(2, stopped());
    let returned = WorkerState {
        incarnation: 2,
        ..worker(1)
    };
    desk.say(10, Input::Workers(vec![returned, worker(2)]));
    assert_eq!(ordered(&desk.say(10, empty_handed(node(1)))), ["foo"]);
}

#[test]
fn a_stale_failure_changes_nothing_and_a_stale_result_with_the_same_inputs_is_taken() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (_, old) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let lost = vec![that_is(Liveness::Lost, worker(1)), worker(2)];
    let (_, new) = the_order(&desk.say(2, Input::Workers(lost)));
    let acknowledged = |report: &Report| Output::AckReport {
        worker: node(1),
        job: report.job,
        fence: report.fence,
    };
    let failure = failed(&old, FailureClass::Build);
    assert_eq!(desk.report(3, 1, failure.clone()), [acknowledged(&failure)]);
    let mut other_inputs = built(&old);
    other_inputs.inputs = vec![archive("lib")];
    assert_eq!(
        desk.report(3, 1, other_inputs.clone()),
        [acknowledged(&other_inputs)]
    );
    let stop = Output::Cancel {
        worker: node(2),
        job: new.job,
        fence: new.fence,
    };
    let out = desk.report(4, 1, built(&old));
    assert_eq!(out[0], stop);
    assert!(matches!(out[1..], [Output::Verify { .. }]), "{out:?}");
}

#[test]
fn a_refused_order_goes_to_another_worker_and_counts_no_attempt() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (first, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let refused = Input::Ordered {
        worker: node(first),
        job: order.job,
        fence: order.fence,
        result: Err("no room on its disk".to_owned()),
    };
    let out = desk.say(2, refused);
    assert_ne!(the_order(&out).0, first);
    assert_eq!(the_order(&out).1.fence, fence(1, 2));
    assert_eq!(desk.schedule.live_jobs(at(2))[0].attempts, 1);
}

#[test]
fn only_the_current_attempt_is_told_its_pkgrel() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let prepared = |number| Input::Prepared {
        worker: node(1),
        job: order.job,
        fence: fence(1, number),
        version: "1-1".parse().unwrap(),
    };
    let answer = Output::AnswerPrepared {
        worker: node(1),
        job: order.job,
        fence: order.fence,
        version: "1-1".parse().unwrap(),
        packages: ["foo", "foo-debug"]
            .map(|name| (name.parse().unwrap(), arch()))
            .to_vec(),
    };
    assert_eq!(desk.say(2, prepared(1)), [answer]);
    assert!(matches!(desk.say(2, prepared(9))[..], [Output::Cancel { .. }]));
}

#[test]
fn a_cancelled_job_stops_and_a_late_result_does_not_revive_it() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let job = order.job;
    let stop = Output::Cancel {
        worker: node(1),
        job,
        fence: order.fence,
    };
    assert_eq!(
        desk.say(2, Input::Cancel { job }),
        [stop, Output::CancelRecord { job }]
    );
    assert_eq!(desk.say(2, Input::Cancel { job }), []);
    assert_eq!(desk.report(3, 1, built(&order)), []);
    let out = desk.say(4, view(vec![], vec![ended("foo", JobState::Cancelled)]));
    let acknowledged = Output::AckReport {
        worker: node(1),
        job,
        fence: order.fence,
    };
    assert_eq!(out, [acknowledged]);
}

#[test]
fn a_retry_forgets_failures_and_stops_what_ran_before() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, old) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let mut again = job("foo");
    again.generation = 2;
    let out = desk.say(2, view(vec![], vec![again]));
    assert!(matches!(out[0], Output::Cancel { .. }), "{out:?}");
    let (_, new) = the_order(&out);
    assert_eq!(new.generation, 2);
    let stale = desk.report(3, 1, built(&old));
    assert!(matches!(stale[..], [Output::AckReport { .. }]), "{stale:?}");
}

#[test]
fn inv6_what_a_worker_says_of_an_attempt_that_it_was_not_given_changes_nothing() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (first, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    assert_eq!(first, 1);
    let failure = failed(&order, FailureClass::Build);
    for by in [order.fence, fence(1, u64::MAX), fence(9, 1)] {
        for outcome in [built(&order).outcome, failure.outcome.clone(), Outcome::Cancelled] {
            let report = Report {
                fence: by,
                outcome,
                ..failure.clone()
            };
            assert_eq!(desk.report(2, 2, report), []);
        }
        let claimed = Inventory {
            running: vec![running(&Order {
                fence: by,
                ..order.clone()
            })],
            ..Inventory::default()
        };
        let out = desk.say(2, has(node(2), claimed));
        let stops_only_its_own =
            |output: &Output| matches!(output, Output::Cancel { worker, .. } if *worker == node(2));
        assert!(out.iter().all(stops_only_its_own), "{out:?}");
    }
    assert_eq!(desk.schedule.live_jobs(at(2))[0].worker, Some(node(1)));
    let out = desk.report(3, 1, built(&order));
    assert!(matches!(out[..], [Output::Verify { .. }]), "{out:?}");
}

#[test]
fn inv6_an_attempt_that_was_never_ordered_is_not_adopted_by_the_reign_it_names() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.say(
        2,
        Input::Workers(vec![that_is(Liveness::Unheard, worker(1)), worker(2)]),
    );
    let claimed = Inventory {
        running: vec![running(&Order {
            fence: fence(1, u64::MAX),
            ..order.clone()
        })],
        ..Inventory::default()
    };
    desk.say(3, has(node(2), claimed));
    desk.say(3, Input::Workers(vec![worker(1), worker(2)]));
    let back = Inventory {
        running: vec![running(&order)],
        ..Inventory::default()
    };
    let out = desk.say(4, has(node(1), back));
    assert!(
        matches!(out[..], [Output::Adopt { worker, old, .. }] if worker == node(1) && old == order.fence),
        "{out:?}"
    );
}

#[test]
fn a_failure_of_an_earlier_reign_stops_nobody_who_builds_now() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let old = Report {
        fence: fence(0, u64::MAX),
        ..failed(&order, FailureClass::Build)
    };
    let out = desk.report(2, 2, old);
    assert!(matches!(out[..], [Output::AckReport { .. }]), "{out:?}");
    assert_eq!(desk.schedule.live_jobs(at(2))[0].worker, Some(node(1)));
}

#[test]
fn inv5_a_report_that_names_endless_inputs_costs_a_bounded_list_and_still_ends_its_attempt() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let mut report = built(&order);
    report.inputs = vec![archive("lib"); INPUT_LIMIT + 1];
    let out = desk.report(2, 1, report);
    assert!(
        matches!(&out[..], [Output::Verify { report, .. }] if report.inputs.len() == INPUT_LIMIT),
        "{out:?}"
    );
}

#[test]
fn what_is_being_recorded_can_be_asked_before_a_job_is_cancelled() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.report(2, 1, built(&order));
    assert_eq!(desk.schedule.ending(order.job), None);
    desk.verified(3, &order);
    assert_eq!(desk.schedule.ending(order.job), Some("being published"));
    assert_eq!(desk.say(3, Input::Cancel { job: order.job }), []);

    let mut desk = Desk::leading(&[worker(1)]);
    let (_, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    desk.say(2, Input::Cancel { job: order.job });
    assert_eq!(desk.schedule.ending(order.job), Some("being cancelled"));
}
