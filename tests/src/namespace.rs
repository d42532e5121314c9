//! Machines on one network: network namespaces on a bridge, each with an address of its own. Needs root.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::must;

/// Tells the networks of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Network namespaces on one bridge; removed when dropped, after a panic as well.
#[derive(Debug)]
pub struct Namespaces {
    names: Vec<String>,
    switch: String,
}

impl Namespaces {
    /// `count` machines, 10.77.0.1 and on, on one bridge that nothing else is on.
    pub fn on_one_bridge(count: usize) -> Self {
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
        };
        let switch = &network.switch;
        must("ip", &["netns", "add", switch]);
        inside(switch, &["ip", "link", "add", "br0", "type", "bridge"]);
        inside(switch, &["ip", "link", "set", "br0", "up"]);
        for (name, place) in network.names.iter().zip(1..) {
            let port = format!("v{place}");
            must("ip", &["netns", "add", name]);
            must(
                "ip",
                &[
                    "link", "add", &port, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns",
                    name,
                ],
            );
            inside(switch, &["ip", "link", "set", &port, "master", "br0", "up"]);
            inside(
                name,
                &["ip", "addr", "add", &format!("10.77.0.{place}/24"), "dev", "eth0"],
            );
            inside(name, &["ip", "link", "set", "eth0", "up"]);
            inside(name, &["ip", "link", "set", "lo", "up"]);
        }
        network
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

    /// Their names, for `ip netns exec`.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in self.names.iter().chain([&self.switch]) {
            // What was never made cannot be removed.
            let _ = std::process::Command::new("ip")
                .args(["netns", "del", name])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

fn inside(namespace: &str, words: &[&str]) {
    let mut all = vec!["netns", "exec", namespace];
    all.extend(words);
    must("ip", &all);
}
