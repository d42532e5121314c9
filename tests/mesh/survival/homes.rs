//! A home is wiped, or comes back from a backup.

use pacmesh_tests::{audit::Promises, cluster::wait_until_alive, fixtures::package, lan::Lan};

use super::{PEERS, all_but, wait_for_successor};

#[test]
fn inv2_a_node_whose_home_was_wiped_joins_anew_and_nothing_is_lost() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "one", "")]);
    let token = lan.nodes[0].invite(&[]);
    lan.nodes[2].power_off();
    lan.nodes[2].wipe_home();

    let mut anew = lan.machine("nas", 2);
    anew.start();
    anew.cli(&["join", &token]).ok();
    lan.nodes[2] = anew;

    promises.build(&lan.nodes[2], &[package(lan.farm.path(), "two", "")]);
    // The newcomer signs with a key of its own.
    client.trust_keys_of(&lan.nodes[0]);
    promises.check(&lan, &client);
}

#[test]
fn inv2_a_node_with_an_older_copy_of_its_home_repeats_no_sequence_and_catches_up() {
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "before", "")]);
    let master = lan.master(0);
    let copy = lan.farm.path().join("backup");
    lan.nodes[master].close_lid();
    lan.nodes[master].copy_home(&copy);
    lan.nodes[master].open_lid();
    wait_until_alive(&lan.nodes);
    // The master writes what its copy does not know.
    let writer = lan.master(0);
    let reader = all_but(&lan, writer)[0];
    promises.build(&lan.nodes[reader], &[package(lan.farm.path(), "after", "")]);
    lan.nodes[master].power_off();
    lan.nodes[master].put_home_back(&copy);

    wait_for_successor(&lan, &all_but(&lan, master), &[master]);
    lan.nodes[master].start();
    wait_until_alive(&lan.nodes);
    lan.hand_over_to(master);
    promises.build(&lan.nodes[reader], &[package(lan.farm.path(), "later", "")]);

    promises.check(&lan, &client);
    for node in &lan.nodes {
        let status = node.json(&["status"]);
        let problems = status["problems"].to_string();
        assert!(!problems.contains("fork"), "{}: {problems}", node.name);
    }
}
