//! Which worker gets what.

use super::fixtures::*;
use crate::{
    names::Architecture,
    schedule::{Input, Liveness, Output, ViewUpdate, WorkerState},
    work::{FailureClass, Probe},
};

#[test]
fn a_job_goes_to_a_worker_of_its_environment_and_architecture_only() {
    let mut other_environment = worker(1);
    other_environment.capability.environment = "arch:clean".parse().unwrap();
    let mut other_arch = worker(2);
    other_arch.capability.arches = vec!["aarch64".parse().unwrap()];
    let mut desk = Desk::leading(&[other_environment.clone(), other_arch.clone()]);
    assert_eq!(orders(&desk.submit(1, vec![], &[probe("foo", &[])])), []);
    let reason = desk.waiting_for(1, "foo");
    assert_eq!(
        reason,
        "a worker: none of environment host:debian-12 for x86_64 is in reach"
    );

    let workers = vec![other_environment, other_arch, worker(3)];
    desk.say(2, Input::Workers(workers));
    desk.probed(2, &probe("foo", &[]));
    assert_eq!(the_order(&desk.say(2, empty_handed(node(3)))).0, 3);
}

#[test]
fn an_any_job_goes_to_any_worker_of_the_environment() {
    let aarch64: Architecture = "aarch64".parse().unwrap();
    let mut other_arch = worker(2);
    other_arch.capability.arches = vec![aarch64.clone()];
    let mut desk = Desk::leading(&[other_arch]);
    let mut value = job("foo");
    value.arch = Architecture::any();
    desk.say(
        1,
        Input::View(Box::new(ViewUpdate {
            catalogs: vec![(repository(), aarch64, catalog(vec![]))],
            jobs: vec![(job_id("foo"), value)],
            forgotten: Vec::new(),
        })),
    );
    let (worker, order) = the_order(&desk.probed(1, &probe("foo", &[])));
    assert_eq!((worker, order.arch), (2, Architecture::any()));
}

#[test]
fn draining_and_suspect_workers_get_nothing_new() {
    let draining = WorkerState {
        draining: true,
        ..worker(1)
    };
    let suspect = that_is(Liveness::Suspect, worker(2));
    let mut desk = Desk::leading(&[draining, suspect, worker(3)]);
    let out = desk.submit(1, vec![], &[probe("a", &[]), probe("b", &[])]);
    assert_eq!(orders(&out).len(), 1);
    assert_eq!(the_order(&out).0, 3);
    assert_eq!(desk.waiting_for(1, "b"), "a free slot: the only worker is busy");
}

#[test]
fn fewer_attempts_then_lower_load_come_first_and_equals_take_turns() {
    let roomy = |number, load| {
        let mut state = WorkerState {
            load,
            ..worker(number)
        };
        state.capability.slots = 2;
        state
    };
    let mut desk = Desk::leading(&[roomy(1, 9), roomy(2, 3), roomy(3, 3)]);
    let probes = ["a", "b", "c", "d"].map(|name| probe(name, &[]));
    let out = desk.submit(1, vec![], &probes);
    let workers: Vec<u8> = orders(&out).iter().map(|(worker, _)| *worker).collect();
    assert_eq!(workers, [2, 3, 1, 2]);
}

#[test]
fn the_longest_chain_is_built_first_then_the_earlier_submission() {
    let mut desk = Desk::leading(&[]);
    let probes = [
        probe("a", &[]),
        probe("b", &[]),
        probe("c", &["b"]),
        probe("lib", &[]),
        probe("app", &["lib"]),
        probe("foo", &["app"]),
    ];
    desk.submit(1, vec![], &probes);
    let mut roomy = worker(1);
    roomy.capability.slots = 9;
    desk.say(1, Input::Workers(vec![roomy]));
    for probe in &probes {
        desk.probed(1, probe);
    }
    assert_eq!(ordered(&desk.say(1, empty_handed(node(1)))), ["lib", "b", "a"]);
}

#[test]
fn where_a_job_failed_it_does_not_go_again_while_another_could_try() {
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let (first, order) = the_order(&desk.submit(1, vec![], &[probe("foo", &[])]));
    let (second, _) = the_order(&desk.report(2, first, failed(&order, FailureClass::Build)));
    assert_eq!((first, second), (1, 2));
}

#[test]
fn inv4_a_worker_at_fault_rests_twice_as_long_each_time_and_the_job_goes_on() {
    let mut desk = Desk::leading(&[worker(1)]);
    let (_, mut order) = the_order(&desk.submit(0, vec![], &[probe("foo", &[])]));
    let mut now = 0;
    for rest in [5, 10, 20, 40, 80, 160, 300, 300] {
        let out = desk.report(now, 1, failed(&order, FailureClass::Disk));
        let acknowledged = Output::AckReport {
            worker: node(1),
            job: order.job,
            fence: order.fence,
        };
        assert_eq!(out, [acknowledged]);
        assert!(
            desk.waiting_for(now, "foo")
                .contains(&format!("worker-1, which rests {rest} s after a fault: disk"))
        );
        assert_eq!(orders(&desk.say(now + rest - 1, Input::Wake)), []);
        now += rest;
        order = the_order(&desk.say(now, Input::Wake)).1;
    }
}

#[test]
fn one_worker_is_asked_for_four_probes_at_a_time_and_the_source_fails_by_its_own_fault() {
    use crate::wire::ProbeError;
    let mut desk = Desk::leading(&[worker(1)]);
    let names = ["a", "b", "c", "foo", "lib"];
    let out = desk.say(1, view(vec![], names.map(job).to_vec()));
    assert_eq!(out.len(), 4, "{out:?}");
    let Output::Probe { job, .. } = out[0].clone() else {
        panic!("{out:?}")
    };
    let result = Err(ProbeError::Source("PKGBUILD: line 3: syntax error".to_owned()));
    let out = desk.say(1, Input::Probed { job, result });
    let (_, class, error) = the_failure(&out);
    assert_eq!(
        (class, error.as_str()),
        (FailureClass::Source, "PKGBUILD: line 3: syntax error")
    );
    assert!(
        out.iter().any(|output| matches!(output, Output::Probe { .. })),
        "{out:?}"
    );
}

#[test]
fn inv4_a_probe_that_a_worker_cannot_run_is_asked_of_another() {
    use crate::wire::ProbeError;
    let mut desk = Desk::leading(&[worker(1), worker(2)]);
    let out = desk.say(1, view(vec![], vec![job("foo")]));
    let asked = |out: &[Output]| match out {
        [Output::Probe { worker, .. }] => worker.0[0],
        _ => panic!("{out:?}"),
    };
    let first = asked(&out);
    let broken = Err(ProbeError::Worker("no sandbox".to_owned()));
    let job = job_id("foo");
    let second = asked(&desk.say(1, Input::Probed { job, result: broken }));
    assert_ne!(first, second);
    let rest: Vec<WorkerState> = [worker(1), worker(2)]
        .into_iter()
        .filter(|worker| worker.capability.node.0[0] == first)
        .collect();
    desk.say(1, Input::Workers(rest));
    assert_eq!(asked(&desk.say(7, Input::Wake)), first);
    let known: Probe = probe("foo", &[]);
    assert_eq!(ordered(&desk.probed(7, &known)), ["foo"]);
}
