//! What is collected, and what never is.

use std::{
    collections::BTreeSet,
    fs::File,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pacmesh_protocol::{
    ids::{Digest, JobId, Sha256},
    ledger::{
        kinds::{
            BindingKey, BindingV1, GenerationKey, GenerationV1, PackageKey, PackageV1, ReleaseV1, Value,
        },
        named::{Named, Need, What},
        record::{Entry, ReignId},
    },
};
use pacmesh_signing::{Ed25519Verifier, test_keys};

use super::{
    super::gc::{Class, Collector, Limits, Swept, class_of},
    *,
};
use crate::ledger::LedgerHandle;

/// Everything is old enough, and two sweeps may follow each other at once.
const NOW: Limits = Limits {
    grace: Duration::ZERO,
    cache: 0,
};
const DAY: Limits = Limits {
    grace: Duration::from_secs(24 * 3600),
    cache: 0,
};

/// Makes a blob look as if nobody had asked for it for a week.
fn age(store: &BlobStore, digest: &Digest) {
    let old = SystemTime::now() - Duration::from_secs(7 * 24 * 3600);
    let file = File::open(store.path(digest).unwrap()).unwrap();
    file.set_modified(old).unwrap();
}

async fn sweep(collector: &mut Collector, store: &BlobStore, limits: Limits, class: Class) -> Swept {
    collector
        .sweep(store, |_| class, limits, Duration::ZERO)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_nothing_needs_goes_at_the_second_sweep_and_not_at_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut collector) = (open(folder.path()), Collector::default());
    let digest = store.put_bytes(vec![7; 100]).await.unwrap();
    assert_eq!(
        sweep(&mut collector, &store, NOW, Class::Unneeded).await,
        Swept::default()
    );
    // Somebody needed it in between: the count begins anew.
    sweep(&mut collector, &store, NOW, Class::Needed).await;
    assert_eq!(
        sweep(&mut collector, &store, NOW, Class::Unneeded).await,
        Swept::default()
    );
    let swept = sweep(&mut collector, &store, NOW, Class::Unneeded).await;
    assert_eq!((swept.blobs, swept.bytes), (1, 100));
    assert!(!store.has(&digest) && files(folder.path()).is_empty());
    sweep(&mut collector, &store, NOW, Class::Unneeded).await;
    assert_eq!(collector.marked(), 0);
}

#[tokio::test]
async fn two_sweeps_too_close_to_each_other_take_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut collector) = (open(folder.path()), Collector::default());
    store.put_bytes(vec![7; 100]).await.unwrap();
    for _ in 0..3 {
        let hour = Duration::from_secs(3600);
        let swept = collector
            .sweep(&store, |_| Class::Unneeded, NOW, hour)
            .await
            .unwrap();
        assert_eq!(swept, Swept::default());
    }
}

#[tokio::test]
async fn inv2_what_came_or_was_asked_for_lately_stays_although_nothing_names_it_yet() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut collector) = (open(folder.path()), Collector::default());
    let fresh = store.put_bytes(vec![1; 10]).await.unwrap();
    let asked = store.put_bytes(vec![2; 10]).await.unwrap();
    let again = store.put_bytes(vec![3; 10]).await.unwrap();
    let old = store.put_bytes(vec![4; 10]).await.unwrap();
    for digest in [&asked, &again, &old] {
        age(&store, digest);
    }
    sweep(&mut collector, &store, DAY, Class::Unneeded).await;
    // Marked already, and now somebody is told that they are here.
    assert_eq!(store.have(vec![asked]).await.unwrap(), [asked]);
    assert_eq!(store.put_bytes(vec![3; 10]).await.unwrap(), again);
    let swept = sweep(&mut collector, &store, DAY, Class::Unneeded).await;
    assert_eq!(swept.blobs, 1);
    let mut left = [fresh, asked, again];
    left.sort_unstable();
    assert_eq!(store.list().await.unwrap(), left);
}

#[tokio::test]
async fn inv2_the_last_look_before_a_removal_sees_a_touch_and_a_pin() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let touched = store.put_bytes(vec![1; 10]).await.unwrap();
    let pinned = store.put_bytes(vec![2; 10]).await.unwrap();
    let before = SystemTime::now() - Duration::from_secs(3600);
    age(&store, &pinned);
    store.pin(&pinned, "attempt").await.unwrap();
    assert!(!store.collect(&touched, before).unwrap());
    assert!(!store.collect(&pinned, before).unwrap());
    store.unpin(&pinned, "attempt").await.unwrap();
    assert!(store.collect(&pinned, before).unwrap());
}

#[tokio::test]
async fn a_cache_keeps_what_was_used_last_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut collector) = (open(folder.path()), Collector::default());
    let old = store.put_bytes(vec![1; 600]).await.unwrap();
    age(&store, &old);
    let new = store.put_bytes(vec![2; 600]).await.unwrap();
    let limits = Limits { cache: 1000, ..NOW };
    for _ in 0..2 {
        sweep(&mut collector, &store, limits, Class::Cached).await;
    }
    assert_eq!(store.list().await.unwrap(), [new]);
}

