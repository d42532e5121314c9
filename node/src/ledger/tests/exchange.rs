//! Ledgers that met are equal; peers that lie are refused within bounds.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::try_join_all;
use pacmesh_protocol::{
    ids::{Digest, RecordHash},
    ledger::{
        kinds::{Ruling, VerdictV1},
        record::VALUE_LIMIT,
    },
    signed::Signed,
    wire::{HASH_BATCH, RECORD_BATCH, Reply, Request},
};

use super::*;
use crate::ledger::{ExchangeError, ExchangeSummary, Peer, answer, exchange};

/// A peer in this process, which answers as a node does.
pub(super) struct Direct(pub(super) LedgerHandle);

#[async_trait]
impl Peer for Direct {
    async fn request(&self, request: Request) -> Result<Reply, String> {
        answer(&self.0, &request)
            .await
            .ok_or_else(|| "not the ledger's".into())
    }
}

/// A peer that answers some requests by itself.
struct Liar<F>(LedgerHandle, F, AtomicUsize);

#[async_trait]
impl<F: Fn(&Request) -> Option<Reply> + Send + Sync> Peer for Liar<F> {
    async fn request(&self, request: Request) -> Result<Reply, String> {
        self.2.fetch_add(1, Ordering::Relaxed);
        match (self.1)(&request) {
            Some(lie) => Ok(lie),
            None => Direct(self.0.clone()).request(request).await,
        }
    }
}

async fn pair(folder: &Path) -> (LedgerHandle, LedgerHandle) {
    (
        member(&folder.join("1"), 1).await,
        member(&folder.join("2"), 2).await,
    )
}

async fn set_many(ledger: &LedgerHandle, node: u8, count: usize) {
    let names: Vec<_> = (0..count).map(|n| format!("{node}.{n}")).collect();
    try_join_all(
        names
            .iter()
            .map(|name| append(ledger, node, setting(name, 1, "x"))),
    )
    .await
    .unwrap();
}

/// An entry of a kind that nobody reads, of almost the greatest length.
fn unread(key: u8) -> Entry {
    Entry {
        kind: 999,
        version: 1,
        key: vec![key],
        value: vec![key; VALUE_LIMIT],
    }
}

#[tokio::test]
async fn inv2_ledgers_that_met_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    let both = RECORD_BATCH + 50;
    set_many(&ours, 1, both).await;
    set_many(&theirs, 2, both).await;
    set(&ours, 1, "shared", 1, "ours").await;
    set(&theirs, 2, "shared", 2, "theirs").await;

    let summary = exchange(&ours, &Direct(theirs.clone())).await.unwrap();
    assert_eq!(
        summary,
        ExchangeSummary {
            pulled: both + 1,
            pushed: both + 1,
            ..ExchangeSummary::default()
        }
    );
    assert_eq!((ours.root(), shown(&ours)), (theirs.root(), shown(&theirs)));
    assert_eq!(theirs.view().setting("shared"), Some("theirs"));
    let again = exchange(&ours, &Direct(theirs)).await.unwrap();
    assert_eq!(again, ExchangeSummary::default());
}

#[tokio::test]
async fn inv2_a_newcomer_learns_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (full, empty) = (
        member(&folder.path().join("1"), 1).await,
        open(&folder.path().join("3"), 3).await.unwrap(),
    );
    set_many(&full, 1, 20).await;
    exchange(&empty, &Direct(full.clone())).await.unwrap();
    assert_eq!((empty.root(), shown(&empty)), (full.root(), shown(&full)));
    assert!(empty.view().is_member(&test_keys::node(2).id()));
}

#[tokio::test]
async fn inv2_what_a_suspension_brings_back_is_kept_by_all_and_through_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    let before = set(&theirs, 2, "a", 1, "before").await;
    exchange(&ours, &Direct(theirs.clone())).await.unwrap();
    let verdict = VerdictV1 {
        ruling: Ruling::Suspended { generation: 0 },
        cut: Some(before.position()),
        standing: vec![],
        quarantine_since_ms: None,
    };
    append(&ours, 1, verdict.entry(&test_keys::node(2).id()).unwrap())
        .await
        .unwrap();
    set(&theirs, 2, "a", 2, "after").await;
    assert_eq!(
        theirs.lacking(vec![before.hash()]).await.unwrap(),
        [before.hash()]
    );

    exchange(&theirs, &Direct(ours.clone())).await.unwrap();
    assert_eq!((ours.root(), shown(&ours)), (theirs.root(), shown(&theirs)));
    assert_eq!(ours.view().setting("a"), Some("before"));
    let (root, view) = (ours.root(), shown(&ours));
    ours.close().await;
    let restarted = open(&folder.path().join("1"), 1).await.unwrap();
    assert_eq!((restarted.root(), shown(&restarted)), (root, view));
}

