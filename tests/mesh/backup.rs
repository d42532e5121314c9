//! A node in a file: what comes back from a backup, what does not open, and two machines with one key.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use pacmesh_tests::{
    cluster::{COMMAND, Farm, MEET, Node, TAKE_OVER, text, wait_until_alive},
    fixtures::package,
    pacman::ScratchRoot,
    process::must,
    wait::{wait_for, within},
};

const PHRASE: &str = "correct horse battery\n";

fn back_up(farm: &Farm, node: &Node) -> PathBuf {
    let file = farm.path().join(format!("{}.backup", node.name));
    node.cli_with_input(&["backup", &shown(&file)], PHRASE).ok();
    file
}

fn restore(node: &Node, file: &Path) {
    node.cli_with_input(&["restore", &shown(file)], PHRASE).ok();
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn reminded(node: &Node) -> bool {
    let problems = node.json(&["status"])["problems"].to_string();
    problems.contains("pacmesh backup")
}

#[test]
fn a_founder_whose_home_was_wiped_comes_back_and_leads_builds_signs_and_invites() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    nodes[0].build(&[package(farm.path(), "one", "")]).ok();
    assert!(
        reminded(&nodes[0]) && !reminded(&nodes[1]),
        "only the authority's holder is reminded"
    );
    let file = back_up(&farm, &nodes[0]);
    assert!(!reminded(&nodes[0]));
    assert_eq!(
        fs::metadata(&file).expect("the backup").permissions().mode() & 0o777,
        0o600
    );
    let (id, keys) = (nodes[0].id(), nodes[0].json(&["keys", "list"]));
    nodes[0].kill();
    fs::remove_dir_all(&nodes[0].home).expect("a home to wipe");

    nodes[0].start();
    restore(&nodes[0], &file);
    wait_until_alive(&nodes);

    assert_eq!(nodes[0].id(), id);
    assert_eq!(text(&nodes[0].json(&["status"])["node"]["name"]), "desktop");
    assert_eq!(nodes[0].json(&["keys", "list"]), keys);
    let client = ScratchRoot::of(&farm, "client", &nodes[0]);
    wait_for("the restored node to serve what it had built", COMMAND, || {
        // It shows nothing until it has compared ledgers.
        (client.pacman(&["-Syy"]).code == Some(0) && client.listed() == ["one 1-1"]).then_some(())
    });
    client.install("one");
    // The other one goes, so that the restored one must lead, build and sign by itself.
    nodes[1].stop();
    wait_for("the restored node to lead", TAKE_OVER, || {
        (nodes[0].master().as_deref() == Some("desktop")).then_some(())
    });
    nodes[0].build(&[package(farm.path(), "two", "")]).ok();
    assert_eq!(client.listed(), ["one 1-1", "two 1-1"]);
    client.install("two");
    let mut third = farm.node("nas");
    third.start();
    let token = nodes[0].invite(&[]);
    third.cli(&["join", &token]).ok();
}

#[test]
fn inv3_a_lone_founder_that_comes_back_without_a_daemon_knows_which_names_are_bound() {
    let farm = Farm::new();
    let mut old = farm.founder("desktop");
    old.build(&[package(farm.path(), "one", "")]).ok();
    let term = old.json(&["status"])["term"].as_u64();
    old.stop();
    let file = back_up(&farm, &old);
    let mut new = farm.node("elsewhere");

    restore(&new, &file);
    new.start();
    new.wait_until_led();

    assert_eq!(text(&new.json(&["status"])["node"]["name"]), "desktop");
    assert!(!reminded(&new), "there is a backup");
    // No term that the old one may have granted since is granted again.
    assert!(new.json(&["status"])["term"].as_u64() > term);
    new.build(&[package(farm.path(), "one", "pkgdesc='Changed'")])
        .ok();
    assert_eq!(new.package("one").expect("published")["version"], "1-1.1");
}

#[test]
fn what_does_not_open_or_is_in_the_way_is_refused_in_one_line_and_changes_nothing() {
    let farm = Farm::new();
    let founder = farm.founder("desktop");
    let file = back_up(&farm, &founder);
    let before = fs::read(&file).expect("the backup");
    let new = farm.node("laptop");

    let said = founder
        .cli_with_input(&["backup", &shown(&file)], PHRASE)
        .fails(1);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(fs::read(&file).expect("the backup"), before);
    let other = shown(&farm.path().join("other.backup"));
    let said = founder.cli_with_input(&["backup", &other], "short\n").fails(2);
    assert!(said.contains("8 characters"), "{said}");
    let said = founder
        .cli_with_input(&["restore", &shown(&file)], PHRASE)
        .fails(1);
    assert!(said.contains("in the mesh 'test' already"), "{said}");
    let said = new
        .cli_with_input(&["restore", &shown(&file)], "wrong horse battery\n")
        .fails(1);
    assert!(said.contains("passphrase is not the one"), "{said}");
    let damaged = farm.path().join("damaged.backup");
    let mut bytes = before.clone();
    *bytes.last_mut().expect("a long file") ^= 1;
    fs::write(&damaged, bytes).expect("a damaged copy");
    let said = new
        .cli_with_input(&["restore", &shown(&damaged)], PHRASE)
        .fails(1);
    assert!(
        said.contains("damaged") && said.contains("another copy"),
        "{said}"
    );
    fs::write(&damaged, "no backup at all").expect("a foreign file");
    let said = new
        .cli_with_input(&["restore", &shown(&damaged)], PHRASE)
        .fails(1);
    assert!(said.contains("no backup of pacmesh"), "{said}");
    let said = new.cli_with_input(&["backup", &other], PHRASE).fails(1);
    assert!(said.contains("pacmesh init"), "{said}");

    assert!(!new.home.join("membership").exists() && !new.home.join("secrets/identity.key").exists());
    assert!(!Path::new(&other).exists());
    // After all of it the right words still work.
    restore(&new, &file);
}

#[test]
fn inv1_of_two_machines_with_one_home_the_lower_stops_says_so_and_stays_stopped() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer"), ("nas", "peer")]);
    nodes[0].stop();
    let mut copy = farm.node("desktop");
    copy.home = farm.path().join("copy");
    must("cp", &["-a", &shown(&nodes[0].home), &shown(&copy.home)]);
    nodes[0].start();
    wait_until_alive(&nodes);

    copy.spawn();
    let end = wait_for("one of the two to stop", MEET * 3, || {
        nodes[0]
            .ended()
            .map(|code| (true, code))
            .or_else(|| copy.ended().map(|code| (false, code)))
    });

    assert_eq!(end, (true, 4), "the one that began first is the lower");
    assert!(
        nodes[0]
            .log()
            .contains("another machine runs with this node's key")
    );
    // A service that starts it again does not begin the fight anew.
    nodes[0].spawn();
    let again = wait_for("the second start to end", COMMAND, || nodes[0].ended());
    assert_eq!(again, 4);
    let mesh = [copy, nodes.remove(1), nodes.remove(1)];
    wait_until_alive(&mesh);
    mesh[1].build(&[package(farm.path(), "one", "")]).ok();
    for node in &mesh {
        let problems = node.json(&["status"])["problems"].to_string();
        assert!(
            !problems.contains("fork") && !problems.contains("two records"),
            "{problems}"
        );
    }
    let fork = within(COMMAND, || mesh[0].package("one"));
    assert!(fork.is_some(), "all know what was published");
}
