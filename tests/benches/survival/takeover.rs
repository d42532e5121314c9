//! Kill -9 of the master → the next build is accepted by its successor, as a person sees it who typed it at once. What
//! the same command takes under a living master, most of it the probe of the PKGBUILD, is measured beside it.

use std::time::Instant;

use pacmesh_tests::{
    cluster::{Farm, Node, wait_until_alive},
    fixtures::package,
};

use crate::{
    options::Options,
    report::{Goal, Samples, Which, lines},
};

pub(crate) fn measure(options: &Options) {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    let (mut samples, mut calm) = (Samples::default(), Samples::default());
    for trial in 0..options.trials {
        let master = wait_until_alive(&nodes);
        let killed = nodes
            .iter()
            .position(|node| node.name == master)
            .expect("one of ours leads");
        let witness = (killed + 1) % nodes.len();
        let bases = [format!("calm-{trial}"), format!("trial-{trial}")];
        let sources = bases
            .clone()
            .map(|base| package(farm.path(), &base, "").display().to_string());

        calm.add(submit(&nodes[witness], &sources[0]));
        drop_job(&nodes[witness], &bases[0]);
        nodes[killed].kill();
        samples.add(submit(&nodes[witness], &sources[1]));
        drop_job(&nodes[witness], &bases[1]);
        nodes[killed].start();
    }
    lines(
        "master killed to next build accepted",
        "ms",
        &samples,
        &[
            Goal {
                which: Which::P50,
                most: 1500.0,
            },
            Goal {
                which: Which::P99,
                most: 3000.0,
            },
        ],
        Some(&calm),
    );
}

/// How long a build takes to be accepted, in milliseconds.
fn submit(node: &Node, source: &str) -> f64 {
    let from = Instant::now();
    node.cli(&["build", "--detach", "--once", source]).ok();
    from.elapsed().as_secs_f64() * 1000.0
}

/// What was accepted is not to be built while something is measured.
fn drop_job(node: &Node, base: &str) {
    // It may be published already.
    let _ = node.cli(&["cancel", base]);
}