#[tokio::test]
async fn long_and_unread_records_pass_in_as_many_frames_as_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    for number in 0..12 {
        let entries = (0..12).map(|part| unread(number * 12 + part)).collect();
        let reign = ReignId {
            term: 1,
            node: test_keys::node(1).id(),
            incarnation: ours.incarnation(),
        };
        ours.append(entries, reign, None).await.unwrap();
    }
    assert_eq!(exchange(&ours, &Direct(theirs.clone())).await.unwrap().pushed, 12);
    assert_eq!(theirs.unread().await.unwrap(), ours.unread().await.unwrap());
    let third = open(&folder.path().join("3"), 3).await.unwrap();
    exchange(&third, &Direct(theirs.clone())).await.unwrap();
    assert_eq!(third.root(), ours.root());
}

#[tokio::test]
async fn records_that_fell_out_of_a_pull_are_not_asked_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    let root = ours.root();
    let liar = Liar(
        theirs,
        |request: &Request| match request {
            Request::TreeTop | Request::TreeBranch { .. } => Some(Reply::Tree {
                children: vec![Digest([9; 32]); 256],
            }),
            Request::TreeLeaf { first, second } => Some(Reply::Hashes {
                hashes: invented(*first, *second),
            }),
            Request::Pull { .. } => Some(Reply::Records { records: vec![] }),
            _ => None,
        },
        AtomicUsize::new(0),
    );
    assert_eq!(exchange(&ours, &liar).await.unwrap().pulled, 0);
    assert_eq!(ours.root(), root);
    // 2^18 hashes at 8,192 a leaf, then 256 a pull; all of the first two levels come before.
    let asked = liar.2.load(Ordering::Relaxed);
    assert!(asked < 257 + 32 + 16 + 1024 + 8, "{asked} requests");
}

/// As many hashes of one leaf as a reply may hold.
fn invented(first: u8, second: u8) -> Vec<RecordHash> {
    (0..HASH_BATCH as u32)
        .map(|number| {
            let mut hash = [0; 32];
            hash[..2].copy_from_slice(&[first, second]);
            hash[2..6].copy_from_slice(&number.to_be_bytes());
            RecordHash(hash)
        })
        .collect()
}

