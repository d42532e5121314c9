//! The start of a joined node → twenty others know it alive: from the start of its process to the last line
//! in a log that says so.

use std::time::SystemTime;

use pacmesh_tests::{
    cluster::{Farm, Node, TAKE_OVER, text},
    wait::wait_for,
};

use crate::{
    logs::{milliseconds, since},
    options::Options,
    report::{Goal, Samples, Which, lines},
};

pub(crate) fn measure(options: &Options) {
    let farm = Farm::new();
    let mut others = vec![farm.founder("node-0")];
    for place in 1..options.others {
        let node = joined(&farm, &others[0], &format!("node-{place}"));
        others.push(node);
    }
    let mut node = joined(&farm, &others[0], "newcomer");
    let id = node.id();
    let short = id[..8].to_owned();
    all_say(&others, SystemTime::UNIX_EPOCH, &short, "alive");
    let mut samples = Samples::default();
    for _ in 0..options.trials {
        let stopped = SystemTime::now();
        node.stop();
        all_say(&others, stopped, &short, "left");
        let from = SystemTime::now();
        node.spawn();
        let last = all_say(&others, from, &short, "alive");
        samples.add(milliseconds(from, last));
        wait_for("the newcomer to answer", TAKE_OVER, || node.master());
    }
    let name = format!("start of a joined node to alive at {} others", options.others);
    lines(
        &name,
        "ms",
        &samples,
        &[Goal {
            which: Which::P99,
            most: 1000.0,
        }],
        None,
    );
}

fn joined(farm: &Farm, founder: &Node, name: &str) -> Node {
    let mut node = farm.node(name);
    node.start();
    let token = founder.invite(&["--as", if name == "node-1" { "peer" } else { "storage" }]);
    node.cli(&["join", &token]).ok();
    assert_eq!(text(&node.json(&["status"])["mesh"]["name"]), "test");
    node
}

/// Waits until each has said of the node that it is in `state`, and gives the time of the last first word.
fn all_say(others: &[Node], from: SystemTime, node: &str, state: &str) -> SystemTime {
    let state = format!("state=\"{state}\"");
    let words = ["member", node, state.as_str()];
    let first = |other: &Node| since(other, from, &words).first().map(|(time, _)| *time);
    let times = others.iter().map(|other| {
        wait_for(
            &format!("{} to see {node} {state}", other.name),
            TAKE_OVER,
            || first(other),
        )
    });
    times.max().expect("there are others")
}
