//! Machines on one network that know nothing of each other but the mesh: mDNS, and no address in any configuration.

use std::{path::Path, time::Instant};

use pacmesh_tests::{
    cluster::{Farm, Node, wait_until_alive},
    fixtures::sample,
    namespace::Namespaces,
    pacman::ScratchRoot,
};

#[test]
fn three_machines_on_one_bridge_find_each_other_by_mdns_and_build() {
    let farm = Farm::new();
    let network = Namespaces::on_one_bridge(3);
    let mut nodes: Vec<_> = ["desktop", "laptop", "nas"]
        .iter()
        .zip(network.names())
        .map(|(name, namespace)| farm.machine(name, namespace))
        .collect();
    nodes.iter_mut().for_each(Node::start);
    nodes[0].cli(&["init", "--name", "test", "--repo", "farm"]).ok();
    nodes[0].wait_until_led();
    for place in 1..3 {
        let token = nodes[0].invite(&[]);
        nodes[place].cli(&["join", &token]).ok();
    }
    nodes.iter_mut().for_each(Node::stop);
    // Addresses of tokens and of earlier meetings lead nowhere any more: only mDNS is left.
    network.renumber();

    let started = Instant::now();
    nodes.iter_mut().for_each(Node::spawn);
    wait_until_alive(&nodes);
    eprintln!(
        "three machines alive {:.2} s after their start",
        started.elapsed().as_secs_f64()
    );

    nodes[1].build(&[sample("libgreet"), sample("greet")]).ok();
    let client = ScratchRoot::of(&farm, "client", &nodes[2]);
    client.install("greet");
    assert_eq!(client.run("greet", &["bridge"]).trim(), "Hello, bridge!");
    assert!(Path::new("/run/netns").join(&network.names()[0]).exists());
}