#[tokio::test]
async fn inv5_replies_that_break_the_rules_end_the_exchange_and_change_nothing() {
    type Lie = fn(&Request) -> Option<Reply>;
    let lies: [(&str, Lie); 8] = [
        ("a short level", |r| {
            matches!(r, Request::TreeTop).then(|| Reply::Tree { children: vec![] })
        }),
        ("a long level", |r| {
            matches!(r, Request::TreeBranch { .. }).then(|| Reply::Tree {
                children: vec![Digest([1; 32]); 257],
            })
        }),
        ("no level", |r| {
            matches!(r, Request::TreeTop).then_some(Reply::Done)
        }),
        ("a foreign leaf", |r| match r {
            Request::TreeLeaf { first, second } => Some(Reply::Hashes {
                hashes: vec![RecordHash(
                    [first.wrapping_add(1), *second].repeat(16).try_into().unwrap(),
                )],
            }),
            _ => None,
        }),
        ("an endless leaf", |r| match r {
            Request::TreeLeaf { first, second } => {
                let mut hashes = invented(*first, *second);
                hashes.push(hashes[0]);
                Some(Reply::Hashes { hashes })
            }
            _ => None,
        }),
        ("a record nobody asked for", |r| match r {
            Request::Pull { .. } => Some(Reply::Records {
                records: vec![credential().links[0].clone()],
            }),
            _ => None,
        }),
        ("a flood of records", |r| match r {
            Request::Pull { .. } => Some(Reply::Records {
                records: vec![credential().links[0].clone(); 1000],
            }),
            _ => None,
        }),
        ("no records", |r| {
            matches!(r, Request::Pull { .. }).then_some(Reply::Done)
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    set(&theirs, 2, "a", 1, "x").await;
    let root = ours.root();
    for (name, lie) in lies {
        let result = exchange(&ours, &Liar(theirs.clone(), lie, AtomicUsize::new(0))).await;
        assert!(
            matches!(result, Err(ExchangeError::Rule(_))),
            "{name}: {result:?}"
        );
        assert_eq!(ours.root(), root, "{name}");
    }
}

#[tokio::test]
async fn a_forged_record_is_refused_and_the_others_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    let good = set(&theirs, 2, "a", 1, "x").await.signed().clone();
    let other = set(&theirs, 2, "b", 1, "x").await.signed().clone();
    let forged = Signed {
        body: other.body,
        signature: good.signature,
    };
    let garbage = Signed {
        body: vec![0xff; 50],
        signature: good.signature,
    };
    let push = Request::Push {
        records: vec![forged.clone(), garbage, good.clone()],
    };
    let Some(Reply::Refused { reason }) = answer(&ours, &push).await else {
        panic!("not refused")
    };
    assert!(reason.contains("does not fit"), "{reason}");
    assert_eq!(ours.view().setting("a"), Some("x"));
    assert_eq!(ours.view().setting("b"), None);

    let summary = ours.merge(vec![forged]).await.unwrap();
    assert_eq!((summary.added.len(), summary.refused.len()), (0, 1));
}

#[tokio::test]
async fn requests_beyond_their_bounds_are_refused_and_those_of_others_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = member(&folder.path().join("1"), 1).await;
    let long = Request::Pull {
        hashes: vec![RecordHash::NONE; HASH_BATCH + 1],
    };
    assert!(matches!(
        answer(&ledger, &long).await,
        Some(Reply::Refused { .. })
    ));
    let many = Request::Push {
        records: vec![credential().links[0].clone(); RECORD_BATCH + 1],
    };
    assert!(matches!(
        answer(&ledger, &many).await,
        Some(Reply::Refused { .. })
    ));
    let unknown = Request::Pull {
        hashes: vec![RecordHash::NONE],
    };
    assert_eq!(
        answer(&ledger, &unknown).await,
        Some(Reply::Records { records: vec![] })
    );
    assert_eq!(answer(&ledger, &Request::Have { blobs: vec![] }).await, None);
}

/// Node 3 as a guest, and a record that it wrote.
async fn guest(folder: &Path) -> (LedgerHandle, Vec<Signed>) {
    let path = test_keys::admitted(1, &test_keys::founder(1, 1), 1, 3, 2, Roles::GUEST);
    let ledger = open(&folder.join("3"), 3).await.unwrap();
    ledger.merge(path.links.clone()).await.unwrap();
    (ledger, path.links)
}

#[tokio::test]
async fn inv5_what_a_guest_or_a_stranger_writes_is_kept_and_passed_on_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let ours = member(&folder.path().join("1"), 1).await;
    let (guest, path) = guest(folder.path()).await;
    ours.merge(path).await.unwrap();
    set_many(&guest, 3, RECORD_BATCH).await;
    let flood: Vec<Signed> = guest
        .all()
        .await
        .unwrap()
        .iter()
        .map(|r| r.signed().clone())
        .collect();
    let stranger = test_keys::record(1, 9, vec![setting("a", 1, "x")]);
    let root = ours.root();
    for records in [flood[..RECORD_BATCH].to_vec(), vec![stranger.signed().clone()]] {
        let reply = answer(&ours, &Request::Push { records }).await;
        assert!(matches!(reply, Some(Reply::Refused { .. })), "{reply:?}");
    }
    assert_eq!(ours.root(), root);

    let other = member(&folder.path().join("2"), 2).await;
    exchange(&other, &Direct(ours.clone())).await.unwrap();
    let summary = exchange(&other, &Direct(guest)).await.unwrap();
    assert_eq!((summary.pulled, summary.skipped), (0, RECORD_BATCH));
    assert_eq!(other.view().setting("3.0"), None);
}

#[tokio::test]
async fn a_comparison_with_whoever_holds_what_nobody_takes_is_known_to_be_fruitless() {
    let folder = tempfile::tempdir().unwrap();
    let ours = member(&folder.path().join("1"), 1).await;
    let (guest, path) = guest(folder.path()).await;
    ours.merge(path).await.unwrap();
    exchange(&ours, &Direct(guest.clone())).await.unwrap();
    assert!(
        !exchange(&ours, &Direct(guest.clone()))
            .await
            .unwrap()
            .is_fruitless()
    );
    set_many(&guest, 3, 1).await;
    assert!(
        exchange(&ours, &Direct(guest.clone()))
            .await
            .unwrap()
            .is_fruitless()
    );
    assert!(exchange(&guest, &Direct(ours)).await.unwrap().is_fruitless());
}

#[tokio::test]
async fn inv2_a_long_ledger_comes_whole_however_late_the_admissions_of_its_authors_come() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair(folder.path()).await;
    set_many(&theirs, 2, 3 * RECORD_BATCH).await;
    exchange(&ours, &Direct(theirs.clone())).await.unwrap();
    let newcomer = open(&folder.path().join("3"), 3).await.unwrap();
    let summary = exchange(&newcomer, &Direct(ours.clone())).await.unwrap();
    assert_eq!((newcomer.root(), summary.skipped), (ours.root(), 0));

    // A backup is merged at once.
    let restored = open(&folder.path().join("restored"), 3).await.unwrap();
    let all: Vec<Signed> = ours
        .all()
        .await
        .unwrap()
        .iter()
        .map(|r| r.signed().clone())
        .collect();
    let summary = restored.merge(all).await.unwrap();
    assert_eq!((restored.root(), summary.skipped.len()), (ours.root(), 0));
}
