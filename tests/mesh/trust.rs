//! Whose signatures count.

use pacmesh_tests::{
    cluster::{Farm, text},
    fixtures::package,
};

#[test]
fn inv6_a_package_signed_by_a_distrusted_key_is_refused_and_the_job_says_why() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let keys = node.json(&["keys", "list"]);
    let fingerprint = text(&keys[0]["fingerprint"]);
    node.cli(&["keys", "distrust", &fingerprint]).ok();

    let outcome = node.build(&[package(farm.path(), "one", "")]);

    assert_eq!(outcome.code, Some(1), "{outcome}");
    let job = node.job("one").expect("the job");
    let error = text(&job["error"]);
    assert_eq!(job["state"], "failed");
    assert!(
        error.contains("sign") || error.contains("trust"),
        "the reason is not named: {error}"
    );
    assert!(node.package("one").is_none());
}

#[test]
fn inv6_a_guest_that_is_given_a_job_gets_its_source_and_no_client_meets_its_key() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("visitor", "guest")]);
    nodes[0].cli(&["node", "drain", "desktop"]).ok();

    nodes[0].build(&[package(farm.path(), "one", "")]).ok();

    let job = nodes[0].job("one").expect("the job");
    assert_eq!(text(&job["worker"]), nodes[1].id());
    let keys = nodes[0].json(&["keys", "list"]);
    let keys = keys.as_array().expect("a list");
    let of = |name: &str| {
        let key = keys.iter().find(|key| key["node"] == name);
        text(&key.expect("a key of each node")["fingerprint"])
    };
    let signer = text(&nodes[0].package("one").expect("published")["signer"]);
    assert_eq!(
        signer.to_uppercase(),
        of("desktop"),
        "the master signs in its place"
    );
    let exported = nodes[0].cli(&["keys", "export"]).ok().stdout;
    assert_eq!(exported.matches("BEGIN PGP PUBLIC KEY").count(), 1);
    let said = nodes[0].cli(&["node", "suspend", "visitor"]).ok().stdout;
    assert!(
        said.contains(&format!("keys distrust {}", of("visitor"))),
        "{said}"
    );
}
