//! What the service is asked to do.

use pacmesh_tests::{
    cluster::Farm,
    door::{Client, PLACE},
    fixtures::{archive, package},
};
use serde_json::json;

use super::open_door;

fn service(action: &str) -> String {
    format!("/api/v1/service/{action}?{PLACE}")
}

#[test]
fn an_update_without_anything_to_do_ends_and_needs_a_body() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    client.update();
    client.post(&service("update"), &json!({})).is(200);
    client
        .post_bytes(&service("update"), "application/json", b"")
        .is(400);
    let unknown = client
        .get("/api/v1/service/process/40c6d862-910f-4988-a877-6e552029c898")
        .is(404);
    assert_eq!(
        unknown.json(),
        json!({"error": "No process 40c6d862-910f-4988-a877-6e552029c898 found"})
    );
}

#[test]
fn an_empty_list_is_no_mistake_and_a_missing_one_is() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let empty = json!({"increment": false, "packager": null, "packages": [], "patches": [], "refresh": true});
    let answer = client.post(&service("add"), &empty).is(200);
    assert!(answer.json()["process_id"].is_string());
    let missing = client.post(&service("add"), &json!({})).is(400);
    assert_eq!(
        missing.json(),
        json!({"error": "'Key packages is missing or empty'"})
    );
    client.post(&service("remove"), &json!({"packages": []})).is(400);
    let unknown = client.post(
        "/api/v1/service/add?architecture=i686&repository=other",
        &json!({"packages": ["a"]}),
    );
    unknown.is(200);
}

#[test]
fn what_is_tracked_is_built_again_and_what_is_not_says_so() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    node.build(&[package(farm.path(), "one", "")]).ok();
    client
        .post(&service("add"), &json!({"packages": ["one", "two"]}))
        .is(200);
    pacmesh_tests::wait::wait_for("the next release", pacmesh_tests::cluster::BUILD, || {
        (node.package("one")?["version"] == "1-1.1").then_some(())
    });
    let events = client
        .get(&format!("/api/v1/events?{PLACE}&object_id=two"))
        .is(200)
        .json();
    assert_eq!(events[0]["event"], "package-update-failed");
}

#[test]
fn removed_packages_leave_the_repository() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    for name in ["one", "two"] {
        let path = archive(farm.path(), name, name, "1-1", "any", "");
        client.upload(&[("package", &path)]).is(201);
    }
    client.update();
    client
        .post(&service("remove"), &json!({"packages": ["one"]}))
        .is(200);
    pacmesh_tests::wait::wait_for("the package to go", pacmesh_tests::cluster::COMMAND, || {
        node.package("one").is_none().then_some(())
    });
    assert!(node.package("two").is_some());
}

#[test]
fn many_packages_come_in_with_one_update() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    for n in 0..130 {
        let path = archive(farm.path(), &format!("p{n}"), &format!("p{n}"), "1-1", "any", "");
        client.upload(&[("package", &path)]).is(201);
    }
    client.update();
    assert_eq!(node.json(&["packages"]).as_array().map(Vec::len), Some(130));
}
