//! What must hold after every mishap, once the mesh had time to settle.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::Value;

use crate::{
    cluster::{Node, text},
    lan::Lan,
    pacman::ScratchRoot,
    process::{marked, must},
    wait::wait_for,
};

/// How long a mesh may take to settle: a take-over, what was interrupted built anew, and a worker that rested before;
/// on a machine that is busy with other tests.
pub const SETTLE: Duration = Duration::from_secs(150);

/// How long what ended may take to be cleared away.
const LEFT: Duration = Duration::from_secs(30);

/// Packages whose publication was acknowledged: name, then what `packages --json` said of it then.
#[derive(Debug, Default)]
pub struct Promises {
    packages: BTreeMap<String, Value>,
    /// By file name: a name never means two byte strings.
    bytes: BTreeMap<String, String>,
}

impl Promises {
    /// Builds packages on `node`, which must succeed, and notes that.
    #[track_caller]
    pub fn build(&mut self, node: &Node, sources: &[std::path::PathBuf]) {
        node.build(sources).ok();
        for source in sources {
            let name = source.file_name().and_then(|name| name.to_str());
            self.note(node, name.expect("a folder named like its package"));
        }
    }

    /// Notes that `node` told of a success.
    #[track_caller]
    pub fn note(&mut self, node: &Node, name: &str) {
        let package = wait_for(
            &format!("{} to list {name}", node.name),
            Duration::from_secs(20),
            || node.package(name),
        );
        self.note_bytes(&package);
        self.packages.insert(name.to_owned(), package);
    }

    /// Notes what a file name means, and panics where it meant something else before.
    #[track_caller]
    pub fn note_bytes(&mut self, package: &Value) {
        let (file, blake3) = (text(&package["filename"]), text(&package["blake3"]));
        let before = self.bytes.entry(file).or_insert_with(|| blake3.clone());
        assert_eq!(*before, blake3, "{} means two byte strings", package["filename"]);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether nothing was promised yet.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Panics unless all of it is kept by every node, none of which is off, and nothing else is left over.
    #[track_caller]
    pub fn check(&mut self, lan: &Lan, client: &ScratchRoot) {
        let off: Vec<_> = lan.nodes.iter().filter(|node| node.pid().is_none()).collect();
        assert!(off.is_empty(), "these are off: {off:?}");
        self.check_running(lan, client);
        nothing_is_left(lan);
    }

    /// Panics unless all of it is kept by every node that runs.
    #[track_caller]
    pub fn check_running(&mut self, lan: &Lan, client: &ScratchRoot) {
        let nodes: Vec<&Node> = lan.nodes.iter().filter(|node| node.pid().is_some()).collect();
        let packages = wait_until_settled(&nodes);
        for package in &packages {
            self.note_bytes(package);
        }
        for (name, promised) in &self.packages {
            let found = packages.iter().find(|package| package["name"] == name.as_str());
            let found = found.unwrap_or_else(|| panic!("{name} was acknowledged and is lost"));
            // A heal may have built it anew, under a later release; its bytes were compared above.
            assert!(
                found["filename"] != promised["filename"] || found["blake3"] == promised["blake3"],
                "{name} was {promised} and is {found}"
            );
        }
        for node in &nodes {
            accepts_repository_of(client, node, &packages);
        }
    }
}

/// Waits until the nodes see each other alive under one master, no job is open, and all of them know and show the same
/// packages, which are returned.
#[track_caller]
pub fn wait_until_settled(nodes: &[&Node]) -> Vec<Value> {
    let mut last = String::new();
    let settled = crate::wait::within(SETTLE, || match unsettled(nodes) {
        Ok(packages) => Some(packages),
        Err(reason) => {
            last = reason;
            None
        }
    });
    settled.unwrap_or_else(|| {
        let states: Vec<_> = nodes
            .iter()
            .map(|node| {
                let shown = |words: &[&str]| node.cli(words).to_string();
                format!(
                    "{}{}{}",
                    shown(&["status"]),
                    shown(&["nodes"]),
                    shown(&["jobs", "--all"])
                )
            })
            .collect();
        panic!("not settled after {SETTLE:?}: {last}\n{}", states.join("\n"))
    })
}

/// The packages, or why the nodes are not settled yet.
fn unsettled(nodes: &[&Node]) -> Result<Vec<Value>, String> {
    let mut seen = Vec::new();
    for node in nodes {
        let status = node.cli(&["status", "--json"]);
        if status.code != Some(0) {
            return Err(status.to_string());
        }
        let status = status.json();
        let master = &status["master"]["name"];
        let open = (&status["jobs"]["queued"], &status["jobs"]["running"]);
        if master.is_null() {
            return Err(format!("{} follows no master", node.name));
        }
        if node.alive() != nodes.len() {
            return Err(format!("{} sees {} alive", node.name, node.alive()));
        }
        if open != (&0.into(), &0.into()) {
            return Err(format!("{} has {open:?} open jobs", node.name));
        }
        let packages = node.json(&["packages"]).as_array().cloned().unwrap_or_default();
        seen.push((
            master.clone(),
            status["term"].clone(),
            status["generation"].clone(),
            packages,
        ));
    }
    let first = seen.first().ok_or("no node runs")?;
    for (other, node) in seen.iter().zip(nodes) {
        if other != first {
            return Err(format!(
                "{} sees {other:?}, {} sees {first:?}",
                node.name, nodes[0].name
            ));
        }
    }
    Ok(seen.swap_remove(0).3)
}

/// Panics unless pacman finds in the node's repository just these packages, and each with its hash and signature.
#[track_caller]
fn accepts_repository_of(client: &ScratchRoot, node: &Node, packages: &[Value]) {
    client.point_to(node);
    client.empty_cache();
    let mut expected: Vec<_> = packages
        .iter()
        .map(|package| format!("{} {}", text(&package["name"]), text(&package["version"])))
        .collect();
    expected.sort();
    // The databases are shown a moment after all nodes know them.
    wait_for(
        &format!("{} to show what it knows", node.name),
        Duration::from_secs(30),
        || (client.try_listed()? == expected).then_some(()),
    );
    wait_for(
        &format!("{} to serve what it shows", node.name),
        Duration::from_secs(60),
        || client.downloads_all(&node.name).then_some(()),
    );
    for package in packages {
        let file = client.cache().join(text(&package["filename"]));
        assert_eq!(
            sha256(&file),
            text(&package["sha256"]),
            "{} serves other bytes: {package}",
            node.name
        );
    }
}

/// The SHA-256 of a file, in hex.
#[track_caller]
pub fn sha256(file: &Path) -> String {
    let said = must("sha256sum", &[file.to_str().expect("paths of tests are text")]);
    said.split(' ').next().unwrap_or_default().to_owned()
}

/// Waits until no node has a process but its daemon and no attempt is left, and panics where some stay.
#[track_caller]
fn nothing_is_left(lan: &Lan) {
    for node in &lan.nodes {
        let (home, daemon) = (node.home.display().to_string(), node.pid().map(|pid| pid as i32));
        wait_for(
            &format!("{} to have no process but its daemon", node.name),
            LEFT,
            || {
                let others = marked(&home).into_iter().filter(|pid| Some(*pid) != daemon);
                (others.count() == 0).then_some(())
            },
        );
    }
    for node in lan.nodes.iter().filter(|node| node.pid().is_some()) {
        let folder = node.home.join("cache/builds");
        wait_for(
            &format!("no attempt to be left in {}", folder.display()),
            Duration::from_secs(30),
            || {
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                (entries.count() == 0).then_some(())
            },
        );
    }
}
