//! What people get wrong: an exit code, and one line that names the thing, the reason and the next step.

use std::os::unix::fs::PermissionsExt;

use pacmesh_tests::{
    cluster::{Farm, Node},
    fixtures::package,
};

/// `build` of folders below `sources/` must fail; gives the reason.
#[track_caller]
fn refused(node: &Node, farm: &Farm, names: &[&str]) -> String {
    let sources: Vec<_> = names
        .iter()
        .map(|name| farm.path().join("sources").join(name))
        .collect();
    node.build(&sources).fails(1)
}

#[test]
fn sources_that_cannot_be_built_are_refused_in_one_line_and_queue_nothing() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    std::fs::create_dir_all(farm.path().join("sources/empty")).expect("a folder");
    package(farm.path(), "broken", "if then");
    package(farm.path(), "needy", "depends=(nobody-provides-this)");
    package(farm.path(), "odd", "pkgver='1..2'");
    package(farm.path(), "hen", "makedepends=(egg)");
    package(farm.path(), "egg", "makedepends=(hen)");
    package(farm.path(), "fine", "");

    let cases: [(&[&str], &[&str]); 5] = [
        (&["empty"], &["empty", "PKGBUILD"]),
        (&["fine", "broken"], &["broken"]),
        (&["needy"], &["needy", "nobody-provides-this"]),
        (&["odd"], &["1..2"]),
        (&["hen", "egg"], &["hen", "egg", "->"]),
    ];
    for (sources, words) in cases {
        let said = refused(&node, &farm, sources);
        for word in words {
            assert!(said.contains(word), "{sources:?}: '{word}' is not in: {said}");
        }
    }
    assert_eq!(
        node.json(&["jobs", "--all"]).as_array().map(Vec::len),
        Some(0),
        "something was queued"
    );
}

#[test]
fn urls_and_names_say_that_they_cannot_be_built_yet() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    for source in ["https://example.invalid/one.git", "some-aur-name"] {
        let said = node.cli(&["build", source]).fails(1);
        assert!(said.contains(source) && said.contains("yet"), "{said}");
    }
}

#[test]
fn a_second_init_is_refused() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let said = node.cli(&["init", "--name", "other"]).fails(1);
    assert!(said.contains("test") && said.contains("leave"), "{said}");
}

#[test]
fn without_a_node_commands_exit_with_three() {
    let farm = Farm::new();
    let node = farm.node("nobody");
    for command in [
        vec!["status"],
        vec!["nodes", "--json"],
        vec!["build", "."],
        vec!["logs", "x"],
        vec!["leave"],
    ] {
        let said = node.cli(&command).fails(3);
        assert!(said.contains("pacmesh daemon"), "{said}");
    }
}

#[test]
fn unknown_words_exit_with_two() {
    let farm = Farm::new();
    let outcome = farm.node("nobody").cli(&["frobnicate"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
}

#[test]
fn a_home_that_others_may_read_is_refused() {
    let farm = Farm::new();
    let mut node = farm.founder("desktop");
    node.stop();
    let key = node.home.join("secrets/identity.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("the mode of an own file");

    let said = node.cli(&["daemon", "--listen", "127.0.0.1:0"]).fails(1);

    assert!(said.contains("identity.key") && said.contains("chmod"), "{said}");
}

#[test]
fn what_is_not_there_is_named() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    for command in [
        ["logs", "nothing"],
        ["why", "nothing"],
        ["cancel", "nothing"],
        ["remove", "nothing"],
    ] {
        let said = node.cli(&command).fails(1);
        assert!(said.contains("nothing"), "{said}");
    }
    let said = node.cli(&["node", "suspend", "nobody"]).fails(1);
    assert!(said.contains("nobody"), "{said}");
}
