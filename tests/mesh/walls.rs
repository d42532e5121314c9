//! What a PKGBUILD cannot do to the machine that builds it.

use std::{net::TcpListener, process::Command};

use pacmesh_tests::{
    cluster::{COMMAND, Farm, binary},
    fixtures::package,
    wait::wait_for,
};

#[test]
fn a_node_never_writes_down_the_secrets_of_its_connections() {
    let farm = Farm::new();
    let home = farm.path().join("desktop");
    let mut daemon = Command::new(binary());
    daemon.env("SSLKEYLOGFILE", farm.path().join("secrets"));
    daemon.arg("--home").arg(&home).args(["daemon", "--no-mdns"]);
    daemon.args([
        "--listen",
        "127.0.0.1:0",
        "--http-api",
        "127.0.0.1:0",
        "--http-repo",
        "127.0.0.1:0",
    ]);
    let mut daemon = daemon.spawn().expect("a daemon");

    wait_for("the daemon to answer", COMMAND, || {
        let status = Command::new(binary())
            .arg("--home")
            .arg(&home)
            .args(["status", "--json"])
            .output();
        status.is_ok_and(|said| said.status.success()).then_some(())
    });

    let variables = std::fs::read(format!("/proc/{}/environ", daemon.id())).expect("its environment");
    let variables = String::from_utf8_lossy(&variables);
    assert!(!variables.contains("SSLKEYLOGFILE"), "{variables}");
    daemon.kill().expect("a daemon that runs");
    daemon.wait().expect("its end");
}

#[test]
fn a_build_reads_neither_home_nor_keys_and_reaches_no_network() {
    let farm = Farm::new();
    let node = farm.founder("desktop");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let home = node.home.display();
    assert!(
        node.home.join("secrets/identity.key").exists(),
        "there is a key to be read"
    );
    let tries = format!(
        "try() {{\n  if \"$@\"; then echo \"got through: $*\" >&2; return 1; fi 2>/dev/null\n}}\n\
         connect() {{ (exec 3<>/dev/tcp/127.0.0.1/{port}); }}\n\
         build() {{\n  try ls '{home}' || return 1\n  try cat '{home}/secrets/identity.key' || return 1\n  \
         try connect || return 1\n  try cat /root/.bashrc || return 1\n  test \"$EUID\" != 0\n}}"
    );

    node.build(&[package(farm.path(), "nosy", &tries)]).ok();

    assert_eq!(node.job("nosy").expect("the job")["state"], "published");
}
