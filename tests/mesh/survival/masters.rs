//! The master vanishes: idle, at work, between a result and its record, and while it writes a generation.

use std::time::Duration;

use pacmesh_tests::{
    audit::Promises,
    cluster::{BUILD, Node},
    fixtures::package,
    lan::Lan,
    wait::wait_for,
};

use super::{
    PEERS, after, all_but, slow, submit, wait_for_successor, wait_until_published, wait_until_running,
};

/// Where a node has its attempts and probes, below its home.
const BUILDS: &str = "cache/builds";

#[test]
fn inv2_a_master_killed_while_idle_takes_nothing_with_it() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "one", "")]);
    let master = lan.master(0);
    lan.nodes[master].power_off();
    let left = all_but(&lan, master);

    wait_for_successor(&lan, &left, &[master]);
    promises.build(&lan.nodes[left[0]], &[package(lan.farm.path(), "two", "")]);
    promises.check_running(&lan, &client);

    lan.nodes[master].start();
    promises.check(&lan, &client);
}

#[test]
fn inv4_a_master_killed_while_builds_run_loses_none_of_them() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let sources: Vec<_> = ["one", "two", "three"]
        .map(|name| slow(&lan.farm, name, 4))
        .into();
    let master = lan.master(0);
    let left = all_but(&lan, master);
    submit(&lan.nodes[left[0]], &sources);
    for name in ["one", "two", "three"] {
        wait_until_running(&lan, left[0], name);
    }

    lan.nodes[master].power_off();

    let mut promises = Promises::default();
    for name in ["one", "two", "three"] {
        wait_until_published(&lan.nodes[left[1]], name);
        promises.note(&lan.nodes[left[1]], name);
    }
    lan.nodes[master].start();
    promises.check(&lan, &client);
}

#[test]
fn inv4_a_master_killed_while_sources_are_prepared_strands_no_attempt() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let master = lan.master(0);
    let left = all_but(&lan, master);
    // Some of them ask for their pkgrel before there is a successor, some while it learns what goes on, some later.
    let names: Vec<_> = (1..=4).map(|seconds| format!("after-{seconds}")).collect();
    let sources: Vec<_> = names
        .iter()
        .zip(1..)
        .map(|(name, seconds)| {
            package(
                lan.farm.path(),
                name,
                &format!("prepare() {{ sleep {seconds}; }}"),
            )
        })
        .collect();
    submit(&lan.nodes[left[0]], &sources);
    wait_until_running(&lan, left[0], "after-4");

    lan.nodes[master].power_off();

    let mut promises = Promises::default();
    for name in &names {
        wait_until_published(&lan.nodes[left[1]], name);
        promises.note(&lan.nodes[left[1]], name);
    }
    lan.nodes[master].start();
    promises.check(&lan, &client);
}

#[test]
fn inv8_a_master_that_hands_over_while_it_probes_leaves_nothing_of_the_probe() {
    let lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    let master = lan.master(0);
    let heir = all_but(&lan, master)[0];
    let source = package(lan.farm.path(), "slow-to-read", "sleep 1");
    let waiting = lan.nodes[master].start_cli(&["build", &source.display().to_string()]);
    wait_for("a probe", BUILD, || {
        let probes = |node: &Node| folders(node).iter().any(|name| name.starts_with("probe"));
        lan.nodes.iter().any(probes).then_some(())
    });

    lan.hand_over_to(heir);

    waiting.end(BUILD).ok();
    promises.note(&lan.nodes[master], "slow-to-read");
    promises.check(&lan, &client);
}

#[test]
fn inv2_a_master_killed_between_a_result_and_its_record_publishes_it_once() {
    kill_masters_at(&[0, 60, 300], |lan, worker, _| {
        wait_for("a report that waits", BUILD, || {
            is_reporting(&lan.nodes[worker]).then_some(())
        });
    });
}

