//! What survives, what is refused at opening, and what a failing disk shows.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::try_join_all;
use pacmesh_protocol::ids::RecordHash;
use redb::{Builder, Database, StorageBackend, TableDefinition, backends::InMemoryBackend};

use super::*;
use crate::ledger::{exchange, store::Store, tests::exchange::Direct};

#[tokio::test]
async fn inv2_what_was_acknowledged_survives_a_kill_right_after() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (
        folder.path().join("ledger.redb"),
        folder.path().join("killed.redb"),
    );
    let ledger = member(&path, 1).await;
    let record = set(&ledger, 1, "copies", 1, "3").await;
    ledger.put_meta("ballot", b"granted".to_vec()).await.unwrap();
    std::fs::copy(&path, &copy).unwrap();

    let killed = open(&copy, 1).await.unwrap();
    assert_eq!(killed.root(), ledger.root());
    assert_eq!(shown(&killed), shown(&ledger));
    assert_eq!(killed.view().setting("copies"), Some("3"));
    assert_eq!(
        killed.pull(vec![record.hash()]).await.unwrap(),
        [record.signed().clone()]
    );
    assert_eq!(
        killed.get_meta("ballot").await.unwrap().as_deref(),
        Some(&b"granted"[..])
    );
    assert!(killed.incarnation() > ledger.incarnation());
}

#[tokio::test]
async fn a_restored_copy_converges_and_writes_no_place_twice() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (first, peer) = (member(&at("1"), 1).await, member(&at("2"), 2).await);
    set(&first, 1, "a", 1, "old").await;
    std::fs::copy(at("1"), at("restored")).unwrap();
    // The life that the backup does not know is later than what any clock gives the restored one.
    first.learn_incarnation(first.incarnation() + 1000).await.unwrap();
    let lost = set(&first, 1, "a", 2, "new").await;
    exchange(&first, &Direct(peer.clone())).await.unwrap();
    first.close().await;

    let restored = open(&at("restored"), 1).await.unwrap();
    assert!(restored.incarnation() < lost.body().incarnation);
    exchange(&restored, &Direct(peer.clone())).await.unwrap();
    assert_eq!(restored.view().setting("a"), Some("new"));
    assert_eq!(restored.incarnation(), lost.body().incarnation + 1);
    let written = set(&restored, 1, "a", 3, "newest").await;
    assert_eq!((written.body().sequence, written.body().prev), (1, lost.hash()));
    exchange(&restored, &Direct(peer.clone())).await.unwrap();
    assert_eq!((restored.root(), shown(&restored)), (peer.root(), shown(&peer)));
    assert_eq!(peer.view().setting("a"), Some("newest"));
}

#[tokio::test]
async fn own_records_that_were_outranked_and_come_back_begin_no_new_life() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = member(&folder.path().join("1"), 1).await;
    let life = ledger.incarnation();
    let outranked = set(&ledger, 1, "a", 1, "old").await;
    set(&ledger, 1, "a", 2, "new").await;
    assert_eq!(
        ledger.lacking(vec![outranked.hash()]).await.unwrap(),
        [outranked.hash()]
    );
    assert!(
        ledger
            .merge(vec![outranked.signed().clone()])
            .await
            .unwrap()
            .added
            .is_empty()
    );
    assert_eq!(ledger.incarnation(), life);
}

#[tokio::test]
async fn outranked_records_leave_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    let ledger = member(&path, 1).await;
    for version in 1..=5 {
        set(&ledger, 1, "a", version, "x").await;
    }
    ledger.close().await;
    let (store, _) = Store::open(&path, mesh(), test_keys::node(1).id()).unwrap();
    assert_eq!(store.records().unwrap().len(), credential().links.len() + 1);
}

#[tokio::test]
async fn records_written_at_once_are_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = member(&folder.path().join("1"), 1).await;
    let mut added = ledger.added();
    let names: Vec<_> = (0..100).map(|n| format!("n{n}")).collect();
    let all = names.iter().map(|name| append(&ledger, 1, setting(name, 1, "x")));
    let mut records = try_join_all(all).await.unwrap();
    records.sort_by_key(|record| record.body().sequence);
    let sequences: Vec<_> = records.iter().map(|record| record.body().sequence).collect();
    assert_eq!(sequences, (1..=100).collect::<Vec<_>>());
    assert!(
        records
            .windows(2)
            .all(|pair| pair[1].body().prev == pair[0].hash())
    );
    assert_eq!(records[0].body().prev, RecordHash::NONE);
    let mut heard = 0;
    while heard < 100 {
        heard += added.recv().await.unwrap().len();
    }
    assert_eq!(heard, 100);
}

#[tokio::test]
async fn a_record_that_says_nothing_greater_is_refused_and_takes_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = member(&folder.path().join("1"), 1).await;
    set(&ledger, 1, "a", 2, "x").await;
    let refused = append(&ledger, 1, setting("a", 1, "y")).await;
    assert!(matches!(refused, Err(LedgerError::NotKept { .. })), "{refused:?}");
    assert_eq!(set(&ledger, 1, "a", 3, "z").await.body().sequence, 2);
}

