//! What is built, in which order, under which version, and what becomes of what fails.

use pacmesh_tests::{
    cluster::{BUILD, Farm, text},
    fixtures::{failing_sample, package, sample, samples},
    gate::{gated, open_gates, ticks},
    pacman::ScratchRoot,
    wait::wait_for,
};

#[test]
fn all_samples_are_built_in_the_order_of_their_dependencies() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);

    let events = nodes[1].build(&samples()).ok().json_lines();

    let time = |base: &str, field: &str| text(&nodes[0].job(base).expect("the job")[field]);
    assert!(time("libgreet", "finished_at") <= time("greet", "started_at"));
    assert!(time("greet", "finished_at") <= time("greet-party", "started_at"));
    let last = events.last().expect("a last line");
    assert_eq!((&last["event"], &last["failed"]), (&"finished".into(), &0.into()));
    for name in [
        "tools-count",
        "tools-shout",
        "epoch-clock",
        "patched-motd",
        "checked-sum",
        "greet-party",
    ] {
        assert!(nodes[2].package(name).is_some(), "{name} is not published");
    }
}

#[test]
fn a_program_links_against_a_library_that_another_node_built() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    nodes[0].cli(&["node", "drain", "desktop"]).ok();
    nodes[0].build(&[sample("libgreet")]).ok();
    nodes[0].cli(&["node", "resume", "desktop"]).ok();
    nodes[0].cli(&["node", "drain", "laptop"]).ok();

    nodes[0].build(&[sample("greet")]).ok();

    let worker = |base: &str| text(&nodes[0].job(base).expect("the job")["worker"]);
    assert_eq!(
        (worker("libgreet"), worker("greet")),
        (nodes[1].id(), nodes[0].id())
    );
}

#[test]
fn inv3_a_version_that_is_bound_gets_the_next_release() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    node.build(&[package(farm.path(), "one", "")]).ok();
    let first = node.package("one").expect("published");

    node.build(&[package(farm.path(), "one", "pkgdesc='Changed'")])
        .ok();

    let second = node.package("one").expect("published");
    assert_eq!(
        (text(&first["version"]), text(&second["version"])),
        ("1-1".to_owned(), "1-1.1".to_owned())
    );
    assert_ne!(first["blake3"], second["blake3"]);
}

#[test]
fn inv3_a_rebuild_is_a_new_release() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    node.build(&[package(farm.path(), "one", "")]).ok();

    node.cli(&["rebuild", "one"]).ok();

    assert_eq!(node.package("one").expect("published")["version"], "1-1.1");
}

#[test]
fn the_same_request_twice_is_one_job() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    let source = package(farm.path(), "one", "");

    nodes[0].build(std::slice::from_ref(&source)).ok();
    nodes[1].build(&[source]).ok();

    assert_eq!(
        nodes[0].json(&["jobs", "--all"]).as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(nodes[1].package("one").expect("published")["version"], "1-1");
}

#[test]
fn what_was_replaced_or_removed_since_is_built_anew() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let build = |lines: &str| node.build(&[package(farm.path(), "one", lines)]).ok();
    let version = || text(&node.package("one").expect("published")["version"]);
    build("");
    build("pkgdesc='Edited'");
    assert_eq!(version(), "1-1.1");

    build("");
    assert_eq!(version(), "1-1.2");
    build("");
    assert_eq!(version(), "1-1.2", "what is in force is not built again");

    node.cli(&["remove", "one"]).ok();
    build("");
    assert_eq!(version(), "1-1.3");
}

#[test]
fn a_split_base_is_published_under_all_its_names() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    node.build(&[sample("tools-split")]).ok();

    let client = ScratchRoot::of(&farm, "client", &node);
    assert_eq!(client.listed(), ["tools-count 0.3-2", "tools-shout 0.3-2"]);
    let jobs: Vec<_> = ["tools-count", "tools-shout"]
        .map(|name| node.package(name).expect("listed")["job"].clone())
        .into();
    assert_eq!(jobs[0], jobs[1]);
}

#[test]
fn a_removed_package_leaves_the_database() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    nodes[0]
        .build(&[package(farm.path(), "one", ""), package(farm.path(), "two", "")])
        .ok();
    let client = ScratchRoot::of(&farm, "client", &nodes[0]);
    assert_eq!(client.listed(), ["one 1-1", "two 1-1"]);

    nodes[1].cli(&["remove", "one"]).ok();

    let shown =
        pacmesh_tests::wait::wait_for("the database without it", pacmesh_tests::cluster::COMMAND, || {
            let shown = client.listed();
            (shown.len() == 1).then_some(shown)
        });
    assert_eq!(shown, ["two 1-1"]);
}

#[test]
fn inv4_a_failing_package_fails_alone_with_its_log_and_those_that_need_it_say_so() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let needs = package(farm.path(), "needs-it", "depends=(always-fails)");
    let other = package(farm.path(), "other", "");

    let outcome = node.build(&[failing_sample(), needs, other]);

    assert_eq!(outcome.code, Some(1), "{outcome}");
    let state = |base: &str| text(&node.job(base).expect("the job")["state"]);
    assert_eq!(
        (state("always-fails").as_str(), state("other").as_str()),
        ("failed", "published")
    );
    let log = node.cli(&["logs", "always-fails"]).ok().stdout;
    assert!(log.contains("broken.c"), "no compiler message in the log:\n{log}");
    let why = node.cli(&["why", "needs-it"]).ok().stdout;
    assert!(why.contains("always-fails"), "{why}");
    assert_ne!(state("needs-it"), "published");
}

#[test]
fn inv4_a_job_that_is_cancelled_says_so_everywhere_and_a_retry_publishes_it() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    let source = gated(farm.path(), "slow").display().to_string();
    nodes[0].cli(&["build", "--detach", &source]).ok();
    wait_for("a build that counts", BUILD, || {
        (!ticks(&nodes[1].cli(&["logs", "slow"]).stdout).is_empty()).then_some(())
    });

    let said = nodes[1].cli(&["cancel", "slow"]).ok().stdout;

    assert!(said.contains("is cancelled"), "{said}");
    // What was answered is recorded: no waiting here.
    assert_eq!(nodes[1].job("slow").expect("the job")["state"], "cancelled");
    let again = nodes[0].cli(&["cancel", "slow"]).fails(1);
    assert!(again.contains("ended already"), "{again}");

    nodes[1].cli(&["retry", "slow"]).ok();
    wait_for("the retried job to be published", BUILD, || {
        nodes.iter().for_each(open_gates);
        nodes[0].package("slow")
    });
    assert_eq!(nodes[0].job("slow").expect("the job")["state"], "published");
}
