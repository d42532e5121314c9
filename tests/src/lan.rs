//! A mesh of machines that each have a network namespace of their own, on one bridge, and one more machine for clients.

use crate::{
    cluster::{COMMAND, Farm, Node, TAKE_OVER, wait_until_alive},
    namespace::{Namespaces, Weather},
    pacman::ScratchRoot,
    wait::wait_for,
};

/// Such a mesh. Its parts vanish in this order.
#[derive(Debug)]
pub struct Lan {
    /// The members; the place of one is the place of its machine in `network`.
    pub nodes: Vec<Node>,
    /// Their network.
    pub network: Namespaces,
    /// Their homes.
    pub farm: Farm,
}

impl Lan {
    /// A mesh that runs: the first name founds, the others join by token with the preset that stands beside them.
    pub fn of(members: &[(&str, &str)]) -> Self {
        Self::at(Farm::new(), Namespaces::on_one_bridge(members.len() + 1), members)
    }

    /// As `of`, with links that lose and delay.
    pub fn in_weather(weather: Weather, members: &[(&str, &str)]) -> Self {
        Self::at(
            Farm::new(),
            Namespaces::in_weather(members.len() + 1, weather),
            members,
        )
    }

    /// As `of`, at a place and on a network that were prepared for it.
    pub fn at(farm: Farm, network: Namespaces, members: &[(&str, &str)]) -> Self {
        let mut lan = Self {
            nodes: Vec::new(),
            network,
            farm,
        };
        for (name, preset) in members {
            let mut node = lan.machine(name, lan.nodes.len());
            node.start();
            match lan.nodes.first() {
                None => {
                    node.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
                    node.wait_until_led();
                }
                Some(founder) => {
                    let token = founder.invite(&["--as", preset]);
                    // In bad weather, or on a busy machine, a knock may not be heard at first.
                    wait_for(&format!("{name} to join"), COMMAND, || {
                        (node.cli(&["join", &token]).code == Some(0)).then_some(())
                    });
                }
            }
            lan.nodes.push(node);
        }
        wait_until_alive(&lan.nodes);
        lan
    }

    /// A node on the machine at `place` that is not started yet: it has all ports for itself, and looks around by mDNS.
    pub fn machine(&self, name: &str, place: usize) -> Node {
        self.farm.machine(name, &self.network.names()[place])
    }

    /// A client on the machine that no cut touches; it begins with the repository of the first node.
    pub fn client(&self, name: &str) -> ScratchRoot {
        let outside = self.network.names().last().expect("a machine for clients");
        ScratchRoot::on(&self.farm, name, Some(outside), &self.nodes[0])
    }

    /// The place of the node with that name.
    #[track_caller]
    pub fn place(&self, name: &str) -> usize {
        let place = self.nodes.iter().position(|node| node.name == name);
        place.unwrap_or_else(|| panic!("no node is named {name}"))
    }

    /// The place of the node that leads, as the node at `seen_from` sees it.
    #[track_caller]
    pub fn master(&self, seen_from: usize) -> usize {
        self.place(&self.nodes[seen_from].wait_until_led())
    }

    /// Has the node at `place` lead, and waits until all that run follow it.
    #[track_caller]
    pub fn hand_over_to(&self, place: usize) {
        let (master, name) = (self.master(place), &self.nodes[place].name);
        if master != place {
            self.nodes[master].cli(&["lead", name]).ok();
        }
        wait_for(&format!("{name} to lead"), TAKE_OVER, || {
            let mut running = self.nodes.iter().filter(|node| node.pid().is_some());
            running
                .all(|node| node.master().as_ref() == Some(name))
                .then_some(())
        });
    }
}

impl Farm {
    /// A node in a network namespace that is not started yet: it has all ports for itself, and looks around by mDNS.
    pub fn machine(&self, name: &str, namespace: &str) -> Node {
        let mut node = self.node(name);
        node.namespace = Some(namespace.to_owned());
        node.mdns = true;
        node.listen = "0.0.0.0:7420".to_owned();
        node.repository = "0.0.0.0:7480".to_owned();
        node
    }
}
