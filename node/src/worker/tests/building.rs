//! Samples become archives; failures are named after what failed.

use std::{path::PathBuf, process::Command};

use pacmesh_protocol::{ledger::kinds::BuildOptions, work::FailureClass};

use super::kit::{Bench, build, log, must, must_fail};
use crate::worker::{
    attempt::{Adopted, AttemptFolder, RunStage},
    srcinfo,
};

fn names(archives: &[PathBuf]) -> Vec<&str> {
    archives
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect()
}

fn member(archive: &PathBuf, name: &str) -> String {
    let output = Command::new("bsdtar").arg("-xOf").arg(archive).arg(name).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn a_program_links_against_a_library_built_minutes_before() {
    let bench = Bench::new();
    let library = build(&bench, &bench.of_sample("libgreet", &[])).await;
    let linked = bench.of_sample("greet", &library);
    let program = build(&bench, &linked).await;
    let both = [library.clone(), program.clone()].concat();
    let party = build(&bench, &bench.of_sample("greet-party", &both)).await;

    assert_eq!(
        names(&library),
        [format!("libgreet-1.0.0-1-{}.pkg.tar.zst", std::env::consts::ARCH)]
    );
    assert!(member(&party[0], "usr/share/greet-party/guests").contains("Hello, Grace!"));
    let installed = member(&program[0], ".BUILDINFO");
    assert!(
        installed.contains("installed = libgreet-1.0.0-1-"),
        "{installed}\n{}",
        log(&linked)
    );
    assert!(member(&program[0], ".PKGINFO").contains("builddate = 1700000000"));
}

#[tokio::test]
async fn a_program_does_not_build_without_its_library() {
    let bench = Bench::new();
    let attempt = bench.of_sample("greet", &[]);
    must(&attempt, RunStage::Prepare).await;
    let (class, _) = must_fail(&attempt, RunStage::Build).await;
    assert_eq!(class, FailureClass::Build);
}

#[tokio::test]
async fn a_dependency_that_cannot_be_installed_is_the_workers_fault() {
    let bench = Bench::new();
    let garbage = bench.root.path().join("libgreet-1.0.0-1-x86_64.pkg.tar.zst");
    std::fs::write(&garbage, "no archive").unwrap();
    let attempt = bench.of_sample("greet", &[garbage]);
    let (class, reason) = must_fail(&attempt, RunStage::Prepare).await;
    assert_eq!(class, FailureClass::Sandbox);
    assert!(reason.contains("cannot install"), "{reason}");
}

/// A folder whose source is signed by a fresh key, and the key's fingerprint.
fn signed_source() -> (tempfile::TempDir, String) {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg")
            .args([
                "--batch",
                "--quiet",
                "--passphrase",
                "",
                "--pinentry-mode",
                "loopback",
            ])
            .args(arguments)
            .env("GNUPGHOME", home.path())
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    std::fs::write(folder.path().join("data"), "signed").unwrap();
    gpg(&[
        "--quick-generate-key",
        "tester@pacmesh.invalid",
        "ed25519",
        "sign",
        "never",
    ]);
    gpg(&["--detach-sign", "data"]);
    let listing = gpg(&["--with-colons", "--list-keys"]);
    let fingerprint = listing
        .lines()
        .find_map(|line| line.strip_prefix("fpr:::::::::"))
        .unwrap();
    let fingerprint = fingerprint.trim_end_matches(':').to_owned();
    std::fs::create_dir_all(folder.path().join("keys/pgp")).unwrap();
    let key = format!("keys/pgp/{fingerprint}.asc");
    gpg(&["--armor", "--output", &key, "--export"]);
    let _ = Command::new("gpgconf")
        .args(["--kill", "all"])
        .env("GNUPGHOME", home.path())
        .status();
    (folder, fingerprint)
}

#[tokio::test]
async fn a_signed_source_is_checked_with_the_keys_of_the_tree() {
    let bench = Bench::new();
    let (folder, fingerprint) = signed_source();
    let text = format!(
        "pkgname=signed\npkgver=1\npkgrel=1\npkgdesc=test\nurl=https://pacmesh.invalid\narch=(any)\nlicense=(MIT)\n\
         source=(data data.sig)\nsha256sums=(SKIP SKIP)\nvalidpgpkeys=({fingerprint})\npackage() {{ :; }}\n"
    );
    std::fs::write(folder.path().join("PKGBUILD"), text).unwrap();
    must(&bench.of_folder("signed", folder.path(), &[]), RunStage::Prepare).await;

    std::fs::write(folder.path().join("data"), "forged").unwrap();
    let forged = bench.of_folder("forged", folder.path(), &[]);
    let (class, reason) = must_fail(&forged, RunStage::Prepare).await;
    assert_eq!(class, FailureClass::Source);
    assert!(reason.contains("PGP"), "{reason}");
}

#[tokio::test]
async fn an_attempt_is_never_made_over_another() {
    let bench = Bench::new();
    let first = bench.of_sample("hello-script", &[]);
    let spec = bench.spec(&[]);
    let conf = crate::worker::DEFAULT_MAKEPKG_CONF;
    let again = AttemptFolder::create(&bench.attempts(), "hello-script", spec.clone(), conf, &b""[..]);
    assert!(again.is_err());
    assert!(AttemptFolder::create(&bench.attempts(), "../x", spec, conf, &b""[..]).is_err());
    assert_eq!(AttemptFolder::list(&bench.attempts()).unwrap(), ["hello-script"]);
    must(&first, RunStage::Probe).await;
}

#[tokio::test]
async fn the_other_samples_build_too() {
    let bench = Bench::new();
    let mut built = Vec::new();
    for name in [
        "tools-split",
        "hello-script",
        "epoch-clock",
        "checked-sum",
        "patched-motd",
    ] {
        built.extend(build(&bench, &bench.of_sample(name, &[])).await);
    }
    let names = names(&built).join(" ");
    for wanted in [
        "tools-count-0.3-2",
        "tools-shout-0.3-2",
        "epoch-clock-2:1.2.r3-1-any",
        "hello-script-2024.1-1-any",
    ] {
        assert!(names.contains(wanted), "{names}");
    }
    let motd = built.last().unwrap();
    assert!(member(motd, "usr/share/patched-motd/motd.txt").contains("by a mesh"));
    assert!(member(motd, ".INSTALL").contains("post_install"));
}

#[tokio::test]
async fn two_workers_build_the_same_bytes() {
    let (one, other) = (Bench::new(), Bench::new());
    let one = build(&one, &one.of_sample("hello-script", &[])).await;
    let bytes = std::fs::read(&one[0]);
    let other = build(&other, &other.of_sample("hello-script", &[])).await;
    // The benches are gone with their folders if a read fails; both must have been read.
    assert_eq!(bytes.unwrap(), std::fs::read(&other[0]).unwrap());
}

#[tokio::test]
async fn a_failing_function_gives_its_name_to_the_failure() {
    let bench = Bench::new();
    let broken = bench.of_sample("always-fails", &[]);
    must(&broken, RunStage::Prepare).await;
    let (class, reason) = must_fail(&broken, RunStage::Build).await;
    assert_eq!(class, FailureClass::Build);
    assert_eq!(reason, "build() failed, the log says why");
    assert!(log(&broken).contains("nothing_of_this_name"));

    for (id, function, stage, expected) in [
        (
            "bad-prepare",
            "prepare() { false; }\npackage() { :; }",
            RunStage::Prepare,
            FailureClass::Prepare,
        ),
        (
            "bad-check",
            "check() { false; }\npackage() { :; }",
            RunStage::Build,
            FailureClass::Check,
        ),
        (
            "bad-package",
            "package() { false; }",
            RunStage::Build,
            FailureClass::Package,
        ),
        (
            "bad-source",
            "source=(not-there)\nsha256sums=(SKIP)\npackage() { :; }",
            RunStage::Prepare,
            FailureClass::Source,
        ),
    ] {
        let attempt = bench.of_text(id, function);
        if stage == RunStage::Build {
            must(&attempt, RunStage::Prepare).await;
        }
        assert_eq!(must_fail(&attempt, stage).await.0, expected, "{id}");
    }
}

#[tokio::test]
async fn nocheck_skips_the_check() {
    let bench = Bench::new();
    let mut spec = bench.spec(&[]);
    spec.options = BuildOptions {
        nocheck: true,
        ..BuildOptions::default()
    };
    let tree = bench.of_text("unchecked", "check() { false; }\npackage() { :; }");
    // The same tree under other options: only the packed blob is shared.
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        tree.log_path().with_file_name("tree").join("PKGBUILD"),
        folder.path().join("PKGBUILD"),
    )
    .unwrap();
    let packed = crate::source::pack(folder.path(), crate::source::PackOptions::default()).unwrap();
    let blob = std::fs::File::open(packed.file.path()).unwrap();
    let conf = crate::worker::DEFAULT_MAKEPKG_CONF;
    let attempt = AttemptFolder::create(&bench.attempts(), "without-check", spec, conf, blob).unwrap();
    assert_eq!(build(&bench, &attempt).await.len(), 1);
}

