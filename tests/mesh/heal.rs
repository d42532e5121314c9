//! What a cut tears, and what a node that is no longer trusted made: the heal plan rebuilds it, and says so.

use std::path::PathBuf;

use pacmesh_tests::{
    cluster::{BUILD, Farm, MEET, Node, TAKE_OVER, text},
    fixtures::package,
    lan::Lan,
    pacman::{ScratchRoot, fetch},
    wait::wait_for,
};
use serde_json::Value;

/// A package that comes out different each time it is built.
fn unlike(farm: &Farm, name: &str, lines: &str) -> PathBuf {
    let lines = format!(
        "package() {{ install -d \"$pkgdir/usr/share/{name}\"; head -c 64 /dev/urandom > \"$pkgdir/usr/share/{name}/text\"; }}\n{lines}"
    );
    package(farm.path(), name, &lines)
}

/// Waits until these nodes follow a master among them.
fn wait_until_led_from_inside(side: &[&Node]) {
    wait_for("a side of the cut to lead itself", TAKE_OVER, || {
        let masters: Vec<_> = side.iter().map(|node| node.master()).collect();
        let inside = side.iter().any(|node| Some(&node.name) == masters[0].as_ref());
        (inside && masters.iter().all(|master| *master == masters[0])).then_some(())
    });
}

/// What a node's repository has under a file name.
fn served(node: &Node, file: &str) -> Option<Vec<u8>> {
    let folder = node.home.join("repo/farm").join(std::env::consts::ARCH);
    std::fs::read(folder.join(file)).ok()
}

fn version(node: &Node, name: &str) -> Option<String> {
    Some(text(&node.package(name)?["version"]))
}

fn problems(node: &Node) -> String {
    node.json(&["status"])["problems"].to_string()
}

fn jobs_of(node: &Node, base: &str) -> Vec<Value> {
    let jobs = node.json(&["jobs", "--all"]);
    let jobs = jobs.as_array().into_iter().flatten();
    jobs.filter(|job| job["base"] == base).cloned().collect()
}

