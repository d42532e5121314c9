//! A worker is killed with all that it runs → its job starts on another one.

use std::time::Instant;

use pacmesh_tests::{
    cluster::{BUILD, Farm, Node, TAKE_OVER, text, wait_until_alive},
    fixtures::package,
    process::marked,
    wait::wait_for,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    options::Options,
    report::{Goal, Samples, Which, lines},
};

pub(crate) fn measure(options: &Options) {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("visitor", "guest"), ("cousin", "guest")]);
    // The only one that may lead goes on leading, and builds nothing.
    nodes[0].cli(&["node", "drain", "desktop"]).ok();
    let ids: Vec<String> = nodes.iter().map(Node::id).collect();
    let mut samples = Samples::default();
    for trial in 0..options.trials {
        let base = format!("trial-{trial}");
        let source = package(farm.path(), &base, "build() { sleep 3600; }")
            .display()
            .to_string();
        wait_until_alive(&nodes);
        nodes[0].cli(&["build", "--detach", "--once", &source]).ok();
        let first = wait_for("a worker to build", BUILD, || builder(&nodes[0], &base));
        let place = ids
            .iter()
            .position(|id| *id == first)
            .expect("one of ours builds");

        let from = Instant::now();
        nodes[place].kill();
        kill_below(&nodes[place]);
        wait_for("another worker to build", TAKE_OVER, || {
            builder(&nodes[0], &base).filter(|now| *now != first)
        });
        samples.add(from.elapsed().as_secs_f64() * 1000.0);

        nodes[0].cli(&["cancel", &base]).ok();
        nodes[place].start();
    }
    let goals = [Goal {
        which: Which::P99,
        most: 3000.0,
    }];
    lines(
        "worker killed to its job on another",
        "ms",
        &samples,
        &goals,
        None,
    );
}

/// Who builds a base.
fn builder(master: &Node, base: &str) -> Option<String> {
    let job = master.job(base)?;
    let runs = job["state"] == "running" && !job["worker"].is_null();
    runs.then(|| text(&job["worker"]))
}

/// The builds of a machine end with it.
fn kill_below(node: &Node) {
    for pid in marked(&format!("{}/", node.home.display())) {
        if let Some(pid) = Pid::from_raw(pid) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
