//! Busy is not dead: builds that take every core cost nobody its place.

use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};

use pacmesh_tests::{
    cluster::{BUILD, COMMAND, Farm, Node},
    fixtures::package,
    wait::wait_for,
};

/// How long all cores are busy; ten minutes where the environment says so (`tests/run.sh --long`).
fn busy_for() -> Duration {
    let seconds = std::env::var("PACMESH_BUSY_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(60))
}

#[test]
fn inv1_builds_on_all_cores_cost_nobody_its_place_and_the_master_its_reign() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    let (term, busy) = (term_of(&nodes[0]), busy_for());
    let cores = available_parallelism().map_or(2, usize::from);
    let spin = format!(
        "build() {{\n  local end=$((SECONDS+{}))\n  for i in $(seq {cores}); do ( while ((SECONDS < end)); do :; done ) & done\n  \
         while ((SECONDS < end)); do sleep 5; echo busy; done\n  wait\n}}",
        busy.as_secs()
    );
    let sources: Vec<String> = (0..nodes.len() * 2)
        .map(|number| {
            package(farm.path(), &format!("spin{number}"), &spin)
                .display()
                .to_string()
        })
        .collect();
    let mut words = vec!["build", "--json"];
    words.extend(sources.iter().map(String::as_str));
    let waiting = nodes[0].start_cli(&words);
    wait_for("all nodes to build", BUILD, || {
        let all = nodes[0].json(&["nodes"]);
        all.as_array()?
            .iter()
            .all(|node| node["running"] != 0)
            .then_some(())
    });
    let before: Vec<usize> = nodes.iter().map(|node| node.log().len()).collect();
    let begun = Instant::now();

    let outcome = waiting.end(busy * 3 + BUILD);

    eprintln!("all cores were busy for {:.0} s", begun.elapsed().as_secs_f64());
    for (node, before) in nodes.iter().zip(before) {
        let log = node.log().split_off(before);
        let lost = log.lines().find(|line| line.contains("state=\"lost\""));
        assert_eq!(lost, None, "{} lost somebody", node.name);
        let suspected = log
            .lines()
            .filter(|line| line.contains("state=\"suspect\""))
            .count();
        eprintln!("{} suspected somebody {suspected} times", node.name);
        assert_eq!(term_of(node), term, "{} follows another reign", node.name);
    }
    outcome.ok();
}

#[test]
fn what_a_build_runs_stands_behind_all_else_on_its_machine() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let lines =
        "build() {\n  echo \"alone: $(nice)\"\n  echo \"group: $(cat /proc/self/autogroup 2>/dev/null)\"\n}";
    node.build(&[package(farm.path(), "modest", lines)]).ok();
    let log = node.cli(&["logs", "modest"]).ok().stdout;
    let said = |what: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(what));
        line.unwrap_or_else(|| panic!("no '{what}' in {log}")).to_owned()
    };
    assert_eq!(said("alone: "), "10");
    // Kernels without groups for sessions have no such file.
    let group = said("group: ");
    assert!(group.is_empty() || group.ends_with("nice 10"), "{group}");
}

#[track_caller]
fn term_of(node: &Node) -> u64 {
    wait_for("a term", COMMAND, || node.json(&["status"])["term"].as_u64())
}
