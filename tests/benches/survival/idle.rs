//! What a node takes that has nothing to do: memory that is resident, and its share of one core.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use pacmesh_tests::cluster::{Farm, Node, wait_until_alive};

use crate::{
    options::Options,
    report::{Goal, Samples, Which, lines},
};

/// How long a sample of the processor's time takes: long against a heartbeat.
const WINDOW: Duration = Duration::from_secs(5);
/// How long the nodes are left alone before they are looked at.
const REST: Duration = Duration::from_secs(20);

pub(crate) fn measure(options: &Options) {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    wait_until_alive(&nodes);
    // Not waiting for anything: idleness is the thing that is measured.
    thread::sleep(REST);
    let (mut memory, mut share) = (Samples::default(), Samples::default());
    for _ in 0..options.trials.div_ceil(nodes.len()) {
        let (began, before) = (Instant::now(), nodes.iter().map(busy).collect::<Vec<_>>());
        thread::sleep(WINDOW);
        let passed = began.elapsed();
        for (node, before) in nodes.iter().zip(before) {
            share.add(busy(node).saturating_sub(before).as_secs_f64() / passed.as_secs_f64() * 100.0);
            memory.add(resident_mib(node));
        }
    }
    let goal = |most| {
        [Goal {
            which: Which::P99,
            most,
        }]
    };
    lines("idle node, resident memory", "MiB", &memory, &goal(40.0), None);
    lines(
        "idle node, processor",
        "% of a core",
        &share,
        &[Goal {
            which: Which::P50,
            most: 0.2,
        }],
        None,
    );
}

/// How long all threads of a node have run (proc(5), schedstat: nanoseconds first).
fn busy(node: &Node) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", pid(node))).expect("a process that runs");
    let ran = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(ran.sum())
}

fn resident_mib(node: &Node) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid(node))).expect("a process that runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("its memory");
    let kib: f64 = line
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .expect("a number");
    kib / 1024.0
}

fn pid(node: &Node) -> u32 {
    node.pid().expect("a node that was started")
}
