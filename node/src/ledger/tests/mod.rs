//! Two or more ledgers in temporary folders; node 1 founded the mesh of authority 1, node 2 was admitted by it.

mod disk;
mod exchange;
mod horizon;

use std::{path::Path, sync::Arc};

use pacmesh_protocol::{
    entry::Credential,
    ids::MeshId,
    ledger::{
        kinds::{SettingV1, Value},
        record::{Entry, Record, ReignId},
    },
    roles::Roles,
};
use pacmesh_signing::{Ed25519Verifier, test_keys};

use super::{LedgerError, LedgerHandle};

fn mesh() -> MeshId {
    test_keys::authority(1).mesh()
}

async fn open(path: &Path, node: u8) -> Result<LedgerHandle, LedgerError> {
    let key = Arc::new(test_keys::node(node));
    LedgerHandle::open(path, mesh(), key, Arc::new(Ed25519Verifier)).await
}

/// The path from the founder to node 2.
fn credential() -> Credential {
    test_keys::admitted(1, &test_keys::founder(1, 1), 1, 2, 1, Roles::PEER)
}

/// The ledger of node `node`, which knows of nodes 1 and 2.
async fn member(path: &Path, node: u8) -> LedgerHandle {
    let ledger = open(path, node).await.unwrap();
    assert_eq!(
        ledger.merge(credential().links).await.unwrap().refused,
        Vec::<String>::new()
    );
    ledger
}

fn setting(name: &str, version: u64, value: &str) -> Entry {
    let value = SettingV1 {
        version,
        value: value.into(),
    };
    value.entry(&name.to_owned()).unwrap()
}

async fn append(ledger: &LedgerHandle, node: u8, entry: Entry) -> Result<Record, LedgerError> {
    let reign = ReignId {
        term: 1,
        node: test_keys::node(node).id(),
        incarnation: ledger.incarnation(),
    };
    ledger.append(vec![entry], reign, None).await
}

async fn set(ledger: &LedgerHandle, node: u8, name: &str, version: u64, value: &str) -> Record {
    append(ledger, node, setting(name, version, value)).await.unwrap()
}

/// All that a ledger shows.
fn shown(ledger: &LedgerHandle) -> String {
    format!("{:?}", ledger.view())
}
