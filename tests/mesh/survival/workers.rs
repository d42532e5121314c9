//! A worker vanishes with what it builds, or with what it is handing over.

use pacmesh_tests::{
    audit::Promises,
    cluster::{BUILD, TAKE_OVER},
    fixtures::package,
    lan::Lan,
    wait::wait_for,
};

use super::{slow, submit, wait_until_published, wait_until_running};

/// A package of so many megabytes that compress to nothing less.
fn large(lan: &Lan, name: &str, megabytes: u32) -> std::path::PathBuf {
    let lines = format!(
        "package() {{ install -d \"$pkgdir/usr/share/{name}\"; \
         head -c {megabytes}M /dev/urandom > \"$pkgdir/usr/share/{name}/bytes\"; }}"
    );
    package(lan.farm.path(), name, &lines)
}

#[test]
fn inv4_a_worker_killed_in_the_middle_of_a_build_costs_an_attempt_and_no_job() {
    let mut lan = Lan::of(&[("desktop", "peer"), ("laptop", "guest"), ("nas", "peer")]);
    let client = lan.client("client");
    let mut promises = Promises::default();
    // Only the guest has room, so that the build is surely there.
    for name in ["desktop", "nas"] {
        lan.nodes[2].cli(&["node", "drain", name]).ok();
    }
    submit(&lan.nodes[2], &[slow(&lan.farm, "one", 5)]);
    assert_eq!(wait_until_running(&lan, 2, "one"), 1);

    lan.nodes[1].power_off();
    lan.nodes[2].cli(&["node", "resume", "nas"]).ok();

    wait_until_published(&lan.nodes[0], "one");
    promises.note(&lan.nodes[0], "one");
    lan.nodes[2].cli(&["node", "resume", "desktop"]).ok();
    lan.nodes[1].start();
    promises.check(&lan, &client);
}

#[test]
fn inv3_a_worker_killed_while_its_archive_is_fetched_is_replaced_or_goes_on() {
    let mut lan = Lan::of(&[("desktop", "peer"), ("laptop", "guest"), ("nas", "peer")]);
    let client = lan.client("client");
    let mut promises = Promises::default();
    let master = lan.master(0);
    for name in ["desktop", "nas"] {
        lan.nodes[2].cli(&["node", "drain", name]).ok();
    }
    submit(&lan.nodes[2], &[large(&lan, "heavy", 192)]);
    let parts = lan.nodes[master].home.join("blobs/parts");
    wait_for("the archive to be on its way", BUILD, || {
        let files = std::fs::read_dir(&parts).into_iter().flatten().flatten();
        let mut lengths = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        lengths.any(|length| length > 8 << 20).then_some(())
    });

    lan.nodes[1].power_off();
    wait_for("the worker to be missed", TAKE_OVER, || {
        (lan.nodes[master].state_of("laptop").as_deref() == Some("lost")).then_some(())
    });
    lan.nodes[1].start();

    for name in ["desktop", "nas"] {
        lan.nodes[2].cli(&["node", "resume", name]).ok();
    }
    wait_until_published(&lan.nodes[0], "heavy");
    promises.note(&lan.nodes[0], "heavy");
    promises.check(&lan, &client);
}
