//! What a job waits for, and what becomes of it when that never comes.

use super::fixtures::*;
use crate::{
    ledger::kinds::JobState,
    schedule::{Input, Liveness, WorkerState},
    work::FailureClass,
};

#[test]
fn a_job_starts_when_what_it_needs_is_published_and_sees_exactly_that() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let out = desk.submit(1, vec![], &[probe("app", &["lib"]), probe("lib", &[])]);
    assert_eq!(ordered(&out), ["lib"]);
    let (_, lib) = the_order(&out);
    assert_eq!(desk.waiting_for(1, "app"), "lib (building on worker-1)");
    desk.report(2, 1, built(&lib));
    desk.verified(3, &lib);
    assert_eq!(desk.say(4, Input::Recorded { job: lib.job }).len(), 1);
    assert_eq!(desk.waiting_for(4, "app"), "lib (about to end)");
    let out = desk.say(
        5,
        view(
            vec![published("lib", &[])],
            vec![ended("lib", JobState::Published)],
        ),
    );
    let (_, app) = the_order(&out);
    assert_eq!(app.inputs.len(), 1);
    assert_eq!(app.inputs[0].archive, archive("lib"));
}

#[test]
fn a_newer_build_that_is_under_way_is_waited_for_and_not_if_it_fails() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let old = || vec![published("lib", &[])];
    let out = desk.submit(1, old(), &[probe("lib", &[]), probe("app", &["lib"])]);
    assert_eq!(ordered(&out), ["lib"]);
    let failure = JobState::Failed {
        class: FailureClass::Build,
        error: "it broke".to_owned(),
    };
    let out = desk.say(2, view(old(), vec![ended("lib", failure)]));
    assert_eq!(ordered(&out), ["app"]);
}

#[test]
fn inv4_what_needs_a_failed_job_fails_by_name_and_the_others_go_on() {
    let mut desk = Desk::leading(&[worker(1)]);
    let out = desk.submit(
        1,
        vec![],
        &[probe("lib", &[]), probe("app", &["lib"]), probe("foo", &[])],
    );
    let (_, lib) = the_order(&out);
    assert_eq!(lib.probe.base.as_str(), "lib");
    let out = desk.report(2, 1, failed(&lib, FailureClass::Build));
    assert_eq!(the_failure(&out).0.as_str(), "lib");
    assert_eq!(ordered(&out), ["foo"]);
    let failure = JobState::Failed {
        class: FailureClass::Build,
        error: "it broke".to_owned(),
    };
    let out = desk.say(3, view(vec![], vec![ended("lib", failure)]));
    let id = job_id("lib").short();
    let (base, class, error) = the_failure(&out);
    assert_eq!((base.as_str(), class), ("app", FailureClass::Source));
    assert_eq!(
        error,
        format!("needs 'lib', whose job {id} failed: fix it, then 'pacmesh retry app'")
    );
}

#[test]
fn what_was_removed_meanwhile_is_named_too() {
    let mut desk = Desk::leading(&[]);
    desk.submit(1, vec![published("lib", &[])], &[probe("app", &["lib"])]);
    let (_, _, error) = the_failure(&desk.say(2, view(vec![], vec![])));
    assert_eq!(
        error,
        "needs 'lib', which nobody provides any more: build lib, then 'pacmesh retry app'"
    );
}

#[test]
fn inv4_open_jobs_in_a_circle_fail_with_the_path() {
    let mut desk = Desk::leading(&[]);
    let both = vec![published("a", &[]), published("b", &[])];
    desk.submit(1, both, &[probe("a", &["b"]), probe("b", &["a"])]);
    let out = desk.say(2, view(vec![], vec![]));
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(
        the_failure(&out)
            .2
            .starts_with("a dependency cycle: a -> b -> a: ")
    );
}

#[test]
fn a_job_that_nobody_may_take_names_those_who_could() {
    let drained = WorkerState {
        draining: true,
        ..worker(1)
    };
    let away = that_is(Liveness::Lost, worker(2));
    let mut desk = Desk::leading(&[drained, away.clone()]);
    desk.submit(1, vec![], &[probe("foo", &[])]);
    assert_eq!(
        desk.waiting_for(1, "foo"),
        "a worker that takes new work: worker-1 may not ('pacmesh node resume')"
    );
    desk.say(2, Input::Workers(vec![away]));
    assert_eq!(
        desk.waiting_for(2, "foo"),
        "a worker: worker-2 could build it and is out of reach"
    );
}

#[test]
fn nothing_is_judged_missing_while_a_source_is_unread() {
    let mut desk = Desk::leading(&[worker(1)]);
    desk.say(1, view(vec![], vec![job("app"), job("lib")]));
    assert_eq!(desk.probed(1, &probe("app", &["lib"])), []);
    assert_eq!(desk.waiting_for(1, "app"), "lib (its PKGBUILD is not read yet)");
    assert_eq!(desk.waiting_for(1, "lib"), "its PKGBUILD to be read by worker-1");
    assert_eq!(ordered(&desk.probed(1, &probe("lib", &[]))), ["lib"]);
    let id = job_id("lib");
    assert_eq!(desk.say(2, Input::Cancel { job: id }).len(), 2);
}
