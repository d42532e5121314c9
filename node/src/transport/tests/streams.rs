//! What members send each other beyond plain requests: oversized frames, logs, many requests at once.

use std::time::Duration;

use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::transport::{RequestError, connection::Link, greeting};

/// A connected peer that is free to misbehave.
async fn rogue(at: &TestNode) -> (crate::transport::endpoint::Endpoint, Link) {
    let endpoint = crate::transport::endpoint::Endpoint::dialling(Identity::new(&[99; 32]).unwrap()).unwrap();
    let (connection, peer) = endpoint
        .connect(at.address(), Some(at.id), pacmesh_protocol::entry::ALPN)
        .await
        .unwrap();
    let incarnation = greeting::dialler(&connection, peer, &Double::default())
        .await
        .unwrap();
    (endpoint, Link::new(connection, peer, true, incarnation))
}

#[tokio::test]
async fn inv5_an_oversized_request_of_a_member_ends_its_stream_only() {
    let node = TestNode::start(1);
    let (_endpoint, link) = rogue(&node).await;
    let (mut send, mut recv) = link.connection.open_bi().await.unwrap();
    AsyncWriteExt::write_all(&mut send, &(2_u32 << 20).to_be_bytes())
        .await
        .unwrap();
    assert!(recv.read_to_end(1024).await.is_ok_and(|bytes| bytes.is_empty()));
    let frame = encode_request(&Request::TreeTop);
    let mut answer = link.send(&frame).await.unwrap().unwrap();
    assert_eq!(link.reply(&mut answer).await.unwrap(), Reply::Done);
}

fn encode_request(request: &Request) -> Vec<u8> {
    crate::frame::encode_frame(request, 1 << 20).unwrap()
}

#[tokio::test]
async fn inv5_a_member_has_at_most_64_requests_under_way() {
    let node = TestNode::start(1);
    let answering = Arc::new(tokio::sync::Semaphore::new(0));
    node.double.script(|script| script.answering = answering.clone());
    let (_endpoint, link) = rogue(&node).await;
    let frame = encode_request(&Request::TreeTop);
    let mut answers = Vec::new();
    while let Ok(answer) = tokio::time::timeout(Duration::from_millis(500), link.send(&frame)).await {
        answers.push(answer.unwrap().unwrap());
        assert!(answers.len() < 1000, "no end of streams");
    }
    let most = answers.len();
    // Credit for streams that ended comes back in lots, so it may be a few less.
    assert!((56..=64).contains(&most), "{most}");
    wait_for("all have come", || {
        node.double.script(|script| script.requests.len()) == most
    })
    .await;
    answering.add_permits(1000);
    for answer in &mut answers {
        assert_eq!(link.reply(answer).await.unwrap(), Reply::Done);
    }
    // What was answered makes room.
    drop(answers);
    let mut answer = link.send(&frame).await.unwrap().unwrap();
    assert_eq!(link.reply(&mut answer).await.unwrap(), Reply::Done);
}

#[tokio::test]
async fn a_log_comes_in_order_and_ends_with_its_end() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    let long = Bytes::from(vec![b'x'; 200_000]);
    b.double
        .script(|script| script.log = vec![Ok("one".into()), Ok(long.clone()), Ok("end".into())]);
    let log = a.transport.open_log(b.id, JobId([0; 32]), 0, true).await.unwrap();
    let text: Vec<u8> = log
        .try_fold(Vec::new(), async |all, piece| Ok([all, piece.to_vec()].concat()))
        .await
        .unwrap();
    assert_eq!(text, [b"one", &long[..], b"end"].concat());
}

#[tokio::test]
async fn a_log_that_is_cut_off_ends_with_an_error() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    b.double
        .script(|script| script.log = vec![Ok("one".into()), Err(io::ErrorKind::BrokenPipe)]);
    let log = a.transport.open_log(b.id, JobId([0; 32]), 0, true).await.unwrap();
    let pieces: Vec<_> = log.collect().await;
    let [Ok(first), Err(_)] = &pieces[..] else {
        panic!("{pieces:?}")
    };
    assert_eq!(first, "one");
}

#[tokio::test]
async fn a_log_that_is_not_there_is_refused_with_the_reason() {
    let (a, b) = (TestNode::start(1), TestNode::start(2));
    a.knows(&b);
    let result = a.transport.open_log(b.id, JobId([0; 32]), 5000, false).await;
    let Err(RequestError::Refused { reason, .. }) = result else {
        panic!("not refused")
    };
    assert_eq!(reason, "there is no such log");
}
