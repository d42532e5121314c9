//! Whatever comes, the node refuses it in bounded time and goes on.

use std::io::Write;

use pacmesh_tests::{
    cluster::Farm,
    door::{Client, PLACE},
};
use serde_json::json;

use super::open_door;

#[test]
fn inv5_bad_bodies_and_names_are_refused_and_the_node_goes_on() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let deep = "[".repeat(200_000);
    let with_place = |path: &str| format!("{path}?{PLACE}");
    let long_name = "x".repeat(300);
    let cases: Vec<(&str, String, &[u8], u16)> = vec![
        ("POST", with_place("/api/v1/status"), b"", 400),
        ("POST", with_place("/api/v1/status"), b"\xff\xfe", 400),
        ("POST", with_place("/api/v1/status"), b"[]", 400),
        (
            "POST",
            with_place("/api/v1/status"),
            b"{\"status\": \"done\"}",
            400,
        ),
        ("POST", with_place("/api/v1/status"), deep.as_bytes(), 400),
        (
            "POST",
            "/api/v1/status?architecture=i686&repository=farm".to_owned(),
            b"{\"status\": \"failed\"}",
            404,
        ),
        ("POST", with_place("/api/v1/packages/hello"), b"{}", 400),
        (
            "POST",
            with_place("/api/v1/packages/hello"),
            b"{\"status\": \"success\", \"package\": {\"base\": \"hello\", \"version\": \"1-1\"}}",
            400,
        ),
        (
            "POST",
            with_place("/api/v1/packages/a%2Fb"),
            b"{\"status\": \"success\"}",
            404,
        ),
        (
            "POST",
            with_place("/api/v1/packages/a%00b"),
            b"{\"status\": \"success\"}",
            404,
        ),
        (
            "POST",
            with_place("/api/v1/packages/..%2F..%2Fetc"),
            b"{\"status\": \"success\"}",
            404,
        ),
        (
            "GET",
            with_place(&format!("/api/v1/packages/{long_name}")),
            b"",
            404,
        ),
        ("GET", with_place("/api/v1/packages/%ff%fe"), b"", 404),
        ("DELETE", with_place("/api/v1/packages/a%2Fb"), b"", 204),
        (
            "POST",
            with_place("/api/v1/packages/hello/logs"),
            b"{\"created\": \"x\", \"message\": \"\", \"version\": \"\"}",
            400,
        ),
        (
            "POST",
            with_place("/api/v1/packages/hello/changes"),
            b"{\"changes\": 1}",
            400,
        ),
        (
            "POST",
            "/api/v1/packages/hello/patches".to_owned(),
            b"{\"key\": \"a\", \"value\": \"('x\"}",
            400,
        ),
        (
            "POST",
            with_place("/api/v1/events"),
            b"{\"event\": 1, \"object_id\": \"a\"}",
            400,
        ),
        (
            "POST",
            "/api/v1/distributed".to_owned(),
            b"{\"address\": \"\", \"identifier\": \"\"}",
            400,
        ),
        ("POST", "/api/v1/login".to_owned(), b"{\"username\": \"a\"}", 400),
        (
            "POST",
            "/api/v1/login".to_owned(),
            b"{\"username\": \"a\\u0000\", \"password\": \"\"}",
            401,
        ),
        (
            "POST",
            with_place("/api/v1/service/add"),
            b"{\"packages\": \"a\"}",
            400,
        ),
        ("POST", with_place("/api/v1/service/update"), b"not json", 400),
        (
            "DELETE",
            with_place("/api/v1/service/logs") + "&keep_last_records=-1",
            b"",
            400,
        ),
        (
            "DELETE",
            with_place("/api/v1/service/logs") + "&keep_last_records=x",
            b"",
            400,
        ),
    ];
    for (method, path, body, status) in cases {
        let answer = client.send(method, &path, &[("Content-Type", "application/x-nonsense")], body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(
            answer.status,
            status,
            "{method} {path} {shown}: {}",
            answer.text()
        );
    }
    client
        .post(&format!("/api/v1/status?{PLACE}"), &json!({"status": "success"}))
        .is(204);
    assert_eq!(node.alive(), 1);
}

#[test]
fn inv5_a_gigabyte_of_json_is_refused_before_it_is_read() {
    let farm = Farm::new();
    let (_node, client) = open_door(&farm);
    let mut stream = client.connect();
    let head = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n[[[[",
        1_u64 << 30
    );
    stream.write_all(head.as_bytes()).expect("to send a head");
    let mut answer = [0; 64];
    let read = std::io::Read::read(&mut stream, &mut answer).expect("an answer");
    assert!(
        String::from_utf8_lossy(&answer[..read]).contains("413"),
        "{answer:?}"
    );
}

#[test]
fn inv5_a_multipart_body_without_an_end_or_with_too_many_beginnings_is_refused() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let upload = format!("/api/v1/service/upload?{PLACE}");
    let kind = "multipart/form-data; boundary=x";
    let part =
        "--x\r\nContent-Disposition: form-data; name=\"package\"; filename=\"a.pkg.tar.zst\"\r\n\r\nbytes";
    let bodies: [(&str, String); 6] = [
        (kind, part.to_owned()),
        (
            kind,
            "--x\r\nContent-Disposition: form-data; name=\"package\"\r\n\r\nbytes\r\n--x--\r\n".to_owned(),
        ),
        (
            kind,
            format!("--x\r\nX: {}\r\n\r\n\r\n--x--\r\n", "y".repeat(100_000)),
        ),
        (kind, String::new()),
        ("multipart/form-data", part.to_owned()),
        ("multipart/form-data; boundary=", part.to_owned()),
    ];
    for (kind, body) in bodies {
        let answer = client.post_bytes(&upload, kind, body.as_bytes());
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, 400, "{kind}: {shown}: {}", answer.text());
    }
    client.update();
    assert_eq!(node.alive(), 1);
}

#[test]
fn inv6_a_cookie_that_nobody_made_is_nobodys() {
    let farm = Farm::new();
    let (_node, client) = open_door(&farm);
    let long = format!("AHRIMAN={}", "A".repeat(4000));
    for cookie in [
        "AHRIMAN=",
        "AHRIMAN=\"\"",
        "AHRIMAN",
        "=",
        ";;;",
        "AHRIMAN=gAAAAABl",
        &long,
    ] {
        client.with_cookie(cookie).get("/api/v1/distributed").is(401);
    }
}

#[test]
fn inv5_a_client_that_sends_nothing_more_holds_up_nobody() {
    let farm = Farm::new();
    let (node, client) = open_door(&farm);
    let held: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = client.connect();
            let head = "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
            stream.write_all(head.as_bytes()).expect("to send a head");
            stream
        })
        .collect();
    Client::anonymous(&node).get("/api/v1/info").is(200);
    drop(held);
}
