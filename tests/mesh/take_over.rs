//! The master goes, the farm goes on.

use pacmesh_tests::{
    cluster::{Farm, TAKE_OVER},
    fixtures::{package, sample},
    pacman::ScratchRoot,
    wait::wait_for,
};

#[test]
fn inv1_when_the_master_is_killed_another_leads_and_publishes() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    nodes[0].build(&[sample("libgreet")]).ok();
    let killed = nodes[0].master().expect("somebody leads");
    let place = nodes
        .iter()
        .position(|node| node.name == killed)
        .expect("one of ours leads");
    nodes[place].kill();
    let left: Vec<_> = nodes.iter().filter(|node| node.name != killed).collect();

    wait_for("another node to lead", TAKE_OVER, || {
        let names: Vec<_> = left.iter().map(|node| node.master()).collect();
        (names[0].is_some() && names[0].as_ref() != Some(&killed) && names[0] == names[1]).then_some(())
    });
    left[1].build(&[sample("greet")]).ok();

    let client = ScratchRoot::of(&farm, "client", left[0]);
    client.install("greet");
    assert_eq!(client.run("greet", &["heir"]).trim(), "Hello, heir!");
}

#[test]
fn inv8_a_killed_node_comes_back_with_all_that_it_published() {
    let farm = Farm::new();
    let mut node = farm.founder("desktop");
    node.build(&[package(farm.path(), "one", "")]).ok();
    let before = node.package("one");
    node.kill();

    node.start();
    node.wait_until_led();

    assert_eq!(node.package("one"), before);
    node.build(&[package(farm.path(), "two", "")]).ok();
    let client = ScratchRoot::of(&farm, "client", &node);
    assert_eq!(client.listed(), ["one 1-1", "two 1-1"]);
}