#[tokio::test]
async fn a_told_pkgrel_is_built_and_stays_through_pkgver() {
    let bench = Bench::new();
    let attempt = bench.of_sample("epoch-clock", &[]);
    must(&attempt, RunStage::Prepare).await;
    attempt.set_pkgrel("1.4").unwrap();
    must(&attempt, RunStage::Build).await;
    let arch = bench.spec(&[]).arch;
    let probe = srcinfo::parse(&attempt.srcinfo().unwrap(), &arch).unwrap().probe;
    assert_eq!(probe.version.as_str(), "2:1.2.r3-1.4");
    let archives = attempt.archives().unwrap();
    assert_eq!(
        archives[0].file.to_string(),
        "epoch-clock-2:1.2.r3-1.4-any.pkg.tar.zst"
    );
}

#[tokio::test]
async fn a_pkgbuild_that_ignores_its_pkgrel_is_a_mismatch() {
    let bench = Bench::new();
    let attempt = bench.of_text("stubborn", "  pkgrel=7\npackage() { :; }");
    must(&attempt, RunStage::Prepare).await;
    attempt.set_pkgrel("1.1").unwrap();
    let (class, reason) = must_fail(&attempt, RunStage::Build).await;
    assert_eq!(class, FailureClass::Mismatch);
    assert_eq!(reason, "the PKGBUILD was told pkgrel=1.1 and shows pkgrel = 7");
}

#[tokio::test]
async fn a_removed_attempt_leaves_nothing_behind() {
    let bench = Bench::new();
    let attempt = bench.of_text(
        "messy",
        "build() { mkdir a; touch a/b; chmod 0 a; }\npackage() { :; }",
    );
    assert!(matches!(attempt.adopt().unwrap(), Adopted::Idle));
    build(&bench, &attempt).await;
    attempt.remove().unwrap();
    assert!(AttemptFolder::list(&bench.attempts()).unwrap().is_empty());
    attempt.remove().unwrap();
}
