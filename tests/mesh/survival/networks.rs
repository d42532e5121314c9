//! The network comes apart, in halves, in one direction, or for one pair; it loses and delays; a lid is closed.

use std::time::{Duration, Instant};

use pacmesh_tests::{
    audit::Promises,
    cluster::{BUILD, Node, TAKE_OVER},
    fixtures::package,
    lan::Lan,
    namespace::Weather,
    wait::{wait_for, within},
};

use super::{FIVE, PEERS, all_but, slow, submit, unlike, wait_for_successor, wait_until_published};

#[test]
fn inv2_both_halves_of_a_cut_network_build_and_publish_and_merge_when_it_heals() {
    let lan = Lan::of(&FIVE);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "before", "")]);
    let (two, three) = ([0, 1], [2, 3, 4]);

    lan.network.cut("halves", &two, &three);
    wait_for_successor(&lan, &two, &three);
    wait_for_successor(&lan, &three, &two);
    promises.build(&lan.nodes[1], &[package(lan.farm.path(), "of-two", "")]);
    promises.build(&lan.nodes[4], &[package(lan.farm.path(), "of-three", "")]);
    let both = unlike(&lan.farm, "of-both");
    lan.nodes[0].build(std::slice::from_ref(&both)).ok();
    lan.nodes[2].build(&[both]).ok();
    lan.network.heal("halves");

    // One name for two archives: whoever showed the lesser shows nothing newer before it is built under the next one.
    wait_for(
        "all to know what both built, anew under the next release",
        BUILD,
        || {
            let known = |node: &Node| {
                let names = ["of-two", "of-three"];
                let anew = node.package("of-both")?["version"] == "1-1.1";
                (anew && names.iter().all(|name| node.package(name).is_some())).then_some(())
            };
            lan.nodes.iter().all(|node| known(node).is_some()).then_some(())
        },
    );
    promises.check(&lan, &client);
}

#[test]
fn inv1_a_master_that_is_not_heard_is_followed_by_one_that_is() {
    let lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "before", "")]);
    let mute = lan.master(0);
    let others = all_but(&lan, mute);

    lan.network.cut_one_way("mute", &[mute], &others);
    let successor = wait_for_successor(&lan, &others, &[mute]);
    promises.build(&lan.nodes[successor], &[package(lan.farm.path(), "during", "")]);
    lan.network.heal("mute");

    promises.check(&lan, &client);
}

#[test]
fn inv1_two_that_meet_only_through_a_third_do_not_duel() {
    let lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    lan.hand_over_to(0);
    let before = lan.nodes[2].json(&["status"])["term"].clone();

    lan.network.cut("pair", &[0], &[1]);
    for (here, there) in [(0, "laptop"), (1, "desktop")] {
        wait_for("the ends to see each other through the third", TAKE_OVER, || {
            lan.nodes[here].sees_through_others(there).then_some(())
        });
    }
    for (place, name) in [(0, "of-the-master"), (1, "of-the-far-end"), (2, "of-the-third")] {
        promises.build(&lan.nodes[place], &[package(lan.farm.path(), name, "")]);
    }
    for node in &lan.nodes {
        assert_eq!(node.master().as_deref(), Some("desktop"), "{}", node.name);
        assert_eq!(node.json(&["status"])["term"], before, "the ends duel");
    }
    lan.network.heal("pair");

    promises.check(&lan, &client);
}

#[test]
fn inv1_a_master_whose_lid_was_closed_comes_back_as_a_follower() {
    let lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let mut promises = Promises::default();
    let sleeper = lan.master(0);
    let others = all_but(&lan, sleeper);
    submit(&lan.nodes[sleeper], &[slow(&lan.farm, "begun", 5)]);

    let closed = Instant::now();
    lan.nodes[sleeper].close_lid();
    wait_for_successor(&lan, &others, &[sleeper]);
    promises.build(
        &lan.nodes[others[0]],
        &[package(lan.farm.path(), "meanwhile", "")],
    );
    wait_until_published(&lan.nodes[others[0]], "begun");
    promises.note(&lan.nodes[others[0]], "begun");
    // As long as issue and user mean: well beyond every timer of liveness.
    let _ = within(Duration::from_secs(30).saturating_sub(closed.elapsed()), || {
        None::<()>
    });
    lan.nodes[sleeper].open_lid();

    promises.check(&lan, &client);
}

#[test]
fn inv1_a_mesh_in_bad_weather_forms_builds_and_publishes() {
    let weather = Weather {
        loss: 0.2,
        delay: Duration::from_millis(100),
        seed: 20,
    };
    let lan = Lan::in_weather(weather, &PEERS);
    let mut promises = Promises::default();
    for (node, name) in [(0, "one"), (1, "two"), (2, "three")] {
        promises.build(&lan.nodes[node], &[package(lan.farm.path(), name, "")]);
    }
    wait_for("all to list what was built", BUILD, || {
        let listed = |node: &Node| node.json(&["packages"]).as_array().map_or(0, Vec::len);
        lan.nodes.iter().all(|node| listed(node) == 3).then_some(())
    });
    let client = lan.client("client");
    promises.check(&lan, &client);
}