#[test]
fn a_replica_keeps_what_is_named_others_only_databases_and_nobody_drops_what_is_used_or_served() {
    let blob = |text: &str| Digest::of(text.as_bytes());
    let key = GenerationKey {
        repository: "farm".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    };
    let mut named = Named::default();
    named.extend([
        (blob("log"), Need::Past, What::Configuration),
        (blob("void"), Need::Void, What::Configuration),
        (blob("db"), Need::InForce, What::Database(key.clone())),
        (blob("old db"), Need::Past, What::Database(key)),
    ]);
    let (used, served) = (
        BTreeSet::from([blob("input")]),
        BTreeSet::from([blob("departed")]),
    );
    let class = |keeps: bool, text: &str| class_of(&named, keeps, &used, &served, &blob(text));
    for text in ["log", "void", "db", "old db", "input", "departed"] {
        assert_eq!(class(true, text), Class::Needed, "{text}");
    }
    assert_eq!(
        (class(true, "orphan"), class(false, "orphan")),
        (Class::Unneeded, Class::Unneeded)
    );
    assert_eq!(
        (class(false, "db"), class(false, "input")),
        (Class::Needed, Class::Needed)
    );
    assert_eq!(
        (class(false, "log"), class(false, "old db")),
        (Class::Cached, Class::Cached)
    );
}

/// A ledger and a store, filled as a master fills them.
struct Publishing {
    ledger: LedgerHandle,
    store: BlobStore,
}

impl Publishing {
    async fn put(&self, what: &str, number: u64) -> Digest {
        self.store
            .put_bytes(format!("{what} {number}").into_bytes())
            .await
            .unwrap()
    }

    /// One release: its blobs, and then the records that name them.
    async fn release(&self, number: u64) {
        let version = format!("{number}-1").parse().unwrap();
        let file = format!("one-{number}-1-x86_64.pkg.tar.zst").parse().unwrap();
        let release = ReleaseV1 {
            version,
            base: "one".parse().unwrap(),
            file,
            size: 10,
            sha256: Sha256([0; 32]),
            archive: self.put("archive", number).await,
            signature: Some(self.put("signature", number).await),
            signer: None,
            meta: self.put("meta", number).await,
            job: JobId([0; 32]),
            worker: test_keys::node(1).id(),
            built_at: 0,
        };
        let (arch, name) = ("x86_64".parse().unwrap(), "one".parse().unwrap());
        let repository = "farm".parse().unwrap();
        let binding = BindingKey {
            name,
            version: release.version.clone(),
            arch,
        };
        let key = PackageKey {
            repository,
            arch: binding.arch.clone(),
            name: binding.name.clone(),
        };
        let place = GenerationKey {
            repository: key.repository.clone(),
            arch: key.arch.clone(),
        };
        let archive = release.archive;
        let package = PackageV1 {
            generation: 0,
            release: Some(release),
        };
        self.append(vec![
            BindingV1 { archive }.entry(&binding).unwrap(),
            package.entry(&key).unwrap(),
        ])
        .await;
        let generation = GenerationV1 {
            number,
            index: self.put("index", number).await,
            db: self.put("db", number).await,
            files: self.put("files", number).await,
            db_signature: None,
            files_signature: None,
            time: number,
        };
        self.append(vec![generation.entry(&place).unwrap()]).await;
    }

    async fn append(&self, entries: Vec<Entry>) {
        let reign = ReignId {
            term: 1,
            node: test_keys::node(1).id(),
            incarnation: self.ledger.incarnation(),
        };
        self.ledger.append(entries, reign, None).await.unwrap();
    }
}

#[tokio::test]
async fn the_disk_stays_flat_over_a_hundred_releases_and_what_is_named_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (key, mesh) = (Arc::new(test_keys::node(1)), test_keys::authority(1).mesh());
    let path = folder.path().join("ledger.redb");
    let ledger = LedgerHandle::open(&path, mesh, key, Arc::new(Ed25519Verifier))
        .await
        .unwrap();
    ledger.merge(test_keys::founder(1, 1).links).await.unwrap();
    let publishing = Publishing {
        ledger,
        store: open(&folder.path().join("blobs")),
    };
    let (mut collector, mut most) = (Collector::default(), 0);
    for number in 1..=100 {
        publishing.release(number).await;
        if number % 10 != 0 {
            continue;
        }
        let named = publishing.ledger.named().await.unwrap();
        let none = BTreeSet::new();
        let class = |blob: &Digest| class_of(&named, true, &none, &none, blob);
        collector
            .sweep(&publishing.store, class, NOW, Duration::ZERO)
            .await
            .unwrap();
        let kept: BTreeSet<Digest> = publishing.store.list().await.unwrap().into_iter().collect();
        assert!(named.iter().all(|(blob, ..)| kept.contains(blob)), "at {number}");
        most = most.max(kept.len());
    }
    // Three releases of three blobs, three of the newest generation; and what came since the sweep before the last.
    assert!(most <= 12 + 2 * 10 * 6, "{most}");
    assert!(collector.marked() <= 10 * 6, "{}", collector.marked());
    assert_eq!(publishing.ledger.named().await.unwrap().len(), 12);
}
