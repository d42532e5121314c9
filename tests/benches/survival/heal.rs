//! Two masters after a heal: from the moment when the network is whole to the last change of anybody's mind about who leads.

use std::time::SystemTime;

use pacmesh_tests::{
    cluster::{Farm, Node, TAKE_OVER, wait_until_alive},
    namespace::Namespaces,
    wait::wait_for,
};

use crate::{
    logs::{milliseconds, since},
    options::Options,
    report::{Goal, Samples, Which, lines},
};

pub(crate) fn measure(options: &Options) {
    let farm = Farm::new();
    let network = Namespaces::on_one_bridge(4);
    let mut nodes: Vec<Node> = Vec::new();
    for (place, namespace) in network.names().iter().enumerate() {
        let mut node = farm.node(&format!("node-{place}"));
        node.namespace = Some(namespace.clone());
        node.listen = "0.0.0.0:7420".to_owned();
        node.start();
        match nodes.first() {
            None => {
                node.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
                node.wait_until_led();
            }
            Some(founder) => {
                let token = founder.invite(&[]);
                node.cli(&["join", &token]).ok();
            }
        }
        nodes.push(node);
    }
    let mut samples = Samples::default();
    for _ in 0..options.trials {
        wait_until_alive(&nodes);
        network.cut("sides", &[0, 1], &[2, 3]);
        wait_for("a master on each side", TAKE_OVER, || {
            let sides = [one_master(&nodes[..2])?, one_master(&nodes[2..])?];
            (sides[0] != sides[1] && nodes.iter().all(|node| node.alive() == 2)).then_some(())
        });
        let from = SystemTime::now();
        network.heal("sides");
        wait_for("one master for all", TAKE_OVER, || one_master(&nodes));
        let changes = nodes
            .iter()
            .flat_map(|node| since(node, from, &["reign", "role="]));
        let last = changes
            .map(|(time, _)| time)
            .max()
            .expect("somebody stepped down");
        samples.add(milliseconds(from, last));
    }
    let goals = [Goal {
        which: Which::P99,
        most: 2000.0,
    }];
    lines("two masters after a heal to one", "ms", &samples, &goals, None);
}

/// The master that all of these follow.
fn one_master(nodes: &[Node]) -> Option<String> {
    let names: Vec<_> = nodes.iter().map(Node::master).collect();
    names[0]
        .clone()
        .filter(|_| names.iter().all(|name| *name == names[0]))
}
