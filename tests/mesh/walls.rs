//! What a PKGBUILD cannot do to the machine that builds it.

use std::net::TcpListener;

use pacmesh_tests::{cluster::Farm, fixtures::package};

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
