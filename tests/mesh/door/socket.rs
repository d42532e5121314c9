//! The socket of the API.

use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use pacmesh_tests::cluster::{COMMAND, Farm};

#[test]
fn whoever_may_open_the_socket_may_do_everything() {
    let farm = Farm::new();
    let mut node = farm.node("desktop");
    let socket = farm.path().join("http.sock");
    std::fs::create_dir_all(&node.home).expect("a home");
    let text = format!("[http]\nsocket = {socket:?}\n");
    std::fs::write(node.home.join("config.toml"), text).expect("a configuration");
    node.start();
    node.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
    node.wait_until_led();

    let mode = std::fs::metadata(&socket)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    let ask = |head: &str| {
        let mut stream = UnixStream::connect(&socket).expect("the socket");
        stream.set_read_timeout(Some(COMMAND)).expect("a socket");
        let request = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("to ask");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("GET /api/v1/distributed").starts_with("HTTP/1.1 200"));
    assert!(ask("GET /nothing").starts_with("HTTP/1.1 404"));
}