#[test]
fn inv3_a_master_killed_while_it_writes_a_generation_leaves_whole_ones() {
    kill_masters_at(&[0, 50, 200], |lan, _, master| {
        let log = &lan.nodes[master];
        let before = said(log, "publishing job");
        wait_for("the master to publish", BUILD, || {
            (said(log, "publishing job") > before).then_some(())
        });
    });
}

/// For each offset in milliseconds: a package is asked for, the master is killed so long after `moment` returned, and
/// comes back once its successor has published; `moment` gets the places of worker and master.
fn kill_masters_at(offsets: &[u64], moment: fn(&Lan, usize, usize)) {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    for offset in offsets {
        let name = format!("after-{offset}");
        let master = lan.master(0);
        let left = all_but(&lan, master);
        submit(&lan.nodes[left[0]], &[slow(&lan.farm, &name, 1)]);
        let worker = wait_until_running(&lan, left[0], &name);
        moment(&lan, worker, master);
        after(Duration::from_millis(*offset));
        lan.nodes[master].power_off();

        wait_for_successor(&lan, &left, &[master]);
        wait_until_published(&lan.nodes[left[0]], &name);
        promises.note(&lan.nodes[left[0]], &name);
        lan.nodes[master].start();
        pacmesh_tests::cluster::wait_until_alive(&lan.nodes);
    }
    promises.check(&lan, &client);
}

/// Whether an attempt of this worker is done and its report not yet acknowledged.
fn is_reporting(node: &Node) -> bool {
    let builds = node.home.join(BUILDS);
    folders(node)
        .iter()
        .any(|attempt| builds.join(attempt).join("report").exists())
}

/// The names of the folders of attempts and probes that a node has.
fn folders(node: &Node) -> Vec<String> {
    let entries = std::fs::read_dir(node.home.join(BUILDS)).into_iter().flatten();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// How often the node said something.
fn said(node: &Node, words: &str) -> usize {
    node.log().matches(words).count()
}

#[test]
fn inv8_all_nodes_killed_at_once_go_on_where_they_were() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "done", "")]);
    let names = ["one", "two", "three", "four"];
    let sources: Vec<_> = names.map(|name| slow(&lan.farm, name, 4)).into();
    submit(&lan.nodes[1], &sources);
    wait_until_running(&lan, 1, "one");

    lan.nodes.iter_mut().for_each(Node::power_off);
    lan.nodes.iter_mut().for_each(Node::spawn);

    for name in names {
        wait_for("nodes that answer", BUILD, || {
            (lan.nodes[2].cli(&["status"]).code == Some(0)).then_some(())
        });
        wait_until_published(&lan.nodes[2], name);
        promises.note(&lan.nodes[2], name);
    }
    promises.check(&lan, &client);
}

#[test]
fn inv1_without_its_founder_for_good_a_mesh_leads_builds_and_admits() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "one", "")]);
    // Only the founder's machine holds the authority here; what it invited before still counts.
    let token = lan.nodes[0].invite(&["--uses", "2"]);
    let authority = lan.nodes[0].home.join("secrets/authority.key");
    let moved = lan.nodes[1].home.join("secrets/authority.key");
    std::fs::copy(&authority, &moved).expect("an authority to move");
    lan.nodes[0].power_off();
    lan.nodes[0].wipe_home();

    wait_for_successor(&lan, &[1, 2], &[0]);
    promises.build(&lan.nodes[1], &[package(lan.farm.path(), "two", "")]);

    let mut heir = lan.machine("heir", 0);
    heir.start();
    heir.cli(&["join", &token]).ok();
    wait_for("the newcomer to be known", BUILD, || {
        (lan.nodes[1].state_of("heir").as_deref() == Some("alive")).then_some(())
    });
    lan.nodes[0] = heir;
    // Whoever holds the authority may invite.
    lan.nodes[1].invite(&["--as", "guest"]);
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "three", "")]);
    // The newcomer signs with a key of its own.
    client.trust_keys_of(&lan.nodes[1]);
    promises.check(&lan, &client);
}
