//! Who enters, who does not, and who has to go: each refused with a reason that a person understands.

use std::time::{SystemTime, UNIX_EPOCH};

use pacmesh_protocol::roles::Roles;
use pacmesh_signing::{Authority, SecretsDir, Token};
use pacmesh_tests::{
    cluster::{COMMAND, Farm, Node, text},
    fixtures::{package, sample},
    wait::wait_for,
};

#[test]
fn inv5_a_node_of_another_mesh_is_not_let_in() {
    let farm = Farm::new();
    let ours = farm.founder("desktop");
    let mut stranger = farm.founder("stranger");
    stranger.stop();
    stranger.bootstrap = vec![ours.discovery_address()];
    stranger.start();

    // It says why it has no link; that is seen only if it reached the door.
    wait_for("the stranger to be refused", COMMAND, || {
        stranger.log().contains("another mesh").then_some(())
    });

    assert_eq!((ours.alive(), stranger.alive()), (1, 1));
    assert_eq!(ours.json(&["status"])["members"], 1);
}

#[test]
fn what_is_no_token_is_refused_before_anything_is_asked() {
    let farm = Farm::new();
    let node = farm.node("laptop");
    let said = node.cli(&["join", "pm1-nonsense"]).fails(1);
    assert!(said.contains("token"), "{said}");
    let said = node.cli_with_input(&["join", "-"], "").fails(2);
    assert!(said.contains("pacmesh invite"), "{said}");
}

#[test]
fn a_token_of_another_mesh_is_refused() {
    let farm = Farm::new();
    let mut theirs = farm.founder("theirs");
    let token = theirs.invite(&[]);
    let address = theirs.discovery_address();
    theirs.stop();
    let mut ours = farm.node("ours");
    ours.listen = address;
    ours.start();
    ours.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
    ours.wait_until_led();
    // Its own invitation opens the door.
    ours.invite(&[]);

    let joiner = started(&farm, "laptop");
    let said = joiner.cli(&["join", &token]).fails(1);

    assert!(said.contains("mesh"), "{said}");
    assert_eq!(ours.json(&["status"])["members"], 1);
}

#[test]
fn an_expired_token_is_refused() {
    let farm = Farm::new();
    let founder = farm.founder("desktop");
    // The door is open only while a good invitation is.
    let good: Token = founder.invite(&[]).parse().expect("a token");
    let secrets = SecretsDir::open(founder.home.join("secrets")).expect("the founder's secrets");
    let authority = Authority::load(&secrets)
        .expect("a readable key")
        .expect("the founder has the authority");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_millis() as u64;
    let invitation = authority
        .invite(Roles::PEER, now - 600_000, 1)
        .expect("an invitation");
    let late = Token::new(invitation, good.addresses().to_vec()).expect("a token");

    let joiner = started(&farm, "laptop");
    let said = joiner.cli(&["join", late.as_str()]).fails(1);

    assert!(
        said.contains("expired") && said.contains("pacmesh invite"),
        "{said}"
    );
}

#[test]
fn a_used_up_token_is_refused() {
    let farm = Farm::new();
    let founder = farm.founder("desktop");
    let token = founder.invite(&["--uses", "1"]);
    started(&farm, "laptop").cli(&["join", &token]).ok();
    // Another invitation keeps the door open, so that the token itself is judged.
    founder.invite(&[]);

    let said = started(&farm, "nas").cli(&["join", &token]).fails(1);

    assert!(
        said.contains("used up") && said.contains("pacmesh invite"),
        "{said}"
    );
}

#[test]
fn a_door_that_no_invitation_opens_is_shut() {
    let farm = Farm::new();
    let founder = farm.founder("desktop");
    let token = founder.invite(&["--uses", "1"]);
    started(&farm, "laptop").cli(&["join", &token]).ok();

    let said = started(&farm, "nas").cli(&["join", &token]).fails(1);

    assert!(said.contains("pacmesh invite"), "{said}");
}

