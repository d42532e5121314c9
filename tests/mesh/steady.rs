//! What runs goes on, whoever leads and whichever daemon is restarted; a planned stop is none of anybody's business.

use std::time::Duration;

use pacmesh_tests::{
    background::Background,
    cluster::{BUILD, COMMAND, Farm, Node, TAKE_OVER, text, wait_until_alive},
    fixtures::package,
    gate::{attempts, gated, open_gates, runner_starts, ticks},
    wait::wait_for,
};

/// The places of the node that builds, of the one that leads, and of the third.
struct Cast {
    builder: usize,
    master: usize,
    third: usize,
}

/// A mesh of three in which `base` is being built, by a node that does not lead.
fn building(farm: &Farm, base: &str) -> (Vec<Node>, Cast) {
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    let source = gated(farm.path(), base).display().to_string();
    nodes[0].cli(&["build", "--detach", &source]).ok();
    let builder = wait_until_building(&nodes, base);
    let place = |name: &str| {
        nodes
            .iter()
            .position(|node| node.name == name)
            .expect("one of ours")
    };
    let mut master = place(&nodes[0].master().expect("somebody leads"));
    if master == builder {
        master = (builder + 1) % nodes.len();
        // Typed where it is neither the old nor the new master's business.
        let third = 3 - builder - master;
        nodes[third].cli(&["lead", &nodes[master].name]).ok();
    }
    let third = 3 - builder - master;
    let cast = Cast {
        builder,
        master,
        third,
    };
    (nodes, cast)
}

/// Waits until the build of `base` counts; gives who builds.
#[track_caller]
fn wait_until_building(nodes: &[Node], base: &str) -> usize {
    wait_for("a build that counts", BUILD, || {
        let log = nodes[0].cli(&["logs", base]);
        if ticks(&log.stdout).is_empty() {
            return None;
        }
        nodes.iter().position(|node| !attempts(node).is_empty())
    })
}

#[track_caller]
fn wait_for_ticks(log: &Background, above: usize) {
    wait_for("a log that goes on", TAKE_OVER, || {
        (ticks(&log.stdout()).len() > above).then_some(())
    });
}

/// Waits until all of `nodes` follow the same master, which is none of `not`.
#[track_caller]
fn wait_until_led_by_another(nodes: &[&Node], not: &str) -> String {
    wait_for("another master", TAKE_OVER, || {
        let names: Vec<_> = nodes.iter().map(|node| node.master()).collect();
        let first = names[0].clone()?;
        (first != not && names.iter().all(|name| name.as_ref() == Some(&first))).then_some(first)
    })
}

/// What the events of `build --json` were called.
fn events(outcome: &pacmesh_tests::process::Outcome) -> Vec<String> {
    outcome
        .json_lines()
        .iter()
        .map(|event| text(&event["event"]))
        .collect()
}

/// A log without gaps and repetitions.
#[track_caller]
fn assert_whole(log: &str) {
    let ticks = ticks(log);
    let expected: Vec<u32> = (1..=ticks.len() as u32).collect();
    assert_eq!(ticks, expected, "the log has gaps or repeats itself");
}

#[test]
fn inv4_a_running_build_is_adopted_when_the_master_is_killed_and_when_its_worker_is_restarted() {
    let farm = Farm::new();
    let (mut nodes, cast) = building(&farm, "slow");
    let source = farm.path().join("sources/slow").display().to_string();
    let waiting = nodes[cast.third].start_cli(&["build", "--json", &source]);
    let log = nodes[cast.third].start_cli(&["logs", "-f", "slow"]);
    wait_for_ticks(&log, 3);

    let killed = nodes[cast.master].name.clone();
    nodes[cast.master].kill();
    wait_until_led_by_another(&[&nodes[cast.builder], &nodes[cast.third]], &killed);
    wait_for_ticks(&log, ticks(&log.stdout()).len() + 5);

    nodes[cast.builder].stop();
    nodes[cast.builder].start();
    wait_for_ticks(&log, ticks(&log.stdout()).len() + 5);
    open_gates(&nodes[cast.builder]);

    let outcome = waiting.end(BUILD).ok();
    assert_eq!(
        events(&outcome),
        ["queued", "started", "published", "finished"],
        "{outcome}"
    );
    assert_whole(&log.end(COMMAND).ok().stdout);
    let starts = ["prepare", "build"].map(|stage| runner_starts(&nodes, stage));
    assert_eq!(starts, [1, 1], "a build was started anew");
    let job = nodes[cast.third].job("slow").expect("the job");
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&"published".into(), &1.into())
    );
}

#[test]
fn a_client_goes_on_when_the_very_node_that_it_asked_is_restarted() {
    let farm = Farm::new();
    let (mut nodes, cast) = building(&farm, "slow");
    let source = farm.path().join("sources/slow").display().to_string();
    let mut waiting = nodes[cast.third].start_cli(&["build", "--json", &source]);
    let log = nodes[cast.third].start_cli(&["logs", "-f", "slow"]);
    wait_for_ticks(&log, 3);

    for kill in [false, true] {
        if kill {
            nodes[cast.third].kill();
        } else {
            nodes[cast.third].stop();
        }
        nodes[cast.third].start();
        wait_for_ticks(&log, ticks(&log.stdout()).len() + 5);
        assert!(waiting.is_running());
    }
    open_gates(&nodes[cast.builder]);

    let outcome = waiting.end(BUILD).ok();
    assert_eq!(
        events(&outcome),
        ["queued", "started", "published", "finished"],
        "{outcome}"
    );
    assert!(outcome.stderr.contains("waiting up to"), "{outcome}");
    assert_whole(&log.end(COMMAND).ok().stdout);
}

