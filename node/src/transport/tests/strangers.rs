//! Whoever is not a member gets nothing and costs little (invariant 5).

use std::time::{Duration, Instant};

use pacmesh_protocol::entry::{ALPN, CREDENTIAL_LIMIT};
use quinn::Connection;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::{
    frame::{encode_frame, read_frame},
    transport::{DialError, endpoint::Endpoint, greeting::Greeting},
};

/// A stranger's whole time: its hello, and the refusal.
const BOUND: Duration = Duration::from_secs(6);

/// Somebody with a key and a socket, before any greeting.
async fn stranger(at: &TestNode) -> (Endpoint, Connection) {
    let endpoint = Endpoint::dialling(Identity::new(&[99; 32]).unwrap()).unwrap();
    let (connection, _) = endpoint.connect(at.address(), Some(at.id), ALPN).await.unwrap();
    (endpoint, connection)
}

async fn is_thrown_out(connection: &Connection, at: &TestNode) {
    tokio::time::timeout(BOUND, connection.closed())
        .await
        .expect("thrown out in time");
    assert!(at.transport.connected().is_empty());
    assert!(at.double.script(|script| script.requests.is_empty()));
}

#[tokio::test]
async fn inv5_another_key_than_the_expected_one_is_not_talked_to() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    let error = a.transport.dial(Some(id_of(3)), b.address()).await.unwrap_err();
    let DialError::WrongKey { expected, found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((expected, found), (id_of(3), b.id));
    assert!(b.double.script(|script| script.greeted.is_empty()));
}

#[tokio::test]
async fn inv5_a_refused_hello_tells_its_reason_to_the_one_who_dialled() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    b.double
        .script(|script| script.suspended = BTreeSet::from([a.id]));
    let error = a.asks(&b).await.unwrap_err();
    assert!(chain(&error).contains("you are suspended"), "{}", chain(&error));
    assert!(b.transport.connected().is_empty() && a.transport.connected().is_empty());
    assert!(b.double.script(|script| script.requests.is_empty()));
    // The listener judges first, so the dialler has not judged at all.
    assert!(a.double.script(|script| script.greeted.is_empty()));
}

#[tokio::test]
async fn inv5_the_dialler_judges_too() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    a.double
        .script(|script| script.suspended = BTreeSet::from([b.id]));
    let error = a.asks(&b).await.unwrap_err();
    assert!(matches!(
        error,
        crate::transport::RequestError::Dial {
            source: DialError::NotAdmitted { .. },
            ..
        }
    ));
    wait_for("both sides let go", || b.transport.open_connections() == 0).await;
    assert!(b.transport.connected().is_empty());
}

#[tokio::test]
async fn inv5_a_request_in_place_of_a_hello_is_not_read() {
    let node = TestNode::start(1);
    let (_endpoint, connection) = stranger(&node).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let frame = encode_frame(&Request::TreeTop, 1024).unwrap();
    AsyncWriteExt::write_all(&mut send, &frame).await.unwrap();
    is_thrown_out(&connection, &node).await;
    assert!(node.double.script(|script| script.greeted.is_empty()));
}

#[tokio::test]
async fn inv5_a_stranger_may_open_one_stream_and_no_second_one() {
    let node = TestNode::start(1);
    let (_endpoint, connection) = stranger(&node).await;
    let _first = connection.open_bi().await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(second.is_err(), "a second stream was granted");
    assert!(
        tokio::time::timeout(Duration::from_millis(300), connection.open_uni())
            .await
            .is_err()
    );
    is_thrown_out(&connection, &node).await;
}

#[tokio::test]
async fn inv5_who_says_nothing_is_thrown_out_in_time() {
    let node = TestNode::start(1);
    let began = Instant::now();
    let (_endpoint, connection) = stranger(&node).await;
    is_thrown_out(&connection, &node).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "no time to say hello");
}

#[tokio::test]
async fn inv5_bytes_that_trickle_do_not_prolong_the_time() {
    let node = TestNode::start(1);
    let (_endpoint, connection) = stranger(&node).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let announced = u32::try_from(CREDENTIAL_LIMIT).unwrap().to_be_bytes();
    AsyncWriteExt::write_all(&mut send, &announced).await.unwrap();
    AsyncWriteExt::write_all(&mut send, &[0, 1]).await.unwrap();
    let trickle = async {
        while AsyncWriteExt::write_all(&mut send, &[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BOUND, trickle)
        .await
        .expect("thrown out in time");
    is_thrown_out(&connection, &node).await;
}

#[tokio::test]
async fn inv5_an_oversized_hello_is_refused_before_it_is_read() {
    let node = TestNode::start(1);
    let began = Instant::now();
    let (_endpoint, connection) = stranger(&node).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    AsyncWriteExt::write_all(&mut send, &(1_u32 << 20).to_be_bytes())
        .await
        .unwrap();
    is_thrown_out(&connection, &node).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "its bytes were waited for"
    );
}

#[tokio::test]
async fn inv5_another_protocol_finds_nobody() {
    let node = TestNode::start(1);
    let endpoint = Endpoint::dialling(Identity::new(&[99; 32]).unwrap()).unwrap();
    let error = endpoint.connect(node.address(), None, b"h3").await.unwrap_err();
    assert!(chain(&error).contains("protocol"), "{}", chain(&error));
}

#[tokio::test]
async fn inv5_many_silent_strangers_leave_room_for_a_member() {
    let (node, member) = (TestNode::start(1), TestNode::start(2));
    let endpoint = Endpoint::dialling(Identity::new(&[99; 32]).unwrap()).unwrap();
    let silent = (0..40).map(|_| endpoint.connect(node.address(), None, ALPN));
    let silent = futures::future::join_all(silent).await;
    let held = silent.iter().filter(|result| result.is_ok()).count();
    assert!(held <= 24, "{held} handshakes of one address at once");
    member.knows(&node);
    // Its address is the same, so it has to wait until they are thrown out, and not longer.
    let deadline = Instant::now() + LIMIT;
    while member.asks(&node).await.is_err() {
        assert!(Instant::now() < deadline, "the member was locked out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_two_first_words_are_a_greeting_and_a_verdict() {
    let node = TestNode::start(1);
    let (_endpoint, connection) = stranger(&node).await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let hello = Greeting::Hello(Box::new(node.double.hello(None).await));
    AsyncWriteExt::write_all(&mut send, &encode_frame(&hello, 1024).unwrap())
        .await
        .unwrap();
    let answer: Option<Greeting> = read_frame(&mut recv, 1024).await.unwrap();
    assert!(matches!(answer, Some(Greeting::Hello(_))));
    // Until this side has said that it admits the node, the node does not take it for connected.
    assert!(node.transport.connected().is_empty());
    AsyncWriteExt::write_all(&mut send, &encode_frame(&Greeting::Admitted, 64).unwrap())
        .await
        .unwrap();
    wait_for("connected", || node.transport.connected() == [id_of(99)]).await;
}
