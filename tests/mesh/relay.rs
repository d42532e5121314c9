//! Two machines that see each other only through a third: one master for both, and each can be used as if nothing were wrong.

use pacmesh_tests::{
    cluster::{COMMAND, Farm, MEET, Node, TAKE_OVER, text},
    fixtures::sample,
    lan::Lan,
    namespace::Namespaces,
    wait::wait_for,
};
use serde_json::Value;

const NEAR: usize = 0;
const MIDDLE: usize = 1;
const FAR: usize = 2;
/// A machine without a node at first.
const NEWCOMER: usize = 3;

/// Near, middle and far; the near one founds and leads.
fn triangle() -> Lan {
    let members = [("near", "peer"), ("middle", "peer"), ("far", "peer")];
    let lan = Lan::at(Farm::new(), Namespaces::on_one_bridge(4), &members);
    assert_eq!(lan.master(FAR), NEAR, "the founder leads");
    lan
}

/// Cuts near and far, and waits until each knows of the other by the middle one's word only.
fn part(lan: &Lan) {
    lan.network.cut("sides", &[NEAR], &[FAR]);
    for (here, there) in [(NEAR, "far"), (FAR, "near")] {
        wait_for(
            &format!("{} to see {there} through the middle", lan.nodes[here].name),
            MEET,
            || lan.nodes[here].sees_through_others(there).then_some(()),
        );
    }
}

fn terms(lan: &Lan) -> Vec<Value> {
    let term = |node: &Node| node.json(&["status"])["term"].clone();
    lan.nodes.iter().map(term).collect()
}

#[test]
fn inv1_two_that_see_each_other_only_through_a_third_have_one_master_and_both_are_served() {
    let lan = triangle();
    let nodes = &lan.nodes;
    let before = terms(&lan);
    part(&lan);
    wait_for("the far one to follow the near one", TAKE_OVER, || {
        (nodes[FAR].master().as_deref() == Some("near")).then_some(())
    });

    let outcome = nodes[FAR].build(&[sample("libgreet")]).ok();
    let started = outcome
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["event"] == "started")
        .expect("somebody started it");
    assert_ne!(
        text(&started["worker"]),
        nodes[FAR].id(),
        "the master cannot give the far one work"
    );
    for node in nodes {
        wait_for(&format!("{} to list the package", node.name), MEET, || {
            node.package("libgreet")
        });
    }
    let logs = nodes[FAR].cli(&["logs", "libgreet"]).ok();
    assert!(!logs.stdout.is_empty(), "{logs}");
    nodes[FAR].cli(&["hold", "libgreet"]).ok();
    let problems = nodes[FAR].json(&["status"])["problems"].to_string();
    assert!(
        problems.contains("near answers others but not this node"),
        "{problems}"
    );

    assert_eq!(terms(&lan), before, "nobody duelled");
    let names: Vec<_> = nodes.iter().map(Node::master).collect();
    assert_eq!(names, vec![Some("near".to_owned()); 3]);
}

#[test]
fn a_knock_at_a_door_that_does_not_see_the_master_is_brought_to_it() {
    let lan = triangle();
    part(&lan);
    let token = lan.nodes[NEAR].invite(&[]);
    // Of all doors that the token names only that of the far one opens.
    lan.network.cut("door", &[NEWCOMER], &[NEAR, MIDDLE]);
    let mut newcomer = lan.machine("newcomer", NEWCOMER);
    newcomer.start();
    newcomer.cli(&["join", &token]).ok();
    for node in &lan.nodes {
        wait_for(&format!("{} to know the newcomer", node.name), COMMAND, || {
            node.state_of("newcomer")
        });
    }
}
