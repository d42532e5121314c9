//! Two members meet, ask each other, and part.

use std::time::Duration;

use tokio::sync::broadcast::Receiver;

use super::*;
use crate::transport::{DialError, PeerEvent, RequestError};

async fn next(events: &mut Receiver<PeerEvent>) -> PeerEvent {
    tokio::time::timeout(LIMIT, events.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_request_dials_a_known_address_and_returns_with_its_reply() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    let reply = a.asks(&b).await.unwrap();
    assert_eq!(
        reply,
        Reply::Blobs {
            blobs: vec![Digest::of(b"x")]
        }
    );
    assert_eq!(b.double.script(|script| script.requests[0].0), a.id);
    assert_eq!(a.transport.connected(), [b.id]);
    // The connection carries both directions: b was never told an address of a.
    wait_for("b knows", || b.transport.connected() == [a.id]).await;
    assert!(b.asks(&a).await.is_ok());
    assert_eq!(a.transport.open_connections(), 1);
}

#[tokio::test]
async fn a_node_without_a_known_address_is_out_of_reach_at_once() {
    let a = TestNode::start(1);
    let error = a
        .transport
        .request(id_of(9), &Request::TreeTop, LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RequestError::Dial {
                source: DialError::NoAddress(_),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn the_first_address_that_answers_is_taken() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stranger = TestNode::start(3);
    a.transport.set_addresses(
        b.id,
        vec![silent.local_addr().unwrap(), stranger.address(), b.address()],
    );
    assert!(a.asks(&b).await.is_ok());
}

#[tokio::test]
async fn bootstrap_learns_who_is_there_and_oneself_is_not_dialled() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    assert_eq!(a.transport.dial(None, b.address()).await.unwrap(), b.id);
    assert_eq!(a.transport.dial(None, b.address()).await.unwrap(), b.id);
    let error = a.transport.dial(None, a.address()).await.unwrap_err();
    assert!(matches!(error, DialError::Oneself(_)), "{error}");
    wait_for("one is left", || a.transport.open_connections() == 1).await;
}

#[tokio::test]
async fn simultaneous_dials_leave_one_connection_and_lose_no_request() {
    for round in 0..10 {
        let (a, b) = (TestNode::start(10 + round), TestNode::start(50 + round));
        a.knows(&b);
        b.knows(&a);
        let asked = futures::join!(a.asks(&b), b.asks(&a), a.asks(&b), b.asks(&a));
        asked.0.and(asked.1).and(asked.2).and(asked.3).unwrap();
        wait_for("one connection is left on both sides", || {
            a.transport.open_connections() == 1 && b.transport.open_connections() == 1
        })
        .await;
        assert!(a.asks(&b).await.is_ok() && b.asks(&a).await.is_ok());
        assert_eq!(
            (a.transport.open_connections(), b.transport.open_connections()),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn a_request_that_is_under_way_when_a_second_connection_comes_is_answered() {
    // The lower id dials second, so that its connection takes over.
    let (mut low, mut high) = (TestNode::start(1), TestNode::start(2));
    if high.id < low.id {
        std::mem::swap(&mut low, &mut high);
    }
    low.double
        .script(|script| script.answering = Arc::new(tokio::sync::Semaphore::new(0)));
    high.knows(&low);
    let slow = high.asks(&low);
    let second = async {
        wait_for("the request is there", || {
            low.double.script(|script| script.requests.len() == 1)
        })
        .await;
        let identity = Identity::new(&[if low.id == id_of(1) { 1 } else { 2 }; 32]).unwrap();
        let endpoint = crate::transport::endpoint::Endpoint::dialling(identity).unwrap();
        let (connection, peer) = endpoint
            .connect(high.address(), Some(high.id), pacmesh_protocol::entry::ALPN)
            .await
            .unwrap();
        crate::transport::greeting::dialler(&connection, peer, &low.double)
            .await
            .unwrap();
        wait_for("both are open", || high.transport.open_connections() == 2).await;
        low.double.script(|script| script.answering.add_permits(1));
        (endpoint, connection)
    };
    let (reply, _kept) = futures::join!(slow, second);
    reply.unwrap();
}

#[tokio::test]
async fn a_restarted_node_takes_the_place_of_its_former_life() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    let mut events = b.transport.events();
    a.transport.dial(Some(b.id), b.address()).await.unwrap();
    assert_eq!(next(&mut events).await, PeerEvent::Connected(a.id));
    // Another socket of the same key: the old connection stays open, as after a crash.
    let reborn = Double::default();
    reborn.script(|script| script.incarnation = 2);
    let again = TestNode::start_at(1, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), reborn);
    again.transport.dial(Some(b.id), b.address()).await.unwrap();
    assert_eq!(next(&mut events).await, PeerEvent::Disconnected(a.id));
    assert_eq!(next(&mut events).await, PeerEvent::Connected(a.id));
    b.asks(&again).await.unwrap();
    assert_eq!(again.double.script(|script| script.requests.len()), 1);
}

#[tokio::test]
async fn a_barred_node_is_cut_off_at_once_and_stays_out() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    b.knows(&a);
    a.asks(&b).await.unwrap();
    wait_for("both are connected", || b.transport.connected() == [a.id]).await;
    let mut events = a.transport.events();
    b.transport.bar(BTreeSet::from([a.id]));
    assert_eq!(next(&mut events).await, PeerEvent::Disconnected(b.id));
    assert!(b.transport.connected().is_empty());
    let error = b.asks(&a).await.unwrap_err();
    assert!(
        chain(&error).contains("suspended or revoked"),
        "{}",
        chain(&error)
    );
    assert!(a.asks(&b).await.is_err());
    b.transport.bar(BTreeSet::new());
    a.asks(&b).await.unwrap();
}

#[tokio::test]
async fn a_disconnected_node_may_come_back() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    a.asks(&b).await.unwrap();
    let mut events = a.transport.events();
    a.transport.disconnect(b.id, "for a test");
    assert_eq!(next(&mut events).await, PeerEvent::Disconnected(b.id));
    a.asks(&b).await.unwrap();
}

#[tokio::test]
async fn a_request_without_reply_ends_with_its_time() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    b.double
        .script(|script| script.answering = Arc::new(tokio::sync::Semaphore::new(0)));
    a.knows(&b);
    let limit = Duration::from_millis(200);
    let error = a
        .transport
        .request(b.id, &Request::TreeTop, limit)
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn closing_answers_what_is_under_way_and_ends_every_connection() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    let answering = Arc::new(tokio::sync::Semaphore::new(0));
    b.double.script(|script| script.answering = answering.clone());
    a.knows(&b);
    let closing = async {
        wait_for("the request is there", || {
            b.double.script(|script| script.requests.len() == 1)
        })
        .await;
        let closing = b.transport.close();
        answering.add_permits(1);
        closing.await;
    };
    let (reply, ()) = futures::join!(a.asks(&b), closing);
    reply.unwrap();
    assert_eq!(b.transport.open_connections(), 0);
    let error = b.asks(&a).await.unwrap_err();
    assert!(chain(&error).contains("stopping"), "{}", chain(&error));
    wait_for("a knows", || a.transport.connected().is_empty()).await;
}

#[tokio::test]
async fn the_last_handle_takes_the_transport_with_it() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    a.asks(&b).await.unwrap();
    let address = b.address();
    drop(b);
    wait_for("a knows", || a.transport.connected().is_empty()).await;
    wait_for("the socket is free", || {
        std::net::UdpSocket::bind(address).is_ok()
    })
    .await;
}
