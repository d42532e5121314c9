//! A whole run of a worker, as one was seen: the same requests in the same order, with the codes that it got, and what
//! must be true at the end.

use pacmesh_tests::{
    cluster::Farm,
    door::{Client, PASSWORD, PLACE, USER},
    fixtures::archive,
    pacman::ScratchRoot,
};
use serde_json::{Value, json};

use super::open_door;

fn session(client: &Client) {
    client.try_login(USER, PASSWORD).is(302);
    client.get("/").is(200);
}

#[test]
fn a_run_of_a_worker_gets_the_answers_that_it_knows() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let say = |path: &str, body: Value, status: u16| {
        client.post(&format!("/api/v1/{path}?{PLACE}"), &body).is(status);
    };
    let read = |path: &str, status: u16| client.get(&format!("/api/v1/{path}?{PLACE}")).is(status);
    let remote = json!({"source": "local", "git_url": "file:///srv/ahriman/src/hello", "path": ".", "branch": "master"});
    let registered = json!({"status": "unknown", "package": {"base": "hello", "version": "1.0-1", "remote": remote, "packages": {
        "hello": {"depends": ["base"], "make_depends": [], "opt_depends": [], "check_depends": [], "groups": [], "licenses": [], "provides": []},
        "hello-doc": {"depends": [], "make_depends": [], "opt_depends": [], "check_depends": [], "groups": [], "licenses": [], "provides": []}},
        "packager": "builder"}});
    // The lock and the status.
    session(&client);
    read("status", 200);
    say("status", json!({"status": "building"}), 204);
    // The reporter.
    session(&client);
    assert_eq!(read("packages", 200).json(), json!([]));
    assert_eq!(
        read("packages/hello", 404).json(),
        json!({"error": "Package hello is unknown"})
    );
    say("packages/hello", registered, 204);
    say("packages/hello", json!({"status": "pending"}), 204);
    say(
        "events",
        json!({"event": "package-outdated", "object_id": "hello", "created": 1795466204, "message": "Manual update is requested"}),
        204,
    );
    assert_eq!(read("packages/hello/changes", 200).json(), json!({}));
    assert_eq!(
        client.get("/api/v1/packages/hello/patches").is(200).json(),
        json!([])
    );
    say(
        "packages/hello/changes",
        json!({"last_commit_sha": "89798b33f0857d8745536e8e3e2583567b97ffe3", "pkgbuild": "pkgbase=hello\n"}),
        204,
    );
    say("packages/hello", json!({"status": "building"}), 204);
    // The log.
    session(&client);
    for n in 0..43 {
        let line = json!({"created": 1795466204.9 + f64::from(n), "message": format!("line {n}"), "process_id": "3312b200-d97d-4d82-b1d8-0141a817e735", "version": "<unknown>"});
        say("packages/hello/logs", line, 204);
    }
    let changes = read("packages/hello/changes", 200).json();
    assert_eq!(
        changes["last_commit_sha"],
        "89798b33f0857d8745536e8e3e2583567b97ffe3"
    );
    say("packages/hello/dependencies", json!({"paths": {}}), 204);
    say(
        "events",
        json!({"event": "package-updated", "object_id": "hello", "created": 1795466213, "data": {"took": 8.125}}),
        204,
    );
    let built = |name: &str, arch: &str| json!({"architecture": arch, "archive_size": 2596, "build_date": 1795466205, "depends": [], "description": "test package", "filename": format!("{name}-1.0-1-{arch}.pkg.tar.zst"), "installed_size": 14384});
    say(
        "packages/hello",
        json!({"status": "success", "package": {"base": "hello", "version": "1.0-1", "remote": remote,
        "packages": {"hello": built("hello", "x86_64"), "hello-doc": built("hello-doc", "any")}, "packager": "demo bot <bot@example.invalid>"}}),
        204,
    );
    // The uploads.
    session(&client);
    for (name, arch) in [("hello", "x86_64"), ("hello-doc", "any")] {
        let path = archive(farm.path(), "hello", name, "1.0-1", arch, "");
        client.upload(&[("package", &path)]).is(201);
    }
    // The update.
    session(&client);
    client.update();
    client
        .delete(&format!("/api/v1/service/logs?{PLACE}&keep_last_records=5"))
        .is(204);
    say("status", json!({"status": "success"}), 204);

    let shown = client.package("hello").expect("the package");
    assert_eq!(
        shown["package"]["remote"], remote,
        "a worker would forget where its source is"
    );
    assert_eq!(
        (&shown["package"]["version"], &shown["status"]["status"]),
        (&json!("1.0-1"), &json!("success"))
    );
    let lines = client
        .get(&format!("/api/v2/packages/hello/logs?{PLACE}"))
        .is(200)
        .json();
    assert!(
        lines.as_array().map_or(0, Vec::len) > 43,
        "the mesh's own lines are missing"
    );
    let pacman = ScratchRoot::of(&farm, "client", &node);
    assert_eq!(pacman.listed(), ["hello 1.0-1", "hello-doc 1.0-1"]);
}
