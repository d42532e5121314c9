//! What is kept stays: copies come back, damage is found and mended, and only what nothing needs goes.

use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pacmesh_tests::{
    cluster::{BUILD, COMMAND, Farm, Node, TAKE_OVER, text, wait_until_alive},
    fixtures::package,
    pacman::ScratchRoot,
    wait::wait_for,
};

/// A node that looks after its blobs so often that a test need not wait.
fn configured(farm: &Farm, name: &str, lines: &str) -> Node {
    let node = farm.node(name);
    std::fs::create_dir_all(&node.home).expect("a home");
    std::fs::write(node.home.join("config.toml"), format!("[blobs]\n{lines}\n")).expect("a configuration");
    node
}

fn join(node: &mut Node, founder: &Node, preset: &str) {
    node.start();
    let token = founder.invite(&["--as", preset]);
    node.cli(&["join", &token]).ok();
}

/// Where a node keeps the archive of a package, and where it serves it.
fn places(node: &Node, name: &str) -> [PathBuf; 2] {
    let package = node.package(name).expect("the package is listed");
    let (digest, file) = (text(&package["blake3"]), text(&package["filename"]));
    let arch = text(&package["arch"]);
    [
        node.home.join("blobs").join(&digest[..2]).join(&digest),
        node.home.join("repo/farm").join(arch).join(file),
    ]
}

/// The one source tree among the blobs of a node: of replicas, only those keep it that are told to.
fn tree(node: &Node) -> PathBuf {
    let folders = std::fs::read_dir(node.home.join("blobs"))
        .expect("blobs")
        .flatten();
    let in_store = folders.filter(|folder| folder.file_name().len() == 2);
    let mut blobs = in_store.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder").flatten());
    let is_tree = |blob: &std::fs::DirEntry| {
        std::fs::read(blob.path()).is_ok_and(|bytes| bytes.starts_with(b"pmtree\0"))
    };
    blobs.find(is_tree).expect("a source tree").path()
}

/// Where `other` keeps what `node` keeps at `path`.
fn same_place(node: &Node, path: &Path, other: &Node) -> PathBuf {
    other
        .home
        .join(path.strip_prefix(&node.home).expect("below the home"))
}

fn flip(path: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut byte = [0];
    file.read_exact_at(&mut byte, 40).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], 40).expect("another byte");
}

fn wait_for_the_file(node: &Node, name: &str) {
    let [_, served] = places(node, name);
    wait_for("the package file", COMMAND, || served.exists().then_some(()));
}

fn short(node: &Node) -> Option<u64> {
    node.json(&["status"])["copies"]["short"].as_u64()
}

#[test]
fn inv2_when_a_replica_is_gone_for_good_its_copies_come_back_on_another() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("nas", "storage")]);
    nodes[0].build(&[package(farm.path(), "one", "")]).ok();
    let mut third = farm.node("attic");
    join(&mut third, &nodes[0], "storage");
    nodes.push(third);
    wait_until_alive(&nodes);
    wait_for("all copies", COMMAND, || {
        (short(&nodes[0]) == Some(0)).then_some(())
    });

    nodes[1].kill();

    wait_for("the loss to be noticed", TAKE_OVER, || {
        (nodes[0].state_of("nas")? == "lost").then_some(())
    });
    for node in [&nodes[0], &nodes[2]] {
        wait_for("two copies of everything again", COMMAND, || {
            (short(node) == Some(0)).then_some(())
        });
    }
    let copy = same_place(&nodes[0], &tree(&nodes[0]), &nodes[2]);
    assert!(copy.exists(), "{}", copy.display());
    assert_eq!(nodes[0].job("one").expect("the job")["copies"], 2);
}

#[test]
fn inv2_what_only_a_drained_machine_holds_is_kept_by_another_before_it_goes() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("nas", "storage")]);
    // One copy is enough, so that nothing but the drain makes a second one.
    nodes[0].cli(&["config", "set", "replication.copies", "1"]).ok();
    nodes[0].build(&[package(farm.path(), "one", "")]).ok();
    nodes[1].kill();
    wait_for("the loss to be noticed", TAKE_OVER, || {
        (nodes[0].state_of("nas")? == "lost").then_some(())
    });
    let mut third = farm.node("attic");
    join(&mut third, &nodes[0], "storage");
    let [blob, _] = places(&nodes[0], "one");
    let copy = third
        .home
        .join(blob.strip_prefix(&nodes[0].home).expect("below the home"));

    nodes[0].cli(&["node", "drain", "desktop"]).ok();

    wait_for("the copy", COMMAND, || copy.exists().then_some(()));
}

