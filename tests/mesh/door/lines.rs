//! Log lines, and events as they happen.

use std::io::{BufRead, BufReader, Write};

use pacmesh_tests::{
    cluster::Farm,
    door::{Client, PLACE},
};
use serde_json::{Value, json};

fn line(message: &str, version: &str, process: &str) -> Value {
    json!({"created": 1795466204.941901, "message": message, "version": version, "process_id": process})
}

fn messages(client: &Client, query: &str) -> Vec<String> {
    let list = client
        .get(&format!("/api/v2/packages/hello/logs?{PLACE}{query}"))
        .is(200)
        .json();
    let list = list.as_array().expect("a list").clone();
    list.iter()
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn lines_are_kept_in_their_order_and_read_from_the_newest() {
    let farm = Farm::new();
    let mut node = farm.founder("desktop");
    let client = Client::full(&node);
    let path = format!("/api/v1/packages/hello/logs?{PLACE}");
    for (message, version, process) in [
        ("a", "<unknown>", "p"),
        ("b", "<unknown>", "p"),
        ("c", "1.0-1", "q"),
    ] {
        client.post(&path, &line(message, version, process)).is(204);
    }
    client
        .post(
            &path,
            &json!({"created": 1.5, "message": "old", "version": "1.0-1"}),
        )
        .is(204);
    client.post(&path, &json!({"message": "x"})).is(400);
    assert_eq!(messages(&client, ""), ["a", "b", "c", "old"]);
    assert_eq!(messages(&client, "&limit=2&offset=1"), ["b", "c"]);
    assert_eq!(messages(&client, "&process_id=p"), ["a", "b"]);
    let heads = client
        .get(&format!("/api/v2/packages/hello/logs?{PLACE}&head=true"))
        .is(200)
        .json();
    assert_eq!(heads.as_array().map(Vec::len), Some(3), "{heads}");
    client
        .get(&format!("/api/v2/packages/hello/logs?{PLACE}&limit=-2"))
        .is(400);

    node.stop();
    node.start();
    assert_eq!(messages(&client, ""), ["a", "b", "c", "old"]);
    client.delete(&format!("{path}&version=1.0-1")).is(204);
    assert_eq!(messages(&client, ""), ["c", "old"]);
    client
        .delete(&format!("/api/v1/service/logs?{PLACE}&keep_last_records=1"))
        .is(204);
    assert_eq!(messages(&client, ""), ["old"]);
    client.delete(&path).is(204);
    client
        .get(&format!("/api/v2/packages/hello/logs?{PLACE}"))
        .is(404);
}

#[test]
fn many_lines_come_over_one_connection() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let mut stream = client.connect();
    let cookie = client.cookie();
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    for n in 0..500 {
        let body = line(&format!("line {n}"), "1.0-1", "p").to_string();
        let request = format!(
            "POST /api/v1/packages/hello/logs?{PLACE} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("to send a line");
        let mut status = String::new();
        reader.read_line(&mut status).expect("an answer");
        assert!(status.contains("204"), "{status}");
        while status.trim() != "" {
            status.clear();
            reader.read_line(&mut status).expect("a header");
        }
    }
    assert_eq!(messages(&client, "").len(), 500);
}

#[test]
fn listeners_hear_what_happens_and_only_what_they_may() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    let anonymous = Client::anonymous(&node);
    anonymous.get(&format!("/api/v1/events/stream?{PLACE}")).is(401);
    anonymous
        .get(&format!("/api/v1/events/stream?{PLACE}&event=build-log"))
        .is(401);
    client
        .get(&format!("/api/v1/events/stream?{PLACE}&event=nothing"))
        .is(400);
    client
        .get("/api/v1/events/stream?architecture=i686&repository=other")
        .is(404);

    let mut stream = client.connect();
    let cookie = client.cookie();
    let head = format!("GET /api/v1/events/stream?{PLACE} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("to listen");
    let mut lines = BufReader::new(stream).lines();
    let headers: Vec<String> = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    assert!(
        headers
            .iter()
            .any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")),
        "{headers:?}"
    );

    client
        .post(&format!("/api/v1/status?{PLACE}"), &json!({"status": "building"}))
        .is(204);
    let body = json!({"status": "success", "package": {"base": "hello", "version": "1.0-1", "remote": {"source": "aur"}}});
    client
        .post(&format!("/api/v1/packages/hello?{PLACE}"), &body)
        .is(204);
    client
        .post(
            &format!("/api/v1/packages/hello?{PLACE}"),
            &json!({"status": "failed"}),
        )
        .is(204);
    client
        .post(
            &format!("/api/v1/packages/hello/logs?{PLACE}"),
            &line("word", "1.0-1", "p"),
        )
        .is(204);

    let mut heard = Vec::new();
    let mut event = String::new();
    while heard.len() < 4 {
        let line = lines.next().expect("more events").expect("a line");
        if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            heard.push((event.clone(), serde_json::from_str::<Value>(data).expect("JSON")));
        }
    }
    heard.sort_by(|one, other| one.0.cmp(&other.0));
    let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "build-log",
            "package-status-changed",
            "package-updated",
            "service-status-changed"
        ]
    );
    assert_eq!(heard[0].1["message"], "word");
    assert_eq!(heard[1].1, json!({"object_id": "hello", "status": "failed"}));
    assert_eq!(
        heard[2].1,
        json!({"object_id": "hello", "status": "success", "version": "1.0-1"})
    );
    assert_eq!(heard[3].1, json!({"object_id": null, "status": "building"}));
}

#[test]
fn metrics_are_open() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::anonymous(&node);
    client.get("/api/v1/info").is(200);
    let text = client.get("/api/v1/metrics").is(200).text();
    assert!(
        text.contains("pacmesh_http_requests_total{route=\"/api/v1/info\",status=\"200\"} 1"),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"));
}
