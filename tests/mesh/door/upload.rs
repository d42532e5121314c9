//! Uploads and manual updates: what gets in, and what does not.

use pacmesh_tests::{
    cluster::{Farm, Node, text},
    door::{Client, PLACE},
    fixtures::archive,
    pacman::ScratchRoot,
};
use serde_json::json;

use super::{let_in, open_door};

fn listed(node: &Node) -> Vec<String> {
    let packages = node.json(&["packages"]);
    let mut all: Vec<_> = packages
        .as_array()
        .into_iter()
        .flatten()
        .map(|package| format!("{} {}", text(&package["name"]), text(&package["version"])))
        .collect();
    all.sort();
    all
}

#[test]
fn an_uploaded_base_is_published_as_one_and_pacman_installs_it() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let main = archive(farm.path(), "hello", "hello", "1.0-1", "x86_64", "");
    let docs = archive(farm.path(), "hello", "hello-doc", "1.0-1", "any", "");

    for path in [&main, &docs] {
        assert_eq!(client.upload(&[("package", path)]).is(201).text(), "201: Created");
    }
    assert!(
        node.package("hello").is_none(),
        "published before an update was asked for"
    );
    client.update();

    let pacman = ScratchRoot::of(&farm, "client", &node);
    assert_eq!(pacman.listed(), ["hello 1.0-1", "hello-doc 1.0-1"]);
    pacman.install("hello");
    let shown = client.package("hello").expect("the package");
    assert_eq!(
        (&shown["status"]["status"], &shown["package"]["version"]),
        (&json!("success"), &json!("1.0-1"))
    );
    let member = &shown["package"]["packages"]["hello"];
    assert_eq!(member["filename"], "hello-1.0-1-x86_64.pkg.tar.zst");
    assert_eq!(shown["package"]["packager"], "bot <bot@example.invalid>");
    let job = node.job("hello").expect("a job");
    assert_eq!(
        (&job["state"], job["worker"].is_null()),
        (&json!("published"), true)
    );
}

#[test]
fn inv3_the_same_bytes_again_change_nothing_and_others_under_the_name_fail_with_a_reason() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let first = archive(farm.path(), "hello", "hello", "1.0-1", "any", "");
    client.upload(&[("package", &first)]).is(201);
    client.update();
    let before = node.package("hello").expect("published");

    client.upload(&[("package", &first)]).is(201);
    client.update();
    assert_eq!(node.package("hello"), Some(before.clone()));

    let other = archive(farm.path(), "hello", "hello", "1.0-1", "any", "depend = glibc");
    client.upload(&[("package", &other)]).is(201);
    client.update();
    assert_eq!(node.package("hello"), Some(before));
    assert_eq!(client.package("hello").expect("it")["status"]["status"], "failed");
    let events = client
        .get(&format!("/api/v1/events?{PLACE}&event=package-update-failed"))
        .is(200)
        .json();
    assert!(text(&events[0]["message"]).contains("raise pkgrel"), "{events}");
    let log = client
        .get(&format!("/api/v2/packages/hello/logs?{PLACE}"))
        .is(200)
        .text();
    assert!(log.contains("raise pkgrel"), "{log}");
}

#[test]
fn an_older_version_does_not_replace_a_newer_one() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    for version in ["2.0-1", "1.0-1"] {
        let path = archive(farm.path(), "hello", "hello", version, "any", "");
        client.upload(&[("package", &path)]).is(201);
        client.update();
    }
    assert_eq!(listed(&node), ["hello 2.0-1"]);
    assert_eq!(client.package("hello").expect("it")["status"]["status"], "failed");
}

#[test]
fn a_member_that_a_base_lost_leaves_and_one_that_comes_later_stays() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let upload = |name: &str, version: &str| {
        let path = archive(farm.path(), "hello", name, version, "any", "");
        client.upload(&[("package", &path)]).is(201);
    };
    upload("hello", "1.0-1");
    upload("hello-doc", "1.0-1");
    client.update();
    upload("hello", "1.1-1");
    client.update();
    assert_eq!(listed(&node), ["hello 1.1-1"]);

    upload("hello-doc", "1.1-1");
    client.update();
    assert_eq!(listed(&node), ["hello 1.1-1", "hello-doc 1.1-1"]);
}

#[test]
fn of_several_versions_that_wait_the_newest_is_published() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    for version in ["1.0-1", "1.10-1", "1.9-1"] {
        let path = archive(farm.path(), "hello", "hello", version, "any", "");
        client.upload(&[("package", &path)]).is(201);
    }
    client.update();
    assert_eq!(listed(&node), ["hello 1.10-1"]);
}

