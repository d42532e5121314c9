//! A disk is small and full.

use pacmesh_tests::{
    audit::Promises,
    cluster::{BUILD, Farm, Node, text, wait_until_alive},
    fixtures::package,
    lan::Lan,
    mishaps::{fill, fill_as},
    namespace::Namespaces,
    wait::wait_for,
};

use super::{PEERS, wait_for_successor};

/// What a node keeps free is one GiB of a disk of this size (FORMATS, "Numbers").
const DISK_MIB: u32 = 1280;

#[test]
fn inv8_a_node_on_a_full_disk_takes_no_work_says_so_and_goes_on_when_there_is_room() {
    let (farm, network) = (Farm::new(), Namespaces::on_one_bridge(PEERS.len() + 1));
    farm.small_disk(&farm.path().join("nas"), DISK_MIB);
    let lan = Lan::at(farm, network, &PEERS);
    let client = lan.client("client");
    let full = &lan.nodes[2];
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "before", "")]);
    // Whatever the disk fails is at its worst where it leads.
    lan.hand_over_to(2);

    let reserve = fill(&full.home, 400);
    for node in &lan.nodes[..2] {
        wait_until_problems(node, |problems| problems.contains("nas has"));
    }
    wait_until_problems(full, |problems| problems.contains("disk"));
    wait_for_successor(&lan, &[0, 1, 2], &[2]);
    build_elsewhere(&lan, &mut promises, "below-the-reserve");

    // Another program takes the rest: not even the ledger can be written, unless its file has room inside.
    let rest = fill_as(&full.home, "rest", 0);
    build_elsewhere(&lan, &mut promises, "without-any-room");
    wait_until_problems(full, |problems| problems.contains("disk"));
    build_elsewhere(&lan, &mut promises, "after-that");

    std::fs::remove_file(rest).expect("the ballast");
    std::fs::remove_file(reserve).expect("the ballast");
    wait_until_problems(full, |problems| !problems.contains("disk"));
    wait_until_alive(&lan.nodes);
    for name in ["desktop", "laptop"] {
        lan.nodes[0].cli(&["node", "drain", name]).ok();
    }
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "again", "")]);
    assert_eq!(worker(&lan, "again"), full.id());
    for name in ["desktop", "laptop"] {
        lan.nodes[0].cli(&["node", "resume", name]).ok();
    }
    promises.check(&lan, &client);
}

#[track_caller]
fn wait_until_problems(node: &Node, are: impl Fn(&str) -> bool) {
    wait_for(&format!("the problems of {}", node.name), BUILD, || {
        let status = node.cli(&["status", "--json"]);
        (status.code == Some(0) && are(&status.json()["problems"].to_string())).then_some(())
    });
}

/// Builds as many packages as there are nodes, none of them on the last one.
#[track_caller]
fn build_elsewhere(lan: &Lan, promises: &mut Promises, name: &str) {
    let names: Vec<_> = (0..lan.nodes.len())
        .map(|number| format!("{name}-{number}"))
        .collect();
    let sources: Vec<_> = names
        .iter()
        .map(|name| package(lan.farm.path(), name, ""))
        .collect();
    promises.build(&lan.nodes[1], &sources);
    for name in names {
        let built_by = worker(lan, &name);
        assert!(
            lan.nodes[..2].iter().any(|node| node.id() == built_by),
            "the full node built {name}"
        );
    }
}

/// The id of the worker that built the base, as the first node knows it.
#[track_caller]
fn worker(lan: &Lan, base: &str) -> String {
    text(&lan.nodes[0].job(base).expect("the job")["worker"])
}
