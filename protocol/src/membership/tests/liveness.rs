//! Who is believed alive, suspected and lost, and after how long.

use super::bench::*;
use crate::membership::{Input, MemberState, Output};

#[test]
fn a_member_is_alive_after_one_acknowledged_ping() {
    let mut bench = Bench::new([B], true);
    assert_eq!(bench.state(B), MemberState::Suspect);
    bench.run_to(at(1));
    assert_eq!(bench.when(B, MemberState::Alive), Some(at(1)));
}

#[test]
fn two_nodes_have_nobody_to_ask_and_wait_2500_ms() {
    let mut bench = Bench::settled([B], true);
    bench.script = nobody_answers;
    bench.run_to(at(20_000));
    let suspect = bench.when(B, MemberState::Suspect).unwrap().since(at(10_000));
    assert!(suspect >= ms(600) && suspect <= ms(900), "{suspect:?}");
    let lost = bench.when(B, MemberState::Lost).unwrap().since(at(10_000));
    assert!(lost >= ms(2500) && lost <= ms(2800), "{lost:?}");
}

#[test]
fn a_silence_that_two_others_confirm_is_lost_after_about_a_second() {
    let mut bench = Bench::settled([B, C, D], true);
    bench.script = |_, output| match output {
        Output::Ping { node: B, .. } => None,
        Output::AskIndirect { wait, .. } => answer(output, false).map(|input| (*wait, input)),
        _ => acknowledge(output).map(|input| (ms(1), input)),
    };
    bench.run_to(at(13_000));
    let lost = bench.when(B, MemberState::Lost).unwrap().since(at(10_000));
    assert!(lost >= ms(600) && lost <= ms(1200), "{lost:?}");
    let asked = bench
        .log
        .iter()
        .filter(|(_, output)| matches!(output, Output::AskIndirect { about: B, .. }));
    assert_eq!(asked.count(), 2);
}

#[test]
fn one_way_silence_is_confirmed_by_two_others_though_gossip_is_heard() {
    let mut bench = Bench::settled([B, C, D], true);
    bench.script = |_, output| match output {
        Output::Ping { node: B, .. } => None,
        _ => answer(output, false)
            .or_else(|| acknowledge(output))
            .map(|input| (ms(1), input)),
    };
    for sequence in 1..10 {
        bench.input(heard(record(B, 1, sequence)));
        bench.run_to(at(10_000 + sequence * 200));
    }
    assert!(bench.when(B, MemberState::Lost).is_some());
    assert_ne!(bench.state(B), MemberState::Alive);
}

#[test]
fn a_member_that_a_third_reaches_stays_alive_but_is_marked_relayed() {
    let mut bench = Bench::settled([B, C], true);
    bench.script = |_, output| match output {
        Output::Ping { node: B, .. } => None,
        _ => answer(output, true)
            .or_else(|| acknowledge(output))
            .map(|input| (ms(1), input)),
    };
    bench.run_to(at(40_000));
    assert_eq!(bench.when(B, MemberState::Lost), None);
    assert_eq!(bench.state(B), MemberState::Alive);
    assert!(bench.machine.table().members[&B].relayed);
    bench.script = all_answer;
    bench.run_to(at(45_000));
    assert!(!bench.machine.table().members[&B].relayed);
}

#[test]
fn a_third_that_is_silent_itself_confirms_nothing() {
    let mut bench = Bench::settled([B, C], true);
    bench.script = |_, output| match output {
        Output::Ping { node: B, .. } | Output::AskIndirect { .. } => None,
        _ => acknowledge(output).map(|input| (ms(1), input)),
    };
    bench.run_to(at(20_000));
    let lost = bench.when(B, MemberState::Lost).unwrap().since(at(10_000));
    assert!(lost >= ms(2500), "{lost:?}");
}

#[test]
fn a_far_member_is_given_four_round_trips() {
    let mut bench = Bench::new([B], true);
    bench.script = |_, output| acknowledge(output).map(|input| (ms(700), input));
    bench.run_to(at(5_000));
    bench.log.clear();
    bench.run_to(at(60_000));
    assert_eq!(bench.when(B, MemberState::Suspect), None);
    assert_eq!(bench.state(B), MemberState::Alive);
}

#[test]
fn confirm_lost_asks_at_once() {
    let mut bench = Bench::settled([B, C, D], true);
    bench.script = |_, output| match output {
        Output::Ping { node: B, .. } => None,
        _ => answer(output, false)
            .or_else(|| acknowledge(output))
            .map(|input| (ms(1), input)),
    };
    bench.input(Input::Confirm(B));
    bench.run_to(at(10_002));
    assert_eq!(bench.state(B), MemberState::Lost);
}

#[test]
fn confirm_lost_of_a_member_that_answers_changes_nothing_for_long() {
    let mut bench = Bench::settled([B, C, D], true);
    bench.input(Input::Confirm(B));
    bench.run_to(at(10_002));
    assert_eq!(bench.state(B), MemberState::Alive);
}

#[test]
fn a_lost_member_is_called_about_once_a_second_and_revived_by_its_answer() {
    let mut bench = Bench::settled([B], true);
    bench.script = nobody_answers;
    bench.run_to(at(20_000));
    assert_eq!(bench.state(B), MemberState::Lost);
    bench.log.clear();
    bench.run_to(at(30_000));
    assert_eq!(bench.pings(B), 10);
    bench.script = all_answer;
    bench.run_to(at(31_100));
    assert_eq!(bench.state(B), MemberState::Alive);
}

#[test]
fn master_and_member_ping_every_300_ms_and_others_once_a_second_in_all() {
    let mut bench = Bench::settled([B, C, D], false);
    bench.follow(C);
    bench.run_to(at(20_000));
    assert!((30..=34).contains(&bench.pings(C)), "{}", bench.pings(C));
    assert_eq!(bench.pings(B) + bench.pings(D), 10);
    bench.follow(OWN);
    bench.log.clear();
    bench.run_to(at(30_000));
    assert!((30..=34).contains(&bench.pings(B)), "{}", bench.pings(B));
}

#[test]
fn first_pings_to_distant_members_are_spread() {
    let mut bench = Bench::new((1..31).map(node), false);
    let pings = |bench: &Bench| {
        bench
            .log
            .iter()
            .filter(|(_, output)| matches!(output, Output::Ping { .. }))
            .count()
    };
    assert_eq!(pings(&bench), 8);
    bench.run_to(at(4_500));
    assert_eq!(bench.machine.table().alive().count(), 30);
}

#[test]
fn a_question_is_answered_by_a_round_trip_made_for_it() {
    let mut bench = Bench::settled([B, C], false);
    bench.input(Input::Asked {
        ask: 5,
        about: B,
        wait: ms(200),
    });
    bench.run_to(at(10_001));
    assert_eq!(
        bench.find(&Output::Answer {
            ask: 5,
            reached: Some(true)
        }),
        Some(at(10_001))
    );

    bench.script = nobody_answers;
    bench.input(Input::Asked {
        ask: 6,
        about: B,
        wait: ms(200),
    });
    bench.run_to(at(10_500));
    assert_eq!(
        bench.find(&Output::Answer {
            ask: 6,
            reached: Some(false)
        }),
        Some(at(10_201))
    );

    bench.input(Input::Asked {
        ask: 7,
        about: node(50),
        wait: ms(200),
    });
    assert!(
        bench
            .find(&Output::Answer {
                ask: 7,
                reached: Some(false)
            })
            .is_some()
    );
}
