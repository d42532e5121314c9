//! Which record of a member counts.

use super::bench::*;
use crate::membership::{Input, Judgement, MemberState, Output, Version};

const fn version(incarnation: u64, sequence: u64) -> Version {
    Version {
        incarnation,
        sequence,
    }
}

fn goodbye(sequence: u64) -> Input {
    let mut last = record(B, 1, sequence);
    last.goodbye = true;
    heard(last)
}

#[test]
fn a_goodbye_removes_at_once() {
    let mut bench = Bench::settled([B], true);
    bench.input(goodbye(1));
    assert_eq!(bench.when(B, MemberState::Left), Some(at(10_000)));
}

#[test]
fn a_member_that_left_is_not_pinged_and_not_revived_by_what_was_under_way() {
    let mut bench = Bench::settled([B], true);
    bench.run_to(at(10_400));
    bench.script = |_, output| acknowledge(output).map(|input| (ms(250), input));
    bench.run_to(at(11_000));
    bench.input(goodbye(1));
    bench.log.clear();
    bench.input(Input::Met {
        node: B,
        dialled: false,
    });
    bench.run_to(at(20_000));
    assert_eq!(bench.pings(B), 0);
    assert_eq!(bench.state(B), MemberState::Left);
}

#[test]
fn a_newer_record_has_one_that_left_pinged_and_its_answer_revives_it() {
    let mut bench = Bench::settled([B], true);
    bench.input(goodbye(1));
    bench.input(heard(record(B, 1, 0)));
    assert_eq!(bench.state(B), MemberState::Left, "an older record");
    bench.input(heard(record(B, 2, 0)));
    assert_eq!(bench.state(B), MemberState::Suspect);
    bench.run_to(at(10_001));
    assert_eq!(bench.state(B), MemberState::Alive);
}

#[test]
fn a_newer_record_alone_revives_nobody() {
    let mut bench = Bench::settled([B], true);
    bench.script = nobody_answers;
    bench.run_to(at(20_050));
    bench.log.clear();
    bench.input(heard(record(B, 2, 1)));
    assert_eq!(bench.pings(B), 1, "pinged at once");
    bench.run_to(at(20_500));
    assert_eq!(bench.state(B), MemberState::Lost);
}

#[test]
fn changes_within_200_ms_are_announced_together() {
    let mut bench = Bench::settled([], true);
    bench.run_to(at(12_000));
    bench.log.clear();
    for running in 1..=4 {
        let mut own = bench.machine.own().clone();
        own.running = running;
        bench.input(Input::Own(Box::new(own)));
        bench.run_to(at(12_000 + u64::from(running) * 40));
    }
    bench.run_to(at(13_000));
    let published = bench.published();
    assert_eq!(published.len(), 1);
    assert_eq!((published[0].0, published[0].1.running), (at(12_200), 4));
}

#[test]
fn an_unchanged_record_is_announced_every_five_seconds_under_a_new_sequence() {
    let mut bench = Bench::new([], true);
    bench.run_to(at(20_001));
    let published = bench.published();
    assert_eq!(
        published.iter().map(|(moment, _)| *moment).collect::<Vec<_>>(),
        [0, 5, 10, 15, 20].map(|s| at(s * 1000))
    );
    assert!(
        published
            .windows(2)
            .all(|pair| pair[0].1.version() < pair[1].1.version())
    );
}

#[test]
fn inv5_steady_changes_are_announced_at_most_five_times_a_second() {
    let mut bench = Bench::settled([], true);
    for step in 0..1000 {
        let mut own = bench.machine.own().clone();
        own.load = step;
        bench.input(Input::Own(Box::new(own)));
        bench.run_to(at(10_000 + u64::from(step) * 10));
    }
    let published = bench.published();
    assert!(
        published.len() > 40 && published.len() <= 51,
        "{}",
        published.len()
    );
}

#[test]
fn a_node_does_not_choose_whose_record_it_changes() {
    let mut bench = Bench::settled([], true);
    let before = bench.machine.own().version();
    let mut other = record(B, 9, 9);
    other.goodbye = true;
    bench.input(Input::Own(Box::new(other)));
    let own = bench.machine.own();
    assert_eq!((own.node, own.version(), own.goodbye), (OWN, before, false));
}

#[test]
fn the_own_goodbye_is_announced_at_once() {
    let mut bench = Bench::settled([B], true);
    bench.input(Input::Goodbye);
    let published = bench.published();
    assert!(published.last().is_some_and(|(_, record)| record.goodbye));
}

