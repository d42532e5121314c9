//! Machines on one network: network namespaces on a bridge, each with an address of its own. Needs root.
//!
//! * [`Namespaces`]: makes them and removes them again, after a panic as well
//! * `cuts`: named cuts between groups of machines, in one direction or both, and their healing
//! * `weather`: links that lose and delay; `tap`: the devices that they are made of

mod cuts;
mod tap;
mod weather;

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsFd,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
pub use weather::Weather;

use self::weather::Link;
use crate::process::must;

/// Tells the networks of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Network namespaces on one bridge; removed when dropped, after a panic as well. Machines are named by their place,
/// from 0.
#[derive(Debug)]
pub struct Namespaces {
    names: Vec<String>,
    switch: String,
    /// Cuts that are in force, and the machines that drop for them.
    cuts: Mutex<BTreeMap<String, Vec<usize>>>,
    /// What carries frames where the weather is bad; they end before their namespaces do.
    links: Vec<Link>,
}

impl Namespaces {
    /// `count` machines, 10.77.0.1 and on, on one bridge that nothing else is on.
    pub fn on_one_bridge(count: usize) -> Self {
        let network = Self::begin(count);
        for place in 0..count {
            let (name, port) = (&network.names[place], format!("v{place}"));
            let switch = &network.switch;
            must(
                "ip",
                &[
                    "link", "add", &port, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns",
                    name,
                ],
            );
            network.plug_in(place, &port);
        }
        network
    }

    /// As `on_one_bridge`, with links that lose and delay.
    pub fn in_weather(count: usize, weather: Weather) -> Self {
        let mut network = Self::begin(count);
        for place in 0..count {
            let port = format!("t{place}");
            let link = Link::open(
                (&network.names[place], "eth0"),
                (&network.switch, &port),
                weather.of_link(place),
            );
            network.links.push(link);
            network.plug_in(place, &port);
        }
        network
    }

    fn begin(count: usize) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run the tests as root"
        );
        let mark = format!(
            "pm{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let names = (1..=count).map(|place| format!("{mark}-{place}")).collect();
        // Made before the first command, so that what a failing command leaves is removed.
        let network = Self {
            names,
            switch: format!("{mark}-sw"),
            cuts: Mutex::default(),
            links: Vec::new(),
        };
        let switch = &network.switch;
        must("ip", &["netns", "add", switch]);
        inside(switch, &["ip", "link", "add", "br0", "type", "bridge"]);
        inside(switch, &["ip", "link", "set", "br0", "up"]);
        for name in &network.names {
            must("ip", &["netns", "add", name]);
        }
        network
    }

    /// Puts the port of a machine on the bridge, and gives its `eth0` the addresses that belong to its place.
    fn plug_in(&self, place: usize, port: &str) {
        let (name, address) = (&self.names[place], format!("10.77.0.{}/24", place + 1));
        inside(&self.switch, &["ip", "link", "set", port, "master", "br0", "up"]);
        inside(
            name,
            &["ip", "link", "set", "eth0", "address", &hardware_address(place)],
        );
        inside(name, &["ip", "addr", "add", &address, "dev", "eth0"]);
        inside(name, &["ip", "link", "set", "eth0", "up"]);
        inside(name, &["ip", "link", "set", "lo", "up"]);
    }

    /// Gives every machine another address: 10.78.0.1 and on.
    pub fn renumber(&self) {
        for (name, place) in self.names.iter().zip(1..) {
            inside(name, &["ip", "addr", "flush", "dev", "eth0"]);
            inside(
                name,
                &["ip", "addr", "add", &format!("10.78.0.{place}/24"), "dev", "eth0"],
            );
        }
    }

    /// A socket on the machine at `place`.
    pub fn socket(&self, place: usize, port: u16) -> UdpSocket {
        let entrance = File::open(format!("/run/netns/{}", self.names[place])).expect("a namespace");
        // A thread of its own, because it moves to that namespace; a socket stays where it was made.
        let made = std::thread::spawn(move || {
            move_into_link_name_space(entrance.as_fd(), Some(LinkNameSpaceType::Network))?;
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
        });
        made.join()
            .expect("a thread that does not panic")
            .expect("a socket in a namespace")
    }

    /// Their names, for `ip netns exec`.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.links.clear();
        for name in self.names.iter().chain([&self.switch]) {
            // What was never made cannot be removed.
            let _ = std::process::Command::new("ip")
                .args(["netns", "del", name])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

/// The hardware address of the machine at a place; cuts know machines by it, whatever their IP addresses are.
fn hardware_address(place: usize) -> String {
    format!("02:77:00:00:00:{place:02x}")
}

fn inside(namespace: &str, words: &[&str]) {
    let mut all = vec!["netns", "exec", namespace];
    all.extend(words);
    must("ip", &all);
}