#[test]
fn inv6_what_is_not_signed_well_stays_out_where_that_is_demanded() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    node.cli(&["config", "set", "http.archive_upload", "true"]).ok();
    let client = Client::full(&node);
    let path = archive(farm.path(), "hello", "hello", "1.0-1", "any", "");
    client.upload(&[("package", &path)]).is(201);
    client.update();
    assert!(node.package("hello").is_none());
    let failed = client.package("hello").expect("it failed");
    assert_eq!(failed["status"]["status"], "failed");

    node.cli(&["config", "set", "sign.verify", "present"]).ok();
    let signature = path.with_extension("zst.sig");
    std::fs::write(&signature, b"no signature at all").expect("a file");
    client
        .upload(&[("package", &path), ("signature", &signature)])
        .is(201);
    client.update();
    assert!(node.package("hello").is_none(), "a bogus signature was taken");

    client.upload(&[("package", &path)]).is(201);
    client.update();
    let package = node.package("hello").expect("published");
    assert!(package["signer"].is_string(), "the master signs: {package}");
}

#[test]
fn inv6_only_packages_are_taken_and_only_where_uploads_are_on() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let path = archive(farm.path(), "hello", "hello", "1.0-1", "any", "");
    client.upload(&[("package", &path)]).is(404);
    let client = let_in(&node).at(&node);
    let junk = |part: &'static str, name: &str| [(part, name.to_owned(), b"junk".to_vec())];
    let good = std::fs::read(&path).expect("the archive");
    client
        .upload_bytes(&junk("package", "hello-1.0-1-any.pkg.tar.zst"))
        .is(400);
    for name in ["../hello.pkg.tar.zst", "..", "a/b.pkg.tar.zst"] {
        let answer = client
            .upload_bytes(&[("package", name.to_owned(), good.clone())])
            .is(400);
        assert_eq!(
            answer.json(),
            json!({"error": "Filename must be valid archive name"}),
            "{name}"
        );
    }
    client
        .upload_bytes(&[("archive", "hello-1.0-1-any.pkg.tar.zst".to_owned(), good.clone())])
        .is(400);
    let upload = format!("/api/v1/service/upload?{PLACE}");
    client.post_bytes(&upload, "application/json", b"{}").is(400);
    let unknown = "/api/v1/service/upload?architecture=i686&repository=other";
    client
        .post_bytes(unknown, "multipart/form-data; boundary=x", b"--x--\r\n")
        .is(500);

    node.cli(&["config", "set", "http.max_body_size", "100"]).ok();
    let answer = client
        .upload_bytes(&[("package", "hello-1.0-1-any.pkg.tar.zst".to_owned(), good)])
        .is(400);
    assert_eq!(answer.json(), json!({"error": "Body part is too large"}));
    client.update();
    assert!(listed(&node).is_empty());
}

#[test]
fn a_name_that_clients_made_safe_is_the_archives_own_again() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let path = archive(farm.path(), "libc++", "libc++", "1-1", "any", "");
    let bytes = std::fs::read(&path).expect("the archive");
    client
        .upload_bytes(&[("package", "libc---1-1-any.pkg.tar.zst".to_owned(), bytes)])
        .is(201);
    client.update();
    assert_eq!(listed(&node), ["libc++ 1-1"]);
    assert!(client.package("libc++").is_some());
}

#[test]
fn inv8_what_was_uploaded_waits_over_a_restart() {
    let farm = Farm::new();
    let (mut node, client) = open_door(&farm);
    let path = archive(farm.path(), "hello", "hello", "1.0-1", "any", "");
    client.upload(&[("package", &path)]).is(201);
    node.kill();
    node.start();
    node.wait_until_led();
    client.update();
    assert_eq!(listed(&node), ["hello 1.0-1"]);
}

#[test]
fn any_node_takes_uploads_and_the_master_publishes_them() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    let client = let_in(&nodes[0]).at(&nodes[1]);
    let path = archive(farm.path(), "hello", "hello", "1.0-1", "any", "");
    client.upload(&[("package", &path)]).is(201);
    client.update();
    assert_eq!(listed(&nodes[1]), ["hello 1.0-1"]);
    let pacman = ScratchRoot::of(&farm, "client", &nodes[1]);
    assert_eq!(pacman.listed(), ["hello 1.0-1"]);
}

#[test]
fn a_removed_package_leaves_with_all_that_was_said_of_it() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let path = archive(farm.path(), "hello", "hello", "1.0-1", "any", "");
    client.upload(&[("package", &path)]).is(201);
    client.update();
    let logs = format!("/api/v2/packages/hello/logs?{PLACE}");
    client.get(&logs).is(200);
    client.delete(&format!("/api/v1/packages/hello?{PLACE}")).is(204);
    assert!(listed(&node).is_empty());
    client.get(&logs).is(404);

    client.upload(&[("package", &path)]).is(201);
    client.update();
    assert_eq!(listed(&node), ["hello 1.0-1"]);
}
