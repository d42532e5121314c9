//! Mishaps to real nodes, each with a network namespace of its own: what happens, and what must hold afterwards.
//!
//! `masters`, `workers`, `networks`, `homes` and `disks` are what the mishap befalls. Each test ends with
//! [`Promises::check`](pacmesh_tests::audit::Promises::check): one master, every acknowledged package on every node
//! with its right hash and signature, no job open, nothing left over.

mod disks;
mod homes;
mod kit;
mod masters;
mod networks;
mod workers;

use std::{path::PathBuf, time::Duration};

use pacmesh_tests::{
    cluster::{BUILD, Farm, Node, TAKE_OVER, text},
    fixtures::package,
    lan::Lan,
    wait::{wait_for, within},
};

const PEERS: [(&str, &str); 3] = [("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")];
const FIVE: [(&str, &str); 5] = [
    ("desktop", "peer"),
    ("laptop", "peer"),
    ("nas", "peer"),
    ("attic", "peer"),
    ("shed", "peer"),
];

/// A package whose build takes some seconds.
fn slow(farm: &Farm, name: &str, seconds: u32) -> PathBuf {
    package(farm.path(), name, &format!("build() {{ sleep {seconds}; }}"))
}

/// A package whose bytes are others at each build.
fn unlike(farm: &Farm, name: &str) -> PathBuf {
    let lines = format!(
        "package() {{ install -d \"$pkgdir/usr/share/{name}\"; head -c 64 /dev/urandom > \"$pkgdir/usr/share/{name}/text\"; }}"
    );
    package(farm.path(), name, &lines)
}

/// Asks for builds and does not wait for them.
#[track_caller]
fn submit(node: &Node, sources: &[PathBuf]) {
    let sources: Vec<_> = sources.iter().map(|path| path.display().to_string()).collect();
    let mut words = vec!["build", "--detach"];
    words.extend(sources.iter().map(String::as_str));
    node.cli(&words).ok();
}

/// Waits until a worker runs the job of `base`, or has run it; gives the worker's place.
#[track_caller]
fn wait_until_running(lan: &Lan, seen_from: usize, base: &str) -> usize {
    let worker = wait_for(&format!("{base} to be built"), BUILD, || {
        let job = lan.nodes[seen_from].job(base)?;
        (job["state"] != "queued").then(|| job["worker"].as_str().map(str::to_owned))?
    });
    let ids: Vec<_> = lan
        .nodes
        .iter()
        .map(|node| node.pid().map(|_| node.id()))
        .collect();
    ids.iter()
        .position(|id| id.as_ref() == Some(&worker))
        .expect("a worker of ours")
}

/// Waits until the job of `base` is published, as the node sees it.
#[track_caller]
fn wait_until_published(node: &Node, base: &str) {
    let mut last = None;
    let published = within(BUILD, || {
        last = node.job(base);
        let state = last.as_ref().map(|job| text(&job["state"]));
        (state.as_deref() == Some("published")).then_some(())
    });
    if published.is_none() {
        let why = node.cli(&["why", base]);
        let status = node.cli(&["status"]);
        panic!(
            "{base} is not published on {}: {last:?}\n{why}\n{status}",
            node.name
        );
    }
}

/// Waits until the nodes at these places follow one master that is none of `gone`; gives its place.
#[track_caller]
fn wait_for_successor(lan: &Lan, places: &[usize], gone: &[usize]) -> usize {
    let gone: Vec<_> = gone.iter().map(|place| lan.nodes[*place].name.clone()).collect();
    let name = wait_for("a successor", TAKE_OVER, || {
        let names: Vec<_> = places.iter().map(|place| lan.nodes[*place].master()).collect();
        let first = names[0].clone()?;
        (!gone.contains(&first) && names.iter().all(|name| name.as_ref() == Some(&first))).then_some(first)
    });
    lan.place(&name)
}

/// Lets some time pass before the next mishap, so that it meets another moment of what runs.
fn after(offset: Duration) {
    let _ = within(offset, || None::<()>);
}

/// The places of all nodes but one.
fn all_but(lan: &Lan, place: usize) -> Vec<usize> {
    (0..lan.nodes.len()).filter(|other| *other != place).collect()
}