#[test]
fn inv3_flipped_bytes_are_found_by_repo_check_and_healed_from_another_node() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    nodes[0].build(&[package(farm.path(), "one", "")]).ok();
    let node = &nodes[1];
    wait_for_the_file(node, "one");
    places(node, "one").iter().for_each(|path| flip(path));

    let said = node.cli(&["repo", "check", "--json"]).ok().json();

    let healed: Vec<String> = said["healed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| text(&one["what"]))
        .collect();
    let names = |word: &str| {
        healed
            .iter()
            .any(|what| what.contains(word) && what.contains("one-1-1-any.pkg.tar.zst"))
    };
    assert!(names("archive") && names("package file"), "{said}");
    assert_eq!(said["damaged"].as_array().map(Vec::len), Some(0), "{said}");
    let again = node.cli(&["repo", "check", "--json"]).ok().json();
    assert_eq!(again["healed"].as_array().map(Vec::len), Some(0), "{again}");
    let client = ScratchRoot::of(&farm, "client", node);
    client.install("one");
}

#[test]
fn inv3_what_nobody_can_heal_is_named_and_never_served() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    node.build(&[package(farm.path(), "one", "")]).ok();
    wait_for_the_file(&node, "one");
    let client = ScratchRoot::of(&farm, "client", &node);
    let [blob, served] = places(&node, "one");
    flip(&blob);
    flip(&served);

    let outcome = node.cli(&["repo", "check"]);

    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(
        outcome.stdout.contains("one-1-1-any.pkg.tar.zst of one"),
        "{outcome}"
    );
    let problems = node.json(&["status"])["problems"].to_string();
    assert!(problems.contains("one-1-1-any.pkg.tar.zst of one"), "{problems}");
    assert!(!blob.exists() && !served.exists());
    let refused = client.pacman(&["-Syy", "one"]);
    assert!(
        refused.code != Some(0) && !refused.stderr.contains("corrupted"),
        "{refused}"
    );
    // Built again it is whole, under a new name.
    node.cli(&["rebuild", "one"]).ok();
    client.install("one");
}

#[test]
fn inv3_a_flipped_byte_is_found_and_healed_in_the_background() {
    let farm = Farm::new();
    let founder = farm.founder("desktop");
    let mut node = configured(&farm, "nas", "scrub = '1s'\nscrub_rate = 1000");
    join(&mut node, &founder, "storage");
    wait_for("two nodes", TAKE_OVER, || (founder.alive() == 2).then_some(()));
    founder.build(&[package(farm.path(), "one", "")]).ok();
    wait_for_the_file(&node, "one");
    let paths = places(&node, "one");
    let before = paths
        .each_ref()
        .map(|path| std::fs::read(path).expect("an archive"));
    paths.iter().for_each(|path| flip(path));

    wait_for("both files to be whole again", COMMAND, || {
        let now = paths.each_ref().map(|path| std::fs::read(path).ok());
        (now == before.each_ref().map(|bytes| Some(bytes.clone()))).then_some(())
    });
}

#[test]
fn inv2_what_nothing_needs_goes_while_builds_run_and_what_is_named_stays() {
    let farm = Farm::new();
    let mut node = configured(&farm, "desktop", "sweep = '200ms'");
    node.start();
    node.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
    node.wait_until_led();
    node.build(&[package(farm.path(), "one", "")]).ok();
    let week = Duration::from_secs(7 * 24 * 3600);
    let old = |path: &Path| {
        let file = std::fs::File::options().write(true).open(path).expect("a blob");
        file.set_modified(SystemTime::now() - week).expect("its time");
    };
    // As old as the orphan, and needed.
    let [blob, _] = places(&node, "one");
    old(&blob);
    let orphan = node.home.join("blobs/00").join(format!("00{}", "5".repeat(62)));
    std::fs::create_dir_all(orphan.parent().expect("a folder")).expect("a folder");
    std::fs::write(&orphan, "nobody's").expect("an orphan");
    old(&orphan);
    let slow = package(farm.path(), "two", "build() { sleep 3; }");
    node.cli(&["build", "--detach", &slow.display().to_string()]).ok();

    wait_for("the orphan to go", COMMAND, || (!orphan.exists()).then_some(()));

    assert!(blob.exists());
    wait_for("the build to end", BUILD, || {
        (text(&node.job("two")?["state"]) == "published").then_some(())
    });
    let said = node.cli(&["repo", "check", "--json"]).ok().json();
    assert_eq!(said["healed"].as_array().map(Vec::len), Some(0), "{said}");
    let client = ScratchRoot::of(&farm, "client", &node);
    assert_eq!(client.listed(), ["one 1-1", "two 1-1"]);
    client.install("one");
}
