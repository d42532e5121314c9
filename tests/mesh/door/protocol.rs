//! What holds for every answer.

use pacmesh_tests::{
    cluster::Farm,
    door::{Client, PLACE},
};
use serde_json::json;

#[test]
fn a_slash_too_many_leads_to_the_path_without_it() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::anonymous(&node);
    let answer = client.get("/api/v1/info/?a=b").is(308);
    assert_eq!(answer.header("location"), Some("/api/v1/info?a=b"));
    assert_eq!(client.get("//evil.invalid/").status, 401);
}

#[test]
fn a_wrong_method_says_which_are_right() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let answer = Client::anonymous(&node).get("/api/v1/login").is(405);
    assert_eq!(answer.header("allow"), Some("POST"));
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    Client::anonymous(&node)
        .send("PUT", "/api/v1/status", &[], b"{}")
        .is(405);
}

#[test]
fn answers_have_tags_and_ids_and_heads() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::anonymous(&node);
    let first = client
        .send("GET", "/api/v1/info", &[("X-Request-ID", "abc")], b"")
        .is(200);
    assert_eq!(first.header("x-request-id"), Some("abc"));
    let tag = first.header("etag").expect("a tag").to_owned();
    let again = client
        .send("GET", "/api/v1/info", &[("If-None-Match", &tag)], b"")
        .is(304);
    assert!(again.body.is_empty() && again.header("x-request-id").is_none());
    let head = client.send("HEAD", "/api/v1/info", &[], b"").is(200);
    assert_eq!(head.header("etag"), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
}

#[test]
fn browsers_ask_first_and_are_told() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::anonymous(&node);
    let asks = [
        ("Origin", "http://page.invalid"),
        ("Access-Control-Request-Method", "GET"),
    ];
    let answer = client.send("OPTIONS", "/api/v1/info", &asks, b"").is(200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://page.invalid")
    );
    client.send("OPTIONS", "/api/v1/info", &[], b"").is(403);
}

#[test]
fn a_repository_that_is_not_named_is_the_first_and_an_unknown_one_is_named() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::anonymous(&node);
    for query in [
        "",
        "?architecture=x86_64",
        "?repository=farm",
        "?architecture=&repository=other",
    ] {
        let status = client.get(&format!("/api/v1/status{query}")).is(200).json();
        assert_eq!(status["repository"], "farm");
    }
    let unknown = client
        .get("/api/v1/status?architecture=i686&repository=other")
        .is(404);
    assert_eq!(
        unknown.json(),
        json!({"error": "Repository i686-other is unknown"})
    );
}

#[test]
fn only_the_service_is_served_where_that_is_wanted() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    node.cli(&["config", "set", "http.service_only", "true"]).ok();
    client.get(&format!("/api/v1/packages?{PLACE}")).is(404);
    client.get("/api/v1/info").is(200);
    client.get("/api/v1/distributed").is(200);
    client.get(&format!("/api/v1/events?{PLACE}")).is(200);
}

#[test]
fn everything_that_is_described_is_served() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let description = client.get("/api-docs/swagger.json").is(200).json();
    let paths = description["paths"].as_object().expect("paths").clone();
    for (path, operations) in &paths {
        let path = path
            .replace("{package}", "hello")
            .replace("{patch}", "key")
            .replace("{process}", "x");
        for method in operations.as_object().expect("operations").keys() {
            let answer = match (method.as_str(), path.as_str()) {
                // It goes on.
                (_, "/api/v1/events/stream") => continue,
                ("get", path) => client.get(path),
                ("delete", path) => client.delete(path),
                (_, path) => client.post_bytes(path, "application/json", b"no json"),
            };
            // What is not served at all answers in these words.
            let unrouted = answer.status == 404 && answer.text().contains("Not Found");
            let is_upload = path.ends_with("/upload");
            assert!(
                is_upload || (!unrouted && answer.status != 405),
                "{method} {path}: {}",
                answer.status
            );
        }
    }
}
