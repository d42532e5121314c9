//! Users, sessions and what each may do.

use pacmesh_tests::{
    cluster::{COMMAND, Farm},
    door::{Client, PASSWORD, PLACE, USER, add_user},
    wait::wait_for,
};
use serde_json::json;

#[test]
fn a_login_leads_to_the_page_with_a_cookie_in_quotes_that_works_with_and_without_them() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    add_user(&node, USER, PASSWORD, "full");
    let anonymous = Client::anonymous(&node);

    let answer = anonymous.try_login(USER, PASSWORD).is(302);

    assert_eq!(answer.header("location"), Some("/"));
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    for part in [
        "AHRIMAN=\"",
        "; HttpOnly",
        "; Max-Age=604800",
        "; Path=/",
        "; SameSite=Lax",
        "; expires=",
    ] {
        assert!(cookie.contains(part), "{part} is not in {cookie}");
    }
    let quoted = cookie.split(';').next().expect("a value").to_owned();
    for cookie in [
        quoted.clone(),
        quoted.replace('"', ""),
        format!("other=1; {quoted}"),
    ] {
        anonymous.with_cookie(&cookie).get("/api/v1/distributed").is(200);
    }
    anonymous.get("/").is(200);
    anonymous.try_login(USER, "wrong").is(401);
    anonymous.try_login("nobody", PASSWORD).is(401);
}

#[test]
fn inv6_each_role_does_what_it_may_and_no_more() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    for role in ["read", "reporter", "full"] {
        add_user(&node, role, PASSWORD, role);
    }
    let status = format!("/api/v1/status?{PLACE}");
    let logs = format!("/api/v2/packages/hello/logs?{PLACE}");
    let say = |client: &Client| client.post(&status, &json!({"status": "building"}));
    let anonymous = Client::anonymous(&node);

    anonymous.get(&status).is(200);
    assert_eq!(say(&anonymous).is(401).json(), json!({"error": "Unauthorized"}));
    anonymous.get(&logs).is(401);
    let reader = Client::login(&node, "read", PASSWORD);
    assert_eq!(
        reader.get(&logs).is(403).json(),
        json!({"error": "User does not have 'reporter' permission"})
    );
    let reporter = Client::login(&node, "reporter", PASSWORD);
    reporter.get(&logs).is(404);
    assert_eq!(
        say(&reporter).is(403).json(),
        json!({"error": "User does not have 'full' permission"})
    );
    say(&Client::login(&node, "full", PASSWORD)).is(204);

    node.cli(&["config", "set", "http.allow_read_only", "false"]).ok();
    anonymous.get(&status).is(401);
    reader.get(&status).is(200);
}

#[test]
fn what_is_not_there_is_told_to_full_access_only() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    add_user(&node, "reader", PASSWORD, "read");
    let full = Client::full(&node);
    for path in ["/nothing", "/api/v1/service/upload"] {
        Client::anonymous(&node).get(path).is(401);
        Client::login(&node, "reader", PASSWORD).get(path).is(403);
        full.get(path).is(404);
    }
}

#[test]
fn a_session_ends_with_its_user_its_password_and_its_logout() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let client = Client::full(&node);
    client.get("/api/v1/distributed").is(200);
    let out = client.send("POST", "/api/v1/logout", &[], b"").is(302);
    assert!(out.header("set-cookie").expect("a cookie").contains("Max-Age=0"));
    Client::anonymous(&node)
        .send("POST", "/api/v1/logout", &[], b"")
        .is(401);

    add_user(&node, USER, "another password", "full");
    client.get("/api/v1/distributed").is(401);
    let client = Client::login(&node, USER, "another password");
    let list = node.json(&["user", "list"]);
    assert_eq!(list, json!([{"name": USER, "role": "full"}]));
    node.cli(&["user", "remove", USER]).ok();
    client.get("/api/v1/distributed").is(401);
    assert_eq!(node.json(&["user", "list"]), json!([]));
    let reason = node.cli(&["user", "remove", USER]).fails(1);
    assert!(reason.contains("user list"), "{reason}");
}

#[test]
fn inv2_sessions_and_what_was_said_survive_a_change_of_master_and_a_restart() {
    let farm = Farm::new();
    let mut nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    let client = Client::full(&nodes[0]);
    let place = format!("/api/v1/packages/hello?{PLACE}");
    let body = json!({"status": "pending", "package": {"base": "hello", "version": "1.0-1", "remote": {"source": "aur"}}});
    client.at(&nodes[1]).post(&place, &body).is(204);
    let shown = client.at(&nodes[1]).package("hello").expect("what was just said");
    assert_eq!(shown["status"]["status"], "pending");

    nodes[0].kill();
    wait_for("the laptop to lead", COMMAND, || {
        (nodes[1].master().as_deref() == Some("laptop")).then_some(())
    });
    let there = client.at(&nodes[1]);
    there.post(&place, &json!({"status": "building"})).is(204);
    nodes[1].stop();
    nodes[1].start();
    nodes[1].wait_until_led();

    let shown = there.package("hello").expect("what was said before");
    assert_eq!(
        (&shown["status"]["status"], &shown["package"]["version"]),
        (&json!("building"), &json!("1.0-1"))
    );
    there.get("/api/v1/distributed").is(200);
}

#[test]
fn inv6_a_guest_holds_no_password_in_the_clear() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("stranger", "guest")]);
    add_user(&nodes[0], "somebody-rare", PASSWORD, "full");
    wait_for("the guest's ledger to be the same", COMMAND, || {
        (nodes[0]
            .cli(&["user", "list"])
            .ok()
            .stdout
            .contains("somebody-rare"))
        .then_some(())
    });
    let reason = nodes[1].cli(&["user", "list"]).fails(1);
    assert!(reason.contains("may not lead"), "{reason}");
    let ledger = std::fs::read(nodes[1].home.join("ledger.redb")).expect("the guest's ledger");
    for clear in ["argon2", "somebody-rare"] {
        let found = ledger
            .windows(clear.len())
            .any(|window| window == clear.as_bytes());
        assert!(!found, "'{clear}' is in a guest's ledger");
    }
}

#[test]
fn inv5_guesses_are_slowed_and_others_log_in_meanwhile() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    add_user(&node, USER, PASSWORD, "full");
    let client = Client::anonymous(&node);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let status = client.try_login(USER, "guess").status;
                assert!(status == 401 || status == 429, "{status}");
            });
        }
        for _ in 0..20 {
            client.get("/api/v1/info").is(200);
        }
    });
    Client::login(&node, USER, PASSWORD);
}