#[tokio::test]
async fn a_life_known_elsewhere_is_overtaken_unless_no_clock_explains_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    let ledger = member(&path, 1).await;
    let life = ledger.incarnation();
    ledger.learn_incarnation(life - 1).await.unwrap();
    assert_eq!(ledger.incarnation(), life);
    ledger.learn_incarnation(life).await.unwrap();
    assert_eq!(ledger.incarnation(), life + 1);
    ledger.learn_incarnation(life + 5000).await.unwrap();
    let refused = ledger.learn_incarnation(u64::MAX).await;
    assert!(
        matches!(refused, Err(LedgerError::Implausible { .. })),
        "{refused:?}"
    );
    ledger.close().await;
    assert_eq!(open(&path, 1).await.unwrap().incarnation(), life + 5002);
}

#[tokio::test]
async fn a_second_process_and_a_closed_ledger_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    let ledger = member(&path, 1).await;
    assert!(matches!(open(&path, 1).await, Err(LedgerError::InUse { .. })));
    ledger.close().await;
    ledger.close().await;
    let refused = ledger.get_meta("x").await.unwrap_err();
    assert!(refused.to_string().contains("it was closed"), "{refused}");
    open(&path, 1).await.unwrap();
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    member(&path, 1).await.close().await;
    assert!(matches!(open(&path, 2).await, Err(LedgerError::OtherNode { .. })));
    let (key, other) = (Arc::new(test_keys::node(1)), test_keys::authority(2).mesh());
    let opened = LedgerHandle::open(&path, other, key, Arc::new(Ed25519Verifier)).await;
    assert!(matches!(opened, Err(LedgerError::OtherMesh { .. })));
    assert!(matches!(
        open(folder.path(), 1).await,
        Err(LedgerError::Disk { .. })
    ));
}

#[tokio::test]
async fn damaged_foreign_and_newer_files_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, [7; 9000]).unwrap();
    assert!(matches!(
        open(&garbage, 1).await,
        Err(LedgerError::Damaged { .. })
    ));
    assert_eq!(std::fs::read(&garbage).unwrap(), [7; 9000]);

    let foreign = folder.path().join("foreign");
    write(&Database::create(&foreign).unwrap(), "other", "x", b"y");
    assert!(matches!(
        open(&foreign, 1).await,
        Err(LedgerError::Damaged { .. })
    ));

    let newer = folder.path().join("newer");
    member(&newer, 1).await.close().await;
    write(
        &Database::open(&newer).unwrap(),
        "about",
        "format",
        &9_u32.to_le_bytes(),
    );
    let refused = open(&newer, 1).await.unwrap_err();
    assert!(
        matches!(refused, LedgerError::Newer { found: 9, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("newer"), "{refused}");
}

#[tokio::test]
async fn a_changed_record_in_the_file_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    member(&path, 1).await.close().await;
    let database = Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(TableDefinition::<&[u8], &[u8]>::new("records"))
        .unwrap()
        .insert([1; 32].as_slice(), [2; 10].as_slice())
        .unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(open(&path, 1).await, Err(LedgerError::Damaged { .. })));
}

#[tokio::test]
async fn nothing_is_heard_of_what_the_disk_did_not_take() {
    let failing = Arc::new(AtomicBool::new(false));
    let backend = Failing(InMemoryBackend::new(), failing.clone());
    let (key, node) = (Arc::new(test_keys::node(1)), test_keys::node(1).id());
    let begin = move || {
        let database = Builder::new().create_with_backend(backend).unwrap();
        Store::begin(database, Path::new("memory"), mesh(), node)
    };
    let ledger = LedgerHandle::start(begin, mesh(), key, Arc::new(Ed25519Verifier))
        .await
        .unwrap()
        .unwrap();
    ledger.merge(credential().links).await.unwrap();
    let (root, before, mut added) = (ledger.root(), shown(&ledger), ledger.added());

    failing.store(true, Ordering::SeqCst);
    let refused = append(&ledger, 1, setting("a", 1, "x")).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Closed { .. }), "{refused}");
    assert_eq!((ledger.root(), shown(&ledger)), (root, before));
    assert!(added.try_recv().is_err());
    failing.store(false, Ordering::SeqCst);
    assert!(
        ledger
            .put_meta("a", vec![1])
            .await
            .unwrap_err()
            .to_string()
            .contains("the disk is gone")
    );
}

fn write(database: &Database, table: &str, key: &str, value: &[u8]) {
    let write = database.begin_write().unwrap();
    write
        .open_table(TableDefinition::<&str, &[u8]>::new(table))
        .unwrap()
        .insert(key, value)
        .unwrap();
    write.commit().unwrap();
}

/// Memory that refuses to sync while it is told so.
#[derive(Debug)]
struct Failing(InMemoryBackend, Arc<AtomicBool>);

impl StorageBackend for Failing {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        if self.1.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("the disk is gone"));
        }
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0.write(offset, data)
    }
}
