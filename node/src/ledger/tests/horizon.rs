//! What the horizon drops leaves the file too, and a node that was away too long says so.

use pacmesh_protocol::{
    ids::{Digest, JobId, NodeId},
    ledger::{
        horizon,
        kinds::{BuildOptions, Deliver, JobState, JobV1, Origin},
    },
};

use futures::future::try_join_all;

use super::*;
use crate::ledger::{exchange, store::Store, tests::exchange::Direct};

/// A job of a day, submitted through a node.
pub(super) fn job(number: u64, day: u32, state: JobState, submitter: NodeId) -> Entry {
    let value = JobV1 {
        generation: 0,
        state,
        repository: "repo".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        base: format!("base-{number}").parse().unwrap(),
        version: "1-1".parse().unwrap(),
        tree: Digest::of(&number.to_le_bytes()),
        origin: Origin::Directory,
        options: BuildOptions::default(),
        nonce: None,
        makepkg_conf: Digest::of(b"conf"),
        snapshot: None,
        environment: "arch:clean".parse().unwrap(),
        epoch: 0,
        day,
        submitter,
        submitted_ms: u64::from(day) * 86_400_000,
        deliver: Deliver::Repository,
        end: None,
    };
    value.entry(&job_id(number)).unwrap()
}

pub(super) fn job_id(number: u64) -> JobId {
    JobId(Digest::of(&number.to_le_bytes()).0)
}

fn node(number: u8) -> NodeId {
    test_keys::node(number).id()
}

#[tokio::test]
async fn inv8_jobs_behind_the_horizon_leave_the_file_and_stay_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    let ledger = member(&path, 1).await;
    let old = append(&ledger, 1, job(1, 3, JobState::Cancelled, node(1)))
        .await
        .unwrap();
    append(&ledger, 1, job(2, 5, JobState::Cancelled, node(1)))
        .await
        .unwrap();
    append(&ledger, 1, horizon::raise(5).unwrap()).await.unwrap();
    assert_eq!(ledger.view().jobs().count(), 1);
    let merged = ledger.merge(vec![old.signed().clone()]).await.unwrap();
    assert_eq!((merged.added, merged.refused), (vec![], vec![]));
    let root = ledger.root();
    ledger.close().await;

    let (store, _) = Store::open(&path, mesh(), node(1)).unwrap();
    // The path to node 2, the young job, the horizon.
    assert_eq!(store.records().unwrap().len(), credential().links.len() + 2);
    drop(store);
    let again = open(&path, 1).await.unwrap();
    assert_eq!((again.root(), again.view().horizon()), (root, 5));
}

#[tokio::test]
async fn a_laptop_that_comes_back_past_the_horizon_says_which_of_its_jobs_are_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("2");
    let (mesh_side, laptop) = (member(&folder.path().join("1"), 1).await, member(&path, 2).await);
    append(&laptop, 2, job(1, 3, JobState::Queued, node(2)))
        .await
        .unwrap();
    append(&laptop, 2, job(2, 3, JobState::Cancelled, node(2)))
        .await
        .unwrap();
    append(&mesh_side, 1, horizon::raise(180).unwrap()).await.unwrap();

    exchange(&laptop, &Direct(mesh_side.clone())).await.unwrap();
    assert_eq!(
        (laptop.root(), shown(&laptop)),
        (mesh_side.root(), shown(&mesh_side))
    );
    let told =
        |ledger: &LedgerHandle| -> Vec<JobId> { ledger.overtaken().iter().map(|old| old.job).collect() };
    assert_eq!(told(&laptop), [job_id(1)]);
    assert!(told(&mesh_side).is_empty());

    // It does not forget that over a restart, and is reminded until the base is asked for again.
    laptop.close().await;
    let laptop = open(&path, 2).await.unwrap();
    assert_eq!(told(&laptop), [job_id(1)]);
    append(&laptop, 2, job(1, 181, JobState::Queued, node(2)))
        .await
        .unwrap();
    assert!(told(&laptop).is_empty());
    laptop.close().await;
    assert!(told(&open(&path, 2).await.unwrap()).is_empty());
}

#[tokio::test]
async fn inv8_the_file_stays_as_great_as_the_horizon_lets_it_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1");
    let ledger = member(&path, 1).await;
    let (mut sizes, mut held) = (Vec::new(), Vec::new());
    for day in 0..32_u32 {
        let jobs =
            (0..100).map(|number| job(u64::from(day) * 100 + number, day, JobState::Cancelled, node(1)));
        try_join_all(jobs.map(|entry| append(&ledger, 1, entry)))
            .await
            .unwrap();
        append(&ledger, 1, horizon::raise(day).unwrap()).await.unwrap();
        sizes.push(std::fs::metadata(&path).unwrap().len());
        held.push(ledger.view().jobs().count());
    }
    assert_eq!(held, [100; 32]);
    // A file that is too small is made twice as great, and how much lies in it meanwhile depends on which commits were
    // made as one. One that forgot nothing would be eight times as great.
    let (early, late) = (sizes[3], sizes[31]);
    assert!(late <= early * 4, "the file grows: {sizes:?}");
}