#[test]
fn inv3_what_both_sides_of_a_cut_built_is_rebuilt_once_and_no_name_ever_changes_its_bytes() {
    let lan = Lan::of(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    let (farm, nodes) = (&lan.farm, &lan.nodes);
    let (torn, gone) = (unlike(farm, "torn", ""), package(farm.path(), "gone", ""));
    nodes[0].build(std::slice::from_ref(&gone)).ok();

    lan.network.cut("wall", &[0], &[1, 2]);
    wait_until_led_from_inside(&[&nodes[0]]);
    wait_until_led_from_inside(&[&nodes[1], &nodes[2]]);
    for (place, leaf) in [(0, "left"), (1, "right")] {
        let leaf = unlike(farm, leaf, "depends=(torn)");
        nodes[place].build(&[torn.clone(), leaf]).ok();
    }
    nodes[1].cli(&["remove", "gone"]).ok();
    let text = std::fs::read_to_string(gone.join("PKGBUILD")).expect("a PKGBUILD");
    std::fs::write(gone.join("PKGBUILD"), text.replace("pkgver=1", "pkgver=2")).expect("a PKGBUILD");
    nodes[0].build(&[gone]).ok();
    let clients = [0, 1].map(|place| {
        let client = ScratchRoot::of(farm, &format!("client-{place}"), &nodes[place]);
        client.install("torn");
        client
    });
    let name = "torn-1-1-any.pkg.tar.zst";
    let before = wait_for("each node to show what its side built", MEET, || {
        let served: Option<Vec<_>> = nodes.iter().map(|node| served(node, name)).collect();
        Some(served?.into_iter().map(Some).collect::<Vec<_>>())
    });
    assert!(before[0] != before[1] && before[1] == before[2]);
    lan.network.heal("wall");

    wait_for("all nodes to show torn rebuilt at the next pkgrel", BUILD, || {
        for (node, known) in nodes.iter().zip(&before) {
            assert!(served(node, name) == *known, "{name} changed on {}", node.name);
        }
        let rebuilt = |node: &Node| served(node, "torn-1-1.1-any.pkg.tar.zst").is_some();
        nodes.iter().all(rebuilt).then_some(())
    });
    for (place, client) in clients.iter().enumerate() {
        client.pacman(&["-Syyu"]).ok();
        let package = nodes[place].package("torn").expect("torn is published");
        assert!(client.has(&package), "{package}");
    }

    // Of the two that were built against torn, the one whose torn lost its name is rebuilt as well; then it rests.
    wait_for("the plan to come to rest", BUILD, || {
        let rested = |node: &Node| {
            let counts = node.json(&["status"])["jobs"].clone();
            let leaves = [version(node, "left")?, version(node, "right")?];
            let rebuilt = leaves.iter().filter(|version| *version == "1-1.1").count();
            (counts["queued"] == 0 && counts["running"] == 0 && rebuilt == 1).then_some(())
        };
        nodes.iter().all(|node| rested(node).is_some()).then_some(())
    });
    for node in nodes {
        assert_eq!(jobs_of(node, "torn").len(), 2);
        assert_eq!(jobs_of(node, "left").len() + jobs_of(node, "right").len(), 3);
        assert!(!problems(node).contains("torn"), "{}", problems(node));
    }

    // A removal that did not know of a publication is told until somebody says what was meant.
    assert_eq!(nodes[2].package("gone"), None);
    assert!(
        problems(&nodes[2]).contains("gone 2-1"),
        "{}",
        problems(&nodes[2])
    );
    nodes[2].cli(&["remove", "gone"]).ok();
    wait_for("the removal to be confirmed", MEET, || {
        (!problems(&nodes[0]).contains("gone 2-1")).then_some(())
    });
    assert!(!nodes.iter().any(|node| node.log().contains("panicked")));
}

#[test]
fn inv6_a_quarantine_withdraws_what_a_worker_built_and_others_build_it_anew() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "guest"), ("nas", "peer")]);
    let (desktop, laptop) = (&nodes[0], &nodes[1]);
    let drain = |names: &[&str], word: &str| {
        for name in names {
            desktop.cli(&["node", word, name]).ok();
        }
    };
    drain(&["laptop"], "drain");
    desktop.build(&[package(farm.path(), "kept", "")]).ok();
    drain(&["laptop"], "resume");
    drain(&["desktop", "nas"], "drain");
    desktop.build(&[package(farm.path(), "suspect", "")]).ok();
    drain(&["desktop", "nas"], "resume");
    let (of_laptop, laptop_id) = (desktop.package("suspect").expect("it is published"), laptop.id());
    assert_eq!(text(&of_laptop["worker"]), laptop_id);
    drain(&["laptop"], "drain");
    desktop
        .build(&[package(farm.path(), "leaf", "depends=(suspect)")])
        .ok();
    drain(&["laptop"], "resume");
    let client = ScratchRoot::of(&farm, "client", desktop);
    client.install("leaf");
    assert!(client.has(&of_laptop));

    // Nobody can build for a while: what is withdrawn is gone before it is built anew.
    drain(&["desktop", "nas"], "drain");
    let said = desktop
        .cli(&["node", "suspend", "laptop", "--quarantine", "1h"])
        .ok()
        .stdout;
    assert!(said.contains("1 package"), "{said}");
    wait_for("what it built to be withdrawn", BUILD, || {
        (client.listed() == ["kept 1-1", "leaf 1-1"]).then_some(())
    });
    assert!(
        problems(desktop).contains("suspect 1-1 is withdrawn"),
        "{}",
        problems(desktop)
    );
    drain(&["desktop", "nas"], "resume");

    let others = [&nodes[0], &nodes[2]];
    wait_for("what it built to be built anew elsewhere", BUILD, || {
        let anew = |node: &&Node| {
            let package = node.package("suspect")?;
            let shown = served(node, "suspect-1-1.1-any.pkg.tar.zst").is_some();
            (package["version"] == "1-1.1" && text(&package["worker"]) != laptop_id && shown).then_some(())
        };
        let leaf = |node: &&Node| (version(node, "leaf")? == "1-1.1").then_some(());
        others
            .iter()
            .all(|node| anew(node).is_some() && leaf(node).is_some())
            .then_some(())
    });
    wait_for("nothing to be told any more", BUILD, || {
        let quiet = |node: &&Node| !problems(node).contains("withdrawn");
        others.iter().all(quiet).then_some(())
    });
    assert_eq!(version(desktop, "kept").as_deref(), Some("1-1"));
    assert_eq!(jobs_of(desktop, "kept").len(), 1);
    assert_eq!(jobs_of(desktop, "suspect").len(), 2);
    client.pacman(&["-Syyu"]).ok();
    assert!(client.has(&desktop.package("suspect").expect("it is published")));
    // Its name stays taken, and nobody gets its bytes any more.
    let path = format!("farm/{}/suspect-1-1-any.pkg.tar.zst", std::env::consts::ARCH);
    wait_for("the withdrawn archive not to be served", MEET, || {
        let fetched = fetch(desktop, &path, &farm.path().join("fetched"));
        fetched.is_none().then_some(())
    });
    let again = desktop.cli(&["node", "suspend", "laptop", "--quarantine", "30m"]);
    assert!(
        again.code == Some(1) && again.stderr.contains("earlier time"),
        "{again}"
    );
}