#[test]
fn inv5_gossip_is_judged_by_author_age_and_rate() {
    let mut bench = Bench::settled([B], true);
    let now = bench.now;
    let machine = &mut bench.machine;
    assert_eq!(
        machine.judge(now, node(99), version(1, 1)),
        Judgement::Reject,
        "barred"
    );
    assert_eq!(
        machine.judge(now, node(50), version(1, 1)),
        Judgement::Ignore,
        "stranger"
    );
    machine.judge(now, B, version(1, 1));
    let mut out = vec![];
    crate::machine::Machine::handle(machine, now, heard(record(B, 1, 7)), &mut out);
    assert_eq!(
        machine.judge(now, B, version(1, 7)),
        Judgement::Ignore,
        "nothing new"
    );
    for sequence in 8..12 {
        assert_eq!(machine.judge(now, B, version(1, sequence)), Judgement::Accept);
    }
    assert_eq!(
        machine.judge(now, B, version(1, 12)),
        Judgement::Ignore,
        "the sixth in a second"
    );
    assert_eq!(
        machine.judge(now + ms(1000), B, version(1, 12)),
        Judgement::Accept
    );
}

#[test]
fn a_second_holder_of_the_key_that_goes_on_speaking_stops_the_lower_one() {
    let mut bench = Bench::settled([B], true);
    bench.input(heard(record(OWN, 1, 1)));
    assert!(!bench.machine.in_doubt(), "an old one of its own");
    bench.input(heard(record(OWN, 5, 3)));
    assert!(bench.machine.in_doubt());
    bench.run_to(bench.now + ms(3000));
    bench.input(heard(record(OWN, 5, 3)));
    assert_eq!(
        bench.find(&Output::Usurped { incarnation: 5 }),
        None,
        "heard again, not said again"
    );
    assert!(
        bench.find(&Output::SendTable { to: B }).is_some(),
        "others are asked"
    );
    bench.input(heard(record(OWN, 5, 4)));
    assert!(bench.find(&Output::Usurped { incarnation: 5 }).is_some());
}

#[test]
fn a_greater_life_that_says_nothing_more_is_over_and_is_left_behind() {
    let mut bench = Bench::settled([B], true);
    bench.input(heard(record(OWN, 5, 3)));
    bench.run_to(bench.now + ms(11_900));
    assert_eq!(bench.find(&Output::Outlived { incarnation: 5 }), None);
    bench.run_to(bench.now + ms(200));
    assert!(bench.find(&Output::Outlived { incarnation: 5 }).is_some());
    assert!(!bench.machine.in_doubt());
    bench.log.clear();
    let mut goodbye = record(OWN, 6, 1);
    goodbye.goodbye = true;
    bench.input(heard(goodbye));
    assert!(
        bench.find(&Output::Outlived { incarnation: 6 }).is_some(),
        "it said so itself"
    );
}

#[test]
fn of_two_that_began_in_the_same_second_neither_stops_before_one_is_greater() {
    let mut bench = Bench::settled([B], true);
    bench.input(heard(record(OWN, 1, 500)));
    bench.input(heard(record(OWN, 1, 501)));
    let outlived = bench.log.iter().any(
        |(_, output)| matches!(output, Output::Outlived { incarnation } if (1..9).contains(incarnation)),
    );
    assert!(outlived && bench.find(&Output::Usurped { incarnation: 1 }).is_none());
}

#[test]
fn tables_are_exchanged_by_the_dialling_side_and_after_an_admission() {
    let mut bench = Bench::settled([B], true);
    bench.input(Input::Met {
        node: B,
        dialled: false,
    });
    assert_eq!(bench.find(&Output::SendTable { to: B }), None);
    bench.input(Input::Met {
        node: B,
        dialled: true,
    });
    assert!(bench.find(&Output::SendTable { to: B }).is_some());
    bench.log.clear();
    bench.members([B, C], true);
    assert!(
        bench.find(&Output::SendTable { to: B }).is_some(),
        "somebody knows the new one"
    );
}

#[test]
fn a_meeting_with_a_new_one_has_the_own_record_announced_and_one_with_an_old_one_not() {
    let mut bench = Bench::settled([B], true);
    bench.run_to(at(12_000));
    bench.log.clear();
    bench.input(Input::Met {
        node: B,
        dialled: false,
    });
    bench.run_to(at(12_500));
    assert_eq!(bench.published(), []);
    bench.members([B, C], true);
    bench.input(Input::Met {
        node: C,
        dialled: false,
    });
    bench.run_to(at(12_900));
    assert_eq!(bench.published().len(), 1);
}
