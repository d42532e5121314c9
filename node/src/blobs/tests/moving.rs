//! Blobs on their way between nodes.

use std::io;

use futures::TryStreamExt;
use pacmesh_protocol::ids::{Digest, NodeId};

use super::{
    super::{FetchError, Fetcher, GROUP, part::Part},
    *,
};
use crate::transport::tests::{LIMIT, TestNode, chain, wait_for};

/// A node that fetches, and knows the others.
fn getter(others: &[&TestNode]) -> (TestNode, Fetcher) {
    let node = TestNode::start(100);
    for other in others {
        node.knows(other);
    }
    let fetcher = Fetcher::new(node.blobs.clone(), node.transport.clone());
    (node, fetcher)
}

async fn text(stream: futures::stream::BoxStream<'static, io::Result<bytes::Bytes>>) -> io::Result<Vec<u8>> {
    stream
        .try_fold(Vec::new(), async |mut all, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn blobs_of_every_shape_arrive_as_they_were() {
    let sender = TestNode::start(1);
    let (node, fetcher) = getter(&[&sender]);
    let group = GROUP as usize;
    for size in [
        0,
        1,
        group - 1,
        group,
        group + 1,
        2 * group,
        5 * group + 3,
        1 << 20,
        (9 << 20) + 17,
    ] {
        let data = bytes(size, size as u64);
        let digest = sender.blobs.put_bytes(data.clone()).await.unwrap();
        fetcher.fetch(&digest, &[sender.id]).await.unwrap();
        assert_eq!(node.blobs.read(&digest, 1 << 30).await.unwrap(), data, "{size}");
        // What arrived can be passed on, hash tree and all.
        let (head, stream) = fetcher.stream(&digest, &[]).await.unwrap();
        assert_eq!((head, text(stream).await.unwrap()), (size as u64, data));
    }
    assert!(
        files(node.folder.path())
            .iter()
            .all(|file| !file.starts_with("parts"))
    );
    let third = TestNode::start(3);
    third.knows(&node);
    let onward = Fetcher::new(third.blobs.clone(), third.transport.clone());
    let all = node.blobs.list().await.unwrap();
    assert!(onward.fetch_all(&all, &[node.id]).await.is_empty());
    assert_eq!(third.blobs.list().await.unwrap(), all);
}

#[tokio::test]
async fn inv5_a_corrupted_byte_is_caught_at_its_group_and_another_node_goes_on_from_there() {
    let (liar, honest) = (TestNode::start(1), TestNode::start(2));
    let (node, fetcher) = getter(&[&liar, &honest]);
    let data = bytes(6 << 20, 1);
    let digest = liar.blobs.put_bytes(data.clone()).await.unwrap();
    honest.blobs.put_bytes(data.clone()).await.unwrap();
    let wrong = 4 * (1 << 20) + 5 * GROUP + 77;
    liar.blobs.lie();
    damage(&liar.blobs.path(&digest).unwrap(), wrong);

    let error = fetcher.fetch(&digest, &[liar.id]).await.unwrap_err();
    assert!(error.to_string().contains("do not belong to the blob"), "{error}");
    assert!(!node.blobs.has(&digest));
    // Kept is exactly what precedes the group with the wrong byte.
    let before = wrong / GROUP * GROUP;
    assert_eq!(Part::progress(&node.blobs, &digest), Some((6 << 20, before)));
    assert_eq!(fetcher.received(), before);

    fetcher.fetch(&digest, &[liar.id, honest.id]).await.unwrap();
    assert_eq!(node.blobs.read(&digest, 1 << 30).await.unwrap(), data);
    assert_eq!(fetcher.received(), 6 << 20, "a byte was sent twice");
}

#[tokio::test]
async fn a_corrupted_hash_tree_is_caught_too() {
    let liar = TestNode::start(1);
    let (node, fetcher) = getter(&[&liar]);
    let digest = liar.blobs.put_bytes(bytes(1 << 20, 1)).await.unwrap();
    liar.blobs.lie();
    damage(&liar.blobs.path(&digest).unwrap().with_extension("obao4"), 64 * 3);
    let error = fetcher.fetch(&digest, &[liar.id]).await.unwrap_err();
    assert!(error.to_string().contains("do not belong to the blob"), "{error}");
    assert!(!node.blobs.has(&digest));
}

#[tokio::test]
async fn a_lost_hash_tree_is_made_anew() {
    let sender = TestNode::start(1);
    let (_node, fetcher) = getter(&[&sender]);
    let digest = sender.blobs.put_bytes(bytes(1 << 20, 1)).await.unwrap();
    std::fs::remove_file(sender.blobs.path(&digest).unwrap().with_extension("obao4")).unwrap();
    fetcher.fetch(&digest, &[sender.id]).await.unwrap();
}

#[tokio::test]
async fn inv8_a_transfer_that_was_cut_goes_on_where_it_stopped_after_a_restart() {
    let (first, second) = (TestNode::start(1), TestNode::start(2));
    let (node, fetcher) = getter(&[&first, &second]);
    let size = 48 << 20;
    let data = bytes(size, 1);
    let digest = first.blobs.put_bytes(data.clone()).await.unwrap();
    second.blobs.put_bytes(data).await.unwrap();

    let from = [first.id];
    let fetching = fetcher.fetch(&digest, &from);
    let cutting = async {
        let progress = || Part::progress(&node.blobs, &digest).map_or(0, |(_, done)| done);
        wait_for("something is durable", || progress() > 0).await;
        // A crash of the sender: no farewell.
        drop(first);
    };
    let (result, ()) = futures::join!(fetching, cutting);
    result.unwrap_err();
    drop(fetcher);

    // A restart of the receiver: the store is opened anew and knows only what is on disk.
    let reopened = open(node.folder.path());
    let (_, kept) = Part::progress(&reopened, &digest).unwrap();
    assert!(kept > 0 && kept < size as u64, "{kept}");
    let fetcher = Fetcher::new(reopened.clone(), node.transport.clone());
    fetcher.fetch(&digest, &[second.id]).await.unwrap();
    assert_eq!(fetcher.received(), size as u64 - kept);
    reopened.verify(&digest).await.unwrap();
}

#[tokio::test]
async fn who_asks_for_a_blob_that_is_on_its_way_joins_in_and_adds_its_nodes() {
    let (empty, sender) = (TestNode::start(1), TestNode::start(2));
    let (_node, fetcher) = getter(&[&empty, &sender]);
    let size = 20 << 20;
    let digest = sender.blobs.put_bytes(bytes(size, 1)).await.unwrap();
    let (one, two): ([NodeId; 2], [NodeId; 1]) = ([empty.id, sender.id], [sender.id]);
    let all = futures::join!(
        fetcher.fetch(&digest, &one),
        fetcher.fetch(&digest, &two),
        fetcher.fetch(&digest, &two)
    );
    all.0.and(all.1).and(all.2).unwrap();
    assert_eq!(fetcher.received(), size as u64);
    fetcher.fetch(&digest, &[]).await.unwrap();
    assert_eq!(fetcher.received(), size as u64);
}

#[tokio::test]
async fn many_blobs_come_at_once_and_what_nobody_has_is_named() {
    let sender = TestNode::start(1);
    let (node, fetcher) = getter(&[&sender]);
    let mut digests = Vec::new();
    for seed in 0..40 {
        digests.push(sender.blobs.put_bytes(bytes(300_000, seed)).await.unwrap());
    }
    let nowhere = Digest([9; 32]);
    digests.push(nowhere);
    let missing = fetcher.fetch_all(&digests, &[sender.id]).await;
    let [(digest, FetchError::Unavailable { tried, .. })] = &missing[..] else {
        panic!("{missing:?}")
    };
    assert_eq!((digest, &tried[0].1[..]), (&nowhere, "it does not have it"));
    assert_eq!(node.blobs.list().await.unwrap().len(), 40);
    let error = fetcher.fetch(&nowhere, &[]).await.unwrap_err();
    assert!(error.to_string().contains("nobody is known"), "{error}");
}

#[tokio::test]
async fn inv5_a_sender_serves_eight_streams_of_one_node_and_no_more() {
    let sender = TestNode::start(1);
    let (node, _fetcher) = getter(&[&sender]);
    let digest = sender.blobs.put_bytes(bytes(32 << 20, 1)).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(node.transport.open_blob(sender.id, digest, 0).await.unwrap());
    }
    let ninth = node.transport.open_blob(sender.id, digest, 0).await.unwrap();
    assert_eq!(*ninth.head(), pacmesh_protocol::wire::BlobHead::Busy);
    // Whoever is told so waits and asks again.
    let fetcher = Fetcher::new(node.blobs.clone(), node.transport.clone());
    let letting_go = async {
        tokio::task::yield_now().await;
        held.clear();
    };
    let from = [sender.id];
    let (result, ()) = futures::join!(fetcher.fetch(&digest, &from), letting_go);
    result.unwrap();
}

#[tokio::test]
async fn an_offset_that_is_no_group_of_the_blob_is_not_served() {
    let sender = TestNode::start(1);
    let (node, _fetcher) = getter(&[&sender]);
    let digest = sender.blobs.put_bytes(bytes(40_000, 1)).await.unwrap();
    for offset in [1, GROUP + 1, 3 * GROUP, 1 << 40, u64::MAX] {
        let stream = node.transport.open_blob(sender.id, digest, offset).await.unwrap();
        assert_eq!(
            *stream.head(),
            pacmesh_protocol::wire::BlobHead::Missing,
            "{offset}"
        );
    }
}

#[tokio::test]
async fn bytes_that_pass_through_are_verified_and_another_node_goes_on() {
    let (liar, honest) = (TestNode::start(1), TestNode::start(2));
    let (node, fetcher) = getter(&[&liar, &honest]);
    let data = bytes(3 << 20, 1);
    let digest = liar.blobs.put_bytes(data.clone()).await.unwrap();
    honest.blobs.put_bytes(data.clone()).await.unwrap();
    liar.blobs.lie();
    damage(&liar.blobs.path(&digest).unwrap(), 2 << 20);

    let (size, stream) = fetcher.stream(&digest, &[liar.id, honest.id]).await.unwrap();
    assert_eq!(size, 3 << 20);
    assert_eq!(text(stream).await.unwrap(), data);
    let (_, stream) = fetcher.stream(&digest, &[liar.id]).await.unwrap();
    let error = text(stream).await.unwrap_err();
    assert!(
        chain(&error).contains("do not belong to the blob"),
        "{}",
        chain(&error)
    );
    assert!(files(node.folder.path()).is_empty());
}

#[tokio::test]
async fn a_blob_that_does_not_fit_is_refused_before_it_is_sent() {
    let sender = TestNode::start(1);
    let (node, _) = getter(&[&sender]);
    let digest = sender.blobs.put_bytes(bytes(1 << 20, 1)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let full = BlobStore::open(folder.path(), Reserve::Bytes(1 << 60)).unwrap();
    let fetcher = Fetcher::new(full, node.transport.clone());
    let result = tokio::time::timeout(LIMIT, fetcher.fetch(&digest, &[sender.id]))
        .await
        .unwrap();
    assert!(matches!(result, Err(FetchError::Store(_))), "{result:?}");
    assert_eq!(fetcher.received(), 0);
}

#[tokio::test]
async fn inv5_a_sender_does_not_send_what_is_damaged_and_suspects_it() {
    let sender = TestNode::start(1);
    let (node, fetcher) = getter(&[&sender]);
    let digest = sender.blobs.put_bytes(bytes(1 << 20, 1)).await.unwrap();
    damage(&sender.blobs.path(&digest).unwrap(), 500_000);
    fetcher.fetch(&digest, &[sender.id]).await.unwrap_err();
    assert!(!node.blobs.has(&digest));
    wait_for("the sender to suspect it", || {
        !sender.blobs.suspects().borrow().is_empty()
    })
    .await;
    assert_eq!(sender.blobs.take_suspect(), Some(digest));
    assert_eq!(sender.blobs.take_suspect(), None);
}

#[tokio::test]
async fn a_blob_that_is_not_for_everybody_comes_only_from_who_may_give_it_and_to_who_may_have_it() {
    let (careful, free) = (TestNode::start(1), TestNode::start(2));
    let (node, fetcher) = getter(&[&careful, &free]);
    let digest = careful.blobs.put_bytes(bytes(100, 1)).await.unwrap();
    careful
        .double
        .script(|script| script.kept_from.push((node.id, digest)));
    assert!(fetcher.fetch(&digest, &[careful.id]).await.is_err());
    assert!(node.blobs.have(vec![digest]).await.unwrap().is_empty());

    free.blobs.put_bytes(bytes(100, 1)).await.unwrap();
    fetcher.fetch(&digest, &[careful.id, free.id]).await.unwrap();
    careful.double.script(|script| script.kept_from.clear());
    let other = TestNode::start(101);
    other.knows(&careful);
    let fetcher = Fetcher::new(other.blobs.clone(), other.transport.clone());
    fetcher.fetch(&digest, &[careful.id]).await.unwrap();
}
