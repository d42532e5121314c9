//! What clients say and read again.

use pacmesh_tests::{
    cluster::Farm,
    door::{Client, PLACE},
};
use serde_json::{Value, json};

fn path(rest: &str) -> String {
    format!("/api/v1/packages/{rest}?{PLACE}")
}

fn registered(base: &str) -> Value {
    json!({"status": "unknown", "package": {
        "base": base, "version": "1.0-1", "packager": "builder",
        "remote": {"source": "local", "git_url": "file:///srv/src/hello", "path": ".", "branch": "master"},
        "packages": {base: {"depends": ["glibc>=2"], "licenses": [], "url": null}},
    }})
}

#[test]
fn a_registered_package_comes_back_with_its_remote_and_its_status() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let unknown = client.get(&path("hello")).is(404);
    assert_eq!(unknown.json(), json!({"error": "Package hello is unknown"}));
    client.post(&path("hello"), &json!({"status": "pending"})).is(400);

    client.post(&path("hello"), &registered("hello")).is(204);
    client
        .post(&path("hello"), &json!({"status": "building"}))
        .is(204);

    let shown = client.package("hello").expect("the package");
    assert_eq!(
        shown["package"]["remote"],
        registered("hello")["package"]["remote"]
    );
    assert_eq!(shown["package"]["packages"]["hello"]["depends"], json!(["glibc"]));
    assert_eq!(shown["status"]["status"], "building");
    assert!(shown["status"].get("is_held").is_none() && shown["status"]["timestamp"].is_u64());
    assert_eq!(
        shown["repository"],
        json!({"architecture": "x86_64", "repository": "farm"})
    );
    let list = client.get(&format!("/api/v1/packages?{PLACE}")).is(200).json();
    assert_eq!(list, json!([shown]));
    let status = client.get(&format!("/api/v1/status?{PLACE}")).is(200).json();
    assert_eq!(
        (&status["packages"]["total"], &status["packages"]["building"]),
        (&json!(1), &json!(1))
    );

    client.delete(&path("hello")).is(204);
    client.delete(&path("hello")).is(204);
    client.get(&path("hello")).is(404);
}

#[test]
fn a_list_has_pages() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    for base in ["c", "a", "b"] {
        client.post(&path(base), &registered(base)).is(204);
    }
    let page = |query: &str| {
        let list = client
            .get(&format!("/api/v1/packages?{PLACE}&{query}"))
            .is(200)
            .json();
        let list = list.as_array().expect("a list").clone();
        list.iter()
            .map(|package| package["package"]["base"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(page("limit=2"), ["a", "b"]);
    assert_eq!(page("limit=-1&offset=2"), ["c"]);
    for wrong in ["limit=-2", "offset=-1", "limit=x"] {
        client.get(&format!("/api/v1/packages?{PLACE}&{wrong}")).is(400);
    }
}

#[test]
fn the_service_stands_as_it_was_last_said() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let path = format!("/api/v1/status?{PLACE}");
    let before = client.get(&path).is(200).json();
    assert_eq!(before["status"]["status"], "unknown");
    client.post(&path, &json!({"status": "failed"})).is(204);
    assert_eq!(client.get(&path).is(200).json()["status"]["status"], "failed");
    client.post(&path, &json!({"status": "well"})).is(400);
}

#[test]
fn changes_come_back_however_long_they_are_and_can_be_cleared() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    client.get(&path("hello/changes")).is(404);
    let long = "+ line\n".repeat(100_000);
    let changes = json!({"last_commit_sha": "89798b33", "changes": long, "pkgbuild": "pkgname=hello"});
    client.post(&path("hello/changes"), &changes).is(204);
    assert_eq!(client.get(&path("hello/changes")).is(200).json(), changes);
    client
        .post(&path("hello/changes"), &json!({"last_commit_sha": "x"}))
        .is(204);
    assert_eq!(
        client.get(&path("hello/changes")).is(200).json(),
        json!({"last_commit_sha": "x"})
    );
    client.post(&path("hello"), &registered("hello")).is(204);
    client.post(&path("hello/changes"), &json!({})).is(204);
    assert_eq!(client.get(&path("hello/changes")).is(200).json(), json!({}));
}