#[test]
fn a_planned_stop_of_the_master_is_announced_and_its_build_waits_for_it() {
    let farm = Farm::new();
    let (mut nodes, cast) = building(&farm, "slow");
    // The builder leads as well: everything at once stops with it.
    let leader = nodes[cast.builder].name.clone();
    nodes[cast.third].cli(&["lead", &leader]).ok();
    let term = term_of(&nodes[cast.third]);
    let before: Vec<usize> = nodes.iter().map(|node| node.log().len()).collect();

    nodes[cast.builder].stop();
    for place in [cast.master, cast.third] {
        wait_for("the goodbye to be heard", COMMAND, || {
            (nodes[place].state_of(&leader)? == "left").then_some(())
        });
        let log = nodes[place].log().split_off(before[place]);
        let bad = log
            .lines()
            .find(|line| line.contains("state=\"suspect\"") || line.contains("state=\"lost\""));
        assert_eq!(bad, None, "somebody was suspected");
    }
    let heir = wait_until_led_by_another(&[&nodes[cast.master], &nodes[cast.third]], &leader);
    assert_eq!(
        term_of(&nodes[cast.third]),
        term + 1,
        "{heir} leads by one hand-over"
    );
    wait_for("the reason to be told", COMMAND, || {
        let why = nodes[cast.third].cli(&["why", "slow"]).ok().stdout;
        why.contains("stopped by plan").then_some(())
    });

    nodes[cast.builder].start();
    wait_until_alive(&nodes);
    wait_for("the build to be adopted", TAKE_OVER, || {
        (nodes[cast.third].job("slow")?["state"] == "running").then_some(())
    });
    open_gates(&nodes[cast.builder]);
    wait_until_published(&nodes[cast.third], "slow");
    assert_eq!(runner_starts(&nodes, "build"), 1);
}

#[test]
fn inv4_a_node_that_leaves_hands_back_what_it_builds() {
    let farm = Farm::new();
    let (nodes, cast) = building(&farm, "slow");
    let (builder, third) = (&nodes[cast.builder], &nodes[cast.third]);
    let before = third.log().len();

    let said = builder.start_cli(&["leave"]).end(COMMAND * 2).ok();

    assert!(said.stdout.contains("handed back"), "{said}");
    let log = third.log().split_off(before);
    let bad = log
        .lines()
        .find(|line| line.contains("state=\"suspect\"") || line.contains("state=\"lost\""));
    assert_eq!(bad, None, "somebody was suspected");
    wait_for("another node to build it", BUILD, || {
        let others = [&nodes[cast.master], third];
        others.iter().any(|node| !attempts(node).is_empty()).then_some(())
    });
    wait_for("the package", BUILD, || {
        open_gates(third);
        open_gates(&nodes[cast.master]);
        third.package("slow").map(drop)
    });
    assert_eq!(third.job("slow").expect("the job")["attempts"], 2);
    assert_eq!(third.json(&["status"])["jobs"]["failed"], 0);
}

#[test]
fn inv4_a_worker_without_a_master_keeps_its_result_and_delivers_it_later() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("builder", "guest")]);
    nodes[0].cli(&["node", "drain", "desktop"]).ok();
    let source = gated(farm.path(), "slow").display().to_string();
    nodes[0].cli(&["build", "--detach", &source]).ok();
    assert_eq!(wait_until_building(&nodes, "slow"), 1);
    // Both are restarted at once, so that one must be where the other looks for it.
    nodes[0].listen = nodes[0].discovery_address();
    nodes[0].kill();

    open_gates(&nodes[1]);
    let report = wait_for("a report that is kept", BUILD, || {
        let kept = attempts(&nodes[1])
            .into_iter()
            .map(|folder| folder.join("report"));
        kept.into_iter().find(|path| path.exists())
    });
    // Its daemon may be restarted meanwhile: what is on disk is what is delivered.
    nodes[1].kill();
    nodes[1].start();
    assert!(report.exists());

    nodes[0].start();
    wait_until_published(&nodes[0], "slow");
    assert_eq!(runner_starts(&nodes, "build"), 1);
    wait_for("the report to be forgotten", COMMAND, || {
        (!report.exists()).then_some(())
    });
}

#[test]
fn a_request_that_was_under_way_when_the_master_died_is_done_once() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    nodes[0].build(&[package(farm.path(), "one", "")]).ok();
    let master = nodes[0].master().expect("somebody leads");
    let place = nodes
        .iter()
        .position(|node| node.name == master)
        .expect("one of ours");
    let asked = (place + 1) % 3;
    // A rebuild is a new job each time that it is done.
    let waiting = nodes[asked].start_cli(&["rebuild", "--json", "one"]);

    nodes[place].kill();

    let outcome = waiting.end(BUILD).ok();
    assert_eq!(
        events(&outcome).last().map(String::as_str),
        Some("finished"),
        "{outcome}"
    );
    assert_eq!(outcome.json_lines().last().expect("a line")["published"], 1);
    nodes[place].start();
    wait_until_alive(&nodes);
    assert_eq!(
        nodes[asked].json(&["jobs", "--all"]).as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(
        nodes[asked].package("one").expect("published")["version"],
        "1-1.1"
    );
}

#[track_caller]
fn wait_until_published(node: &Node, base: &str) {
    wait_for("the job to be published", BUILD + Duration::from_secs(60), || {
        (node.job(base)?["state"] == "published").then_some(())
    });
}

fn term_of(node: &Node) -> u64 {
    node.json(&["status"])["term"].as_u64().expect("a term")
}
