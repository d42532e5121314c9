//! What a build cannot see, reach or leave behind.

use std::{fs, net::TcpListener};

use pacmesh_protocol::work::FailureClass;

use super::kit::{Bench, SECRET, build, log, must, must_fail};
use crate::worker::attempt::RunStage;

/// Each line of `checks` must fail in `build()`.
fn must_all_fail(checks: &[String]) -> String {
    let mut functions = String::from("build() {\n");
    for check in checks {
        functions.push_str(&format!(
            "  if {{ {check}; }}; then echo LEAK: '{}'; return 1; fi\n",
            check.replace('\'', "")
        ));
    }
    functions.push_str("}\npackage() { :; }\n");
    functions
}

#[tokio::test]
async fn a_build_reads_no_home_no_key_and_no_secret() {
    let bench = Bench::new();
    let key = bench.root.path().join("identity.key");
    fs::write(&key, "secret").unwrap();
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let mut checks: Vec<String> = [
        home.as_str(),
        "/root",
        "/srv",
        "/mnt",
        "/boot",
        "/sys/kernel",
        "/etc/shadow",
    ]
    .iter()
    .filter(|path| **path != "/home/builder")
    .map(|path| format!("test -e {path}"))
    .collect();
    checks.push(format!("test -e {}", key.display()));
    checks.push(format!("test -e {}", bench.attempts().display()));
    checks.push(format!("env | grep {SECRET}"));
    checks.push(format!("cat /proc/*/environ 2>/dev/null | grep -a {SECRET}"));
    checks.push("grep -v -e ^root: -e ^builder: -e ^nobody: /etc/passwd".to_owned());
    let attempt = bench.of_text("curious", &must_all_fail(&checks));
    build(&bench, &attempt).await;
}

#[tokio::test]
async fn a_build_is_not_root_and_writes_only_where_it_may() {
    let bench = Bench::new();
    let checks: Vec<String> = [
        "test $(id -u) = 0",
        "touch /usr/x",
        "touch /etc/x",
        "touch /x",
        "touch /opt/x",
        "touch /startdir/PKGBUILD",
        "mount -t tmpfs none /build",
        "grep -q NoNewPrivs.0 /proc/self/status",
        "ls /dev | grep -e sd -e vd -e nvme -e kmsg -e mem",
    ]
    .map(str::to_owned)
    .into();
    let attempt = bench.of_text("pushy", &must_all_fail(&checks));
    build(&bench, &attempt).await;
    if rustix::process::geteuid().is_root() {
        use std::os::unix::fs::MetadataExt;
        let tree = attempt.log_path().with_file_name("tree");
        let uid = fs::metadata(tree).unwrap().uid();
        assert!((0x7fe0_0000..0x7ff0_0000).contains(&uid), "{uid:#x}");
    }
}

#[tokio::test]
async fn sources_are_fetched_with_network_and_built_without() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!(": < /dev/tcp/127.0.0.1/{}", listener.local_addr().unwrap().port());
    let functions = format!(
        "prepare() {{ {connect}; }}\n{}",
        must_all_fail(std::slice::from_ref(&connect))
    );
    let attempt = bench.of_text("networked", &functions);
    build(&bench, &attempt).await;
}

#[tokio::test]
async fn a_probe_has_no_network() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text =
        format!("if (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null; then pkgver=LEAK; fi\npackage() {{ :; }}");
    let attempt = bench.of_text("calling", &text);
    must(&attempt, RunStage::Probe).await;
    assert!(
        attempt.srcinfo().unwrap().contains("pkgver = 1\n"),
        "{}",
        log(&attempt)
    );
}

#[tokio::test]
async fn inv7_only_plain_files_with_package_names_come_out() {
    let bench = Bench::new();
    let attempt = bench.of_text(
        "smuggler",
        "build() {\n\
           ln -s /etc/passwd /pkgdest/linked-1-1-any.pkg.tar.zst\n\
           ln -s /proc/1/environ /pkgdest/environ-1-1-any.pkg.tar.zst\n\
           mkfifo /pkgdest/piped-1-1-any.pkg.tar.zst\n\
           mkdir /pkgdest/folder-1-1-any.pkg.tar.zst\n\
           echo x > /pkgdest/no-package\n\
         }\n\
         package() { :; }",
    );
    must(&attempt, RunStage::Prepare).await;
    must(&attempt, RunStage::Build).await;
    let archives = attempt.archives().unwrap();
    let names: Vec<_> = archives.iter().map(|archive| archive.file.to_string()).collect();
    assert_eq!(names, ["smuggler-1-1-any.pkg.tar.zst"]);
}

#[tokio::test]
async fn inv7_a_pkgbuild_replaced_by_a_link_is_neither_followed_nor_mounted() {
    let bench = Bench::new();
    let victim = bench.root.path().join("victim");
    fs::write(&victim, "pkgrel=1\n").unwrap();
    let functions = format!(
        "prepare() {{ ln -sf {} /startdir/PKGBUILD; }}\npackage() {{ :; }}",
        victim.display()
    );
    let attempt = bench.of_text("swapper", &functions);
    let (class, _) = must_fail(&attempt, RunStage::Prepare).await;
    assert!(!class.is_workers_fault(), "{class:?}");
    assert!(attempt.set_pkgrel("9").is_err());
    let (class, _) = must_fail(&attempt, RunStage::Build).await;
    assert_eq!(class, FailureClass::Prepare);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "pkgrel=1\n");
}
