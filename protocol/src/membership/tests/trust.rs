//! When a node does not trust its own sight.

use super::bench::*;
use crate::{
    machine::Machine,
    membership::{Input, MemberState, Membership, Output},
};

#[test]
fn a_node_alone_is_in_doubt_until_the_ledger_says_that_it_is_alone() {
    let mut machine = Membership::new(at(0), record(OWN, 1, 0), 7);
    let mut out = vec![];
    machine.handle(at(0), Input::Tick, &mut out);
    assert!(machine.in_doubt());
    let members = [(OWN, Default::default())].into();
    let barred = Default::default();
    machine.handle(at(0), Input::Members { members, barred }, &mut out);
    assert!(!machine.in_doubt());
}

#[test]
fn a_starting_node_is_in_doubt_until_it_met_one_or_lost_all() {
    let mut met = Bench::new([B, C], true);
    assert!(met.machine.in_doubt());
    met.run_to(at(1));
    assert!(!met.machine.in_doubt());

    let mut lost = Bench::with_script(nobody_answers, [B, C], true);
    lost.run_to(at(2_400));
    assert!(lost.machine.in_doubt());
    lost.run_to(at(2_600));
    assert!(!lost.machine.in_doubt());
}

#[test]
fn a_late_tick_begins_doubt_and_every_timer_anew() {
    let mut bench = Bench::settled([B, C], true);
    bench.script = nobody_answers;
    bench.run_to(at(10_700));
    bench.stall_to(at(14_000));
    assert!(bench.machine.in_doubt());
    assert_eq!(bench.when(B, MemberState::Lost), None, "the silence was our own");
    bench.script = all_answer;
    // The factor is 2 by now, so that the ping of the awakening is missed after 600 ms.
    bench.run_to(at(14_700));
    assert!(!bench.machine.in_doubt());
    assert_eq!(bench.state(B), MemberState::Alive);
}

#[test]
fn an_acknowledgement_from_before_the_sleep_ends_no_doubt() {
    let mut bench = Bench::settled([B], true);
    bench.script = |_, output| acknowledge(output).map(|input| (ms(900), input));
    bench.run_to(at(10_500));
    bench.script = nobody_answers;
    bench.input(Input::Slept);
    bench.run_to(at(11_500));
    assert!(bench.machine.in_doubt());
}

#[test]
fn sleep_has_lost_members_asked_again_before_they_count_as_lost() {
    let mut bench = Bench::settled([B], true);
    bench.script = nobody_answers;
    bench.run_to(at(20_000));
    assert_eq!(bench.state(B), MemberState::Lost);
    assert!(!bench.machine.in_doubt());
    bench.input(Input::Slept);
    assert_eq!(bench.state(B), MemberState::Suspect);
    assert!(bench.machine.in_doubt());
    bench.run_to(at(30_000));
    assert_eq!(bench.state(B), MemberState::Lost);
    assert!(!bench.machine.in_doubt());
}

#[test]
fn questions_taken_before_the_sleep_are_dropped_not_denied() {
    let mut bench = Bench::settled([B], true);
    bench.script = nobody_answers;
    bench.input(Input::Asked {
        ask: 3,
        about: B,
        wait: ms(500),
    });
    bench.input(Input::Slept);
    assert!(
        bench
            .find(&Output::Answer {
                ask: 3,
                reached: None
            })
            .is_some()
    );
}

#[test]
fn a_machine_at_full_load_loses_nobody() {
    let mut bench = Bench::settled([B, C], true);
    bench.script = |_, output| acknowledge(output).map(|input| (ms(250), input));
    for turn in 1..20 {
        let second = 10_000 + turn * 3_000;
        bench.run_to(at(second));
        bench.stall_to(at(second + 2_500));
        bench.run_to(at(second + 3_000));
    }
    assert_eq!(bench.when(B, MemberState::Lost), None);
    assert_eq!(bench.when(C, MemberState::Lost), None);
    assert!(bench.machine.awareness.factor() > 1);
}

#[test]
fn the_factor_stretches_the_timers_and_falls_by_one_in_ten_seconds() {
    let mut bench = Bench::settled([B], true);
    bench.stall_to(at(14_000));
    assert_eq!(bench.machine.awareness.factor(), 2);
    bench.run_to(at(14_010));
    bench.script = nobody_answers;
    bench.log.clear();
    bench.run_to(at(20_000));
    let lost = bench.when(B, MemberState::Lost).unwrap().since(at(14_010));
    assert!(lost >= ms(5_000), "{lost:?}");
    bench.run_to(at(25_000));
    assert_eq!(bench.machine.awareness.factor(), 1);
}

#[test]
fn the_factor_stays_between_one_and_eight() {
    let mut bench = Bench::settled([B], true);
    for turn in 1..15 {
        bench.stall_to(at(10_000 + turn * 4_000));
    }
    assert_eq!(bench.machine.awareness.factor(), 8);
    bench.script = all_answer;
    let quiet = bench.now + ms(200_000);
    bench.run_to(quiet);
    assert_eq!(bench.machine.awareness.factor(), 1);
}

#[test]
fn a_refuted_suspicion_slows_the_accuser() {
    let mut bench = Bench::settled([B], true);
    bench.script = nobody_answers;
    bench.run_to(at(11_000));
    assert_eq!(bench.state(B), MemberState::Suspect);
    bench.script = all_answer;
    bench.run_to(at(11_700));
    assert_eq!(bench.state(B), MemberState::Alive);
    assert_eq!(bench.machine.awareness.factor(), 2);
}

#[test]
fn a_node_that_starts_long_after_its_machine_is_not_late() {
    let booted = at(1_000_000);
    let mut machine = Membership::new(booted, record(OWN, 1, 0), 7);
    let mut out = vec![];
    machine.handle(booted + ms(900), Input::Tick, &mut out);
    machine.handle(booted + ms(1_800), Input::Tick, &mut out);
    assert_eq!(machine.awareness.factor(), 1);
}
