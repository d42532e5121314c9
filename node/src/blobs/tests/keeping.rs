//! What the store keeps, and what not.

use pacmesh_protocol::ids::Digest;

use super::{super::BlobError, *};

#[tokio::test]
async fn the_same_bytes_have_one_name_however_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let data = bytes(3_000_000, 1);
    let source = folder.path().join("source");
    std::fs::write(&source, &data).unwrap();

    let stored = store.put_file(&source).await.unwrap();
    let mut writer = store.writer().await.unwrap();
    for piece in data.chunks(700_001) {
        writer.write(piece).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), stored);
    assert_eq!(store.put_bytes(data.clone()).await.unwrap(), stored.digest);
    assert_eq!((stored.digest, stored.size), (Digest::of(&data), 3_000_000));
    assert_eq!(store.list().await.unwrap(), [stored.digest]);
    assert_eq!(store.read(&stored.digest, 1 << 30).await.unwrap(), data);
    assert_eq!(store.size(&stored.digest).unwrap(), Some(3_000_000));
    assert_eq!(std::fs::read(store.path(&stored.digest).unwrap()).unwrap(), data);
}

#[tokio::test]
async fn nothing_incomplete_has_a_name_or_leaves_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut writer = store.writer().await.unwrap();
    writer.write(&bytes(2 << 20, 1)).await.unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    drop(writer);
    assert!(files(folder.path()).is_empty());
    // As after a crash: the file stays and nobody owns it.
    std::fs::write(folder.path().join("tmp/left-behind"), "x").unwrap();
    std::fs::write(folder.path().join("parts/orphan.data"), "x").unwrap();
    assert!(open(folder.path()).list().await.unwrap().is_empty());
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn inv5_below_the_reserve_nothing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path(), Reserve::Bytes(1 << 60)).unwrap();
    let full = |error: BlobError| {
        matches!(
            error,
            BlobError::NoSpace {
                reserve: 0x1000_0000_0000_0000,
                ..
            }
        )
    };
    assert!(full(store.put_bytes(b"x".to_vec()).await.unwrap_err()));
    assert!(full(store.writer().await.unwrap_err()));
    let source = folder.path().join("source");
    std::fs::write(&source, "x").unwrap();
    assert!(full(store.put_file(&source).await.unwrap_err()));
    std::fs::remove_file(source).unwrap();
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_pinned_blob_stays_until_its_last_pin_is_taken_back_even_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let digest = store.put_bytes(b"wanted".to_vec()).await.unwrap();
    store.pin(&digest, "job:1").await.unwrap();
    store.pin(&digest, "submission").await.unwrap();
    store.pin(&digest, "submission").await.unwrap();
    store.unpin(&digest, "job:1").await.unwrap();
    drop(store);

    let store = open(folder.path());
    let error = store.remove(&digest).await.unwrap_err();
    assert!(
        matches!(error, BlobError::Pinned { ref reasons, .. } if reasons == &["submission"]),
        "{error}"
    );
    store.unpin(&digest, "submission").await.unwrap();
    store.unpin(&digest, "submission").await.unwrap();
    assert!(store.pins().is_empty());
    assert!(store.remove(&digest).await.unwrap());
    assert!(!store.remove(&digest).await.unwrap());
    assert!(!store.has(&digest));
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn inv7_a_reason_that_is_no_file_name_pins_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for reason in ["", "..", "a/b", "a.b", "a b", &"x".repeat(129)] {
        let error = store.pin(&Digest([1; 32]), reason).await.unwrap_err();
        assert!(matches!(error, BlobError::Reason(_)), "{reason}: {error}");
    }
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_blob_damaged_on_disk_is_found_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let digest = store.put_bytes(bytes(100_000, 1)).await.unwrap();
    store.verify(&digest).await.unwrap();
    super::damage(&store.path(&digest).unwrap(), 70_000);
    assert!(matches!(
        store.read(&digest, 1 << 20).await,
        Err(BlobError::Damaged(_))
    ));
    assert!(matches!(store.verify(&digest).await, Err(BlobError::Damaged(_))));
    assert!(!store.has(&digest));
    assert!(matches!(store.verify(&digest).await, Err(BlobError::Missing(_))));
}

#[tokio::test]
async fn a_damaged_blob_is_set_aside_until_it_is_here_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let data = bytes(100_000, 1);
    let digest = store.put_bytes(data.clone()).await.unwrap();
    super::damage(&store.path(&digest).unwrap(), 70_000);
    store.verify(&digest).await.unwrap_err();
    assert_eq!(store.damaged().await.unwrap(), [digest]);
    drop(store);

    let store = open(folder.path());
    assert_eq!(store.damaged().await.unwrap(), [digest]);
    assert!(!store.has(&digest));
    store.put_bytes(data).await.unwrap();
    assert!(store.damaged().await.unwrap().is_empty());
    store.verify(&digest).await.unwrap();
    assert!(
        files(folder.path())
            .iter()
            .all(|file| !file.starts_with("damaged"))
    );
}

#[tokio::test]
async fn own_results_fit_below_the_reserve() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path(), Reserve::Bytes(1 << 60)).unwrap();
    store.put_bytes(b"of others".to_vec()).await.unwrap_err();
    let own = store.own();
    let digest = own.put_bytes(b"a signature".to_vec()).await.unwrap();
    let mut writer = own.writer().await.unwrap();
    writer.write(&bytes(2 << 20, 1)).await.unwrap();
    let archive = writer.finish().await.unwrap().digest;
    own.pin(&archive, "attempt").await.unwrap();
    assert!(store.has(&digest) && store.has(&archive));
}

#[tokio::test]
async fn reading_is_bounded_by_what_the_reader_wants() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let digest = store.put_bytes(vec![7; 100]).await.unwrap();
    assert_eq!(store.read(&digest, 100).await.unwrap().len(), 100);
    assert!(matches!(
        store.read(&digest, 99).await,
        Err(BlobError::TooLong {
            size: 100,
            limit: 99,
            ..
        })
    ));
    assert!(matches!(
        store.read(&Digest([1; 32]), 99).await,
        Err(BlobError::Missing(_))
    ));
    assert_eq!(store.have(vec![Digest([1; 32]), digest]).await.unwrap(), [digest]);
}