#[test]
fn dependencies_are_of_known_packages_and_empty_ones_are_dropped() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let paths = json!({"paths": {"usr/lib/a": ["a"], "usr/lib/b": []}, "package_base": "hello"});
    client.post(&path("hello/dependencies"), &paths).is(404);
    client.post(&path("hello"), &registered("hello")).is(204);
    assert_eq!(
        client.get(&path("hello/dependencies")).is(200).json(),
        json!({"paths": {}})
    );
    client.post(&path("hello/dependencies"), &paths).is(204);
    let shown = client.get(&path("hello/dependencies")).is(200).json();
    assert_eq!(shown, json!({"paths": {"usr/lib/a": ["a"]}}));
}

#[test]
fn patches_are_of_no_repository_and_arrays_are_arrays() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let all = "/api/v1/packages/libc%2B%2B/patches";
    assert_eq!(client.get(all).is(200).json(), json!([]));
    client
        .post(all, &json!({"key": "arch", "value": "(a b)"}))
        .is(204);
    client
        .post(all, &json!({"key": "build()", "value": "{ make; }"}))
        .is(204);
    client.post(all, &json!({"key": "arch"})).is(400);
    let arch = client.get(&format!("{all}/arch")).is(200).json();
    assert_eq!(arch, json!({"key": "arch", "value": ["a", "b"]}));
    assert_eq!(client.get(all).is(200).json().as_array().map(Vec::len), Some(2));
    client.delete(&format!("{all}/arch")).is(204);
    let gone = client.get(&format!("{all}/arch")).is(404);
    assert_eq!(gone.json(), json!({"error": "Patch arch is unknown"}));
}

#[test]
fn a_package_is_held_once_somebody_says_so() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    client
        .post(&path("hello/hold"), &json!({"is_held": true}))
        .is(404);
    client.post(&path("hello"), &registered("hello")).is(204);
    client
        .post(&path("hello/hold"), &json!({"is_held": true}))
        .is(204);
    assert_eq!(client.package("hello").expect("it")["status"]["is_held"], true);
    client
        .post(&path("hello/hold"), &json!({"is_held": false}))
        .is(204);
    assert_eq!(client.package("hello").expect("it")["status"]["is_held"], false);
}

#[test]
fn the_audit_log_keeps_events_in_the_order_of_their_time() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let events = format!("/api/v1/events?{PLACE}");
    let say = |created: i64, event: &str, object: &str| {
        let body = json!({"event": event, "object_id": object, "created": created, "data": {"took": 8.125}});
        client.post(&events, &body).is(204);
    };
    say(20, "package-updated", "b");
    say(10, "package-outdated", "a");
    client
        .post(&events, &json!({"event": "own word", "object_id": "c"}))
        .is(204);
    client.post(&events, &json!({"object_id": "c"})).is(400);
    let read = |query: &str| {
        let list = client.get(&format!("{events}{query}")).is(200).json();
        let list = list.as_array().expect("a list").clone();
        list.iter()
            .map(|event| event["object_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(""), ["a", "b", "c"]);
    assert_eq!(read("&limit=1"), ["c"]);
    assert_eq!(read("&from_date=10&to_date=20"), ["a"]);
    assert_eq!(read("&event=package-updated"), ["b"]);
    client.get(&format!("{events}&from_date=x")).is(400);
}

#[test]
fn workers_that_register_themselves_are_listed_by_name() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let path = "/api/v1/distributed";
    for (address, name) in [("http://b", "w2"), ("http://a", "w1"), ("http://c", "w2")] {
        client
            .post(path, &json!({"address": address, "identifier": name}))
            .is(204);
    }
    client.post(path, &json!({"address": "http://a"})).is(400);
    let workers = client.get(path).is(200).json();
    assert_eq!(
        workers,
        json!([{"address": "http://a", "identifier": "w1"}, {"address": "http://c", "identifier": "w2"}])
    );
    client.delete(path).is(204);
    assert_eq!(client.get(path).is(200).json(), json!([]));
}