#[test]
fn a_guest_that_submits_is_refused() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("visitor", "guest")]);
    let source = package(farm.path(), "one", "");

    let outcome = nodes[1].build(&[source]);

    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("client"),
        "the missing role is not named: {outcome}"
    );
    assert_eq!(
        nodes[0].json(&["jobs", "--all"]).as_array().map(Vec::len),
        Some(0)
    );
}

#[test]
fn a_guest_builds() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("visitor", "guest")]);
    nodes[0].cli(&["node", "drain", "desktop"]).ok();

    nodes[0].build(&[sample("hello-script")]).ok();

    assert_eq!(
        nodes[0].job("hello-script").expect("the job")["worker"],
        nodes[1].id().as_str()
    );
}

#[test]
fn a_suspended_node_is_cut_off() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);

    nodes[0].cli(&["node", "suspend", "laptop"]).ok();

    wait_for("the suspended node to be cut off", COMMAND, || {
        let seen = nodes[0].state_of("laptop");
        (seen.as_deref() == Some("suspended") && nodes[1].alive() == 1).then_some(())
    });
    assert_eq!(nodes[0].alive(), 1);
}

#[test]
fn a_node_that_leaves_is_gone_for_all() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);

    nodes[1].cli(&["leave"]).ok();

    wait_for("the mesh to see it gone", COMMAND, || {
        nodes[0]
            .state_of("laptop")
            .is_none_or(|state| state == "left")
            .then_some(())
    });
    assert_eq!(nodes[0].json(&["status"])["members"], 1);
    assert!(nodes[1].json(&["status"])["mesh"].is_null());
}

fn started(farm: &Farm, name: &str) -> Node {
    let mut node = farm.node(name);
    node.start();
    node
}

#[test]
fn the_recovery_code_invites_from_any_machine_of_the_mesh() {
    let farm = Farm::new();
    let founder = started(&farm, "desktop");
    let said = founder
        .cli(&["init", "--name", "test", "--repo", "farm", "--json"])
        .ok()
        .json();
    founder.wait_until_led();
    let code = farm.path().join("code");
    std::fs::write(&code, format!("{}\n", text(&said["recovery_code"]))).expect("a file with the code");
    let second = started(&farm, "laptop");
    second.cli(&["join", &founder.invite(&[])]).ok();
    let refused = second.cli(&["invite"]).fails(1);
    assert!(refused.contains("--authority"), "{refused}");

    let token = second.invite(&["--authority", &code.display().to_string()]);

    let third = started(&farm, "nas");
    third.cli(&["join", &token]).ok();
    let wrong = text(&said["recovery_code"]).chars().rev().collect::<String>();
    let refused = second
        .cli_with_input(&["invite", "--authority", "-"], &wrong)
        .fails(1);
    assert!(refused.contains("recovery code"), "{refused}");
}

#[test]
fn inv6_who_left_comes_back_as_what_the_new_token_says() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    nodes[1].cli(&["leave"]).ok();

    nodes[1].cli(&["join", &nodes[0].invite(&["--as", "guest"])]).ok();

    wait_for("the guest", COMMAND, || {
        let all = nodes[0].json(&["nodes"]);
        let laptop = all.as_array()?.iter().find(|node| node["name"] == "laptop")?;
        (laptop["state"] == "alive" && laptop["roles"] == serde_json::json!(["worker"])).then_some(())
    });
    let source = package(farm.path(), "one", "");
    let said = nodes[1].cli(&["build", &source.display().to_string()]).fails(1);
    assert!(said.contains("worker"), "{said}");
}

#[test]
fn a_token_whose_machine_is_off_is_refused_with_its_address() {
    let farm = Farm::new();
    let mut founder = farm.founder("desktop");
    let token = founder.invite(&[]);
    founder.stop();
    let joiner = started(&farm, "laptop");

    let said = joiner.cli(&["join", &token]).fails(1);

    assert!(said.contains("no member answers at 127.0.0.1:"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}
