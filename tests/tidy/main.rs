//! The rules of the house that no compiler checks, read from manifests and sources: each test is one rule.
//!
//! A test that trips says where. Where a rule is wrong, it is changed here, with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use pacmesh_tests::fixtures::repository_root;

/// Folders at the root that hold what is ours.
const HOUSE: [&str; 6] = ["discovery", "examples", "node", "protocol", "signing", "tests"];
/// Who may know whom (DESIGN, "The house"); what is not listed is forbidden. The kit needs no node: it starts the binary.
const ARROWS: [(&str, &[&str]); 5] = [
    ("protocol", &[]),
    ("signing", &["protocol"]),
    ("discovery", &["protocol"]),
    ("node", &["discovery", "protocol", "signing"]),
    ("tests", &["protocol", "signing"]),
];
/// Crates that only one of ours may name, in whatever section of its manifest.
const KEPT: [(&str, &str); 9] = [
    ("libp2p", "discovery"),
    ("quinn", "node"),
    ("rustls", "node"),
    ("axum", "node"),
    ("clap", "node"),
    ("redb", "node"),
    ("ed25519-dalek", "signing"),
    ("pgp", "signing"),
    ("bincode", "protocol"),
];
/// Crates where nothing waits: they may not name a runtime.
const STILL: [&str; 2] = ["protocol", "signing"];
/// Longest file, in lines.
const LONGEST: usize = 700;
/// This file names what it forbids.
const THIS: &str = "tests/tidy/main.rs";
/// Entry points of helper processes, which the tests themselves start: never run as tests.
const STARTED_BY_TESTS: [&str; 1] = ["node/src/worker/tests/kit.rs"];
/// The waits of kits, and loops with a deadline: each pauses between two looks at a condition. The cost of idling can be
/// measured only by letting time pass.
const BOUNDED_WAITS: [&str; 4] = [
    "node/src/transport/tests.rs",
    "node/src/transport/tests/strangers.rs",
    "node/src/worker/tests/kit.rs",
    "tests/benches/survival/idle.rs",
];

#[test]
fn arrows_between_crates_point_down_only() {
    let mut wrong = Vec::new();
    for (member, allowed) in ARROWS {
        for other in dependencies(member).iter().filter_map(|name| ours(name)) {
            if other != member && !allowed.contains(&other) {
                wrong.push(format!("{member} -> {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden arrows: {wrong:?}");
}

#[test]
fn what_one_room_keeps_no_other_names() {
    let mut wrong = Vec::new();
    for (member, _) in ARROWS {
        let names = dependencies(member);
        let taken = KEPT
            .iter()
            .filter(|(name, keeper)| *keeper != member && names.contains(*name));
        wrong.extend(taken.map(|(name, keeper)| format!("{member} names {name}, which only {keeper} may")));
        if STILL.contains(&member)
            && names
                .iter()
                .any(|name| name.starts_with("tokio") || name == "async-trait")
        {
            wrong.push(format!("{member} names a runtime"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_house_has_six_folders() {
    let folders: BTreeSet<_> = tracked()
        .iter()
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    assert_eq!(folders, HOUSE.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let long: BTreeMap<_, _> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .collect();
    assert!(long.is_empty(), "split these by what they are for: {long:?}");
}

#[test]
fn every_file_opens_with_the_rule_that_it_keeps() {
    let silent = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path);
    let silent: Vec<_> = silent.collect();
    assert!(silent.is_empty(), "no module doc on the first line: {silent:#?}");
}

#[test]
fn nothing_is_left_for_later_or_switched_off() {
    refuse(&["todo!(", "unimplemented!(", "FIXME", "XXX"], |_| true);
    refuse(&["#[ignore"], |path| !STARTED_BY_TESTS.contains(&path));
}

#[test]
fn tests_wait_for_conditions_and_never_for_a_time() {
    let is_test =
        |path: &str| path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    refuse(&["time::sleep", "thread::sleep", ", sleep}", "{sleep"], |path| {
        is_test(path) && !BOUNDED_WAITS.contains(&path)
    });
}

#[test]
fn every_queue_has_a_bound() {
    refuse(&["unbounded_channel", "mpsc::channel()", "unbounded()"], |_| true);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let marks = [
        concat!("/", "work/"),
        concat!("/User", "s/"),
        concat!("/home/", "user/"),
    ];
    let named: Vec<_> = tracked()
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(repository_root().join(path)).unwrap_or_default();
            marks.iter().any(|mark| text.contains(mark))
        })
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

/// Fails for every line of a source that `matches` and holds one of `words` outside of a comment.
#[track_caller]
fn refuse(words: &[&str], matches: impl Fn(&str) -> bool) {
    let mut found = Vec::new();
    for (path, text) in sources()
        .into_iter()
        .filter(|(path, _)| matches(path) && path != THIS)
    {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Every dependency that a member's manifest names, in whatever section.
fn dependencies(member: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(repository_root().join(member).join("Cargo.toml")).expect("a manifest");
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if inside && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            names.extend((!name.is_empty()).then(|| name.to_owned()));
        }
    }
    assert!(!names.is_empty(), "{member}'s manifest was not understood");
    names
}

/// The folder of a crate of ours.
fn ours(name: &str) -> Option<&str> {
    if name == "pacmesh" {
        Some("node")
    } else {
        name.strip_prefix("pacmesh-")
    }
}

/// All Rust sources with their paths from the root.
fn sources() -> Vec<(String, String)> {
    let read = |path: String| {
        let text = fs::read_to_string(repository_root().join(&path)).ok()?;
        Some((path, text))
    };
    let found: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .filter_map(read)
        .collect();
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// What git knows, or, in a tree without git, everything but what cargo made.
fn tracked() -> Vec<String> {
    let root = repository_root();
    let listed = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output();
    match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        _ => walk(root, root),
    }
}

fn walk(root: &Path, folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let wanted = |path: &PathBuf| !path.ends_with("target") && !path.ends_with(".git");
    entries
        .filter(wanted)
        .flat_map(|path| {
            if path.is_dir() {
                return walk(root, &path);
            }
            let name = path
                .strip_prefix(root)
                .ok()
                .and_then(Path::to_str)
                .map(str::to_owned);
            name.into_iter().collect()
        })
        .collect()
}
