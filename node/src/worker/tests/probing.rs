//! Metadata comes from a sandbox, whatever the PKGBUILD does.

use std::time::Duration;

use pacmesh_protocol::work::FailureClass;

use super::kit::{Bench, must, must_fail, sample};
use crate::worker::{attempt::RunStage, srcinfo};

#[tokio::test]
async fn a_probe_tells_what_a_pkgbuild_makes() {
    let bench = Bench::new();
    let arch = bench.spec(&[]).arch;
    for (name, version, packages, has_pkgver) in [
        ("libgreet", "1.0.0-1", vec!["libgreet"], false),
        ("tools-split", "0.3-2", vec!["tools-count", "tools-shout"], false),
        ("epoch-clock", "2:1.0-1", vec!["epoch-clock"], true),
    ] {
        let attempt = bench.of_folder(name, &sample(name), &[]);
        must(&attempt, RunStage::Probe).await;
        let parsed = srcinfo::parse(&attempt.srcinfo().unwrap(), &arch).unwrap();
        assert_eq!(parsed.warning, None, "{name}");
        assert_eq!(parsed.probe.version.as_str(), version);
        let made: Vec<_> = parsed
            .probe
            .packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(made, packages);
        assert_eq!(parsed.probe.has_pkgver, has_pkgver, "{name}");
    }
}

#[tokio::test]
async fn a_pkgbuild_that_does_not_parse_is_told_with_its_line() {
    let bench = Bench::new();
    let attempt = bench.of_text("unclosed", "package() {\n  if true; then\n");
    let (class, reason) = must_fail(&attempt, RunStage::Probe).await;
    assert_eq!(class, FailureClass::Source);
    assert!(
        reason.starts_with("the PKGBUILD does not parse: PKGBUILD: line "),
        "{reason}"
    );
}

#[tokio::test]
async fn inv5_a_probe_without_end_is_stopped() {
    let mut bench = Bench::new();
    bench.limits.probe = Duration::from_secs(2);
    let attempt = bench.of_text("looping", "while :; do :; done");
    let (class, reason) = must_fail(&attempt, RunStage::Probe).await;
    assert_eq!(class, FailureClass::Source);
    assert!(reason.contains("took too long"), "{reason}");
}

#[tokio::test]
async fn inv5_a_probe_that_prints_without_end_is_stopped() {
    let bench = Bench::new();
    let attempt = bench.of_text("printing", "yes\npackage() { :; }");
    let (class, reason) = must_fail(&attempt, RunStage::Probe).await;
    assert_eq!(class, FailureClass::Source);
    assert!(reason.contains("1 MiB"), "{reason}");
}

#[tokio::test]
async fn inv5_a_probe_that_takes_all_memory_fails_alone() {
    let bench = Bench::new();
    let attempt = bench.of_text(
        "hungry",
        "x=$(head -c 3000000000 /dev/zero | tr '\\0' x)\npackage() { :; }",
    );
    let (class, _) = must_fail(&attempt, RunStage::Probe).await;
    assert_eq!(class, FailureClass::Source);
}
