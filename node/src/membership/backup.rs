//! `backup` and `restore`: a node in one file, and the node that comes back from it.
//!
//! Beside the keys (which only `signing` sees) a backup holds the ledger as it was, the ballot and where members were:
//! a founder that comes back alone knows whom it revoked and which names are bound, and a ballot that forgot what it
//! granted grants nothing twice ([`KeptBallot::restored`]). Blobs are not in it; other members have them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use pacmesh_protocol::{
    codec,
    ids::{Incarnation, MeshId, NodeId},
    ledger::{Ledger, kinds::Kind, record::Record},
    names::MeshName,
    reign::{KeptBallot, ballot::BALLOT_LIMIT},
    signed::{Signed, Verify},
};
use pacmesh_signing::{
    Ed25519Verifier, SecretsDir,
    backup::{self, ABOUT_LIMIT, Opened, Passphrase},
};
use serde::{Deserialize, Serialize};

use super::{Keys, MembershipError, Standing, seat::put_aside};
use crate::{
    clock,
    config::host_name,
    home::Home,
    ledger::LedgerHandle,
    local::views::{Named, RestoreView},
    master::BALLOT,
};

/// The version of what stands beside the keys.
const VERSION: u32 = 1;
/// Most bytes of records: what is left of [`ABOUT_LIMIT`] belongs to the ballot and to small things.
const RECORDS_LIMIT: usize = ABOUT_LIMIT - (1 << 20);
/// Where the ledger's file says that a backup was made.
const MADE: &str = "backup-made";

/// What a backup holds beside keys.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    version: u32,
    mesh: MeshId,
    mesh_name: MeshName,
    addresses: Vec<SocketAddr>,
    incarnation: Incarnation,
    /// An encoded [`KeptBallot`]; empty for a node that never took part.
    ballot: Vec<u8>,
    records: Vec<Signed>,
}

/// Makes the backup of a home that no daemon runs.
pub async fn back_up(home: &Home, passphrase: Passphrase) -> Result<Vec<u8>, MembershipError> {
    let standing = seated(home)?;
    let (keys, mesh) = (
        Keys::load_or_create(home, &host_name())?,
        mesh_of(home, &standing)?,
    );
    let ledger = open(home, mesh, &keys).await?;
    let sealed = back_up_from(&ledger, &keys.secrets, standing, passphrase).await;
    ledger.close().await;
    sealed
}

/// Makes the backup of a node whose ledger is open.
pub async fn back_up_from(
    ledger: &LedgerHandle,
    secrets: &SecretsDir,
    standing: Standing,
    passphrase: Passphrase,
) -> Result<Vec<u8>, MembershipError> {
    let about = About {
        version: VERSION,
        mesh: ledger.mesh(),
        mesh_name: standing.mesh_name,
        addresses: standing.addresses,
        incarnation: ledger.incarnation(),
        ballot: ledger.get_meta(BALLOT).await?.unwrap_or_default(),
        records: most_telling(ledger.all().await?, RECORDS_LIMIT),
    };
    let about = codec::encode(&about, ABOUT_LIMIT)?;
    let secrets = secrets.clone();
    // A passphrase is made into a key by much work on purpose.
    let sealed = tokio::task::spawn_blocking(move || backup::seal(&secrets, &about, &passphrase));
    Ok(sealed.await.map_err(|_| MembershipError::CutShort)??)
}

/// Notes that a backup was written, in a home that no daemon runs.
pub async fn backup_kept(home: &Home) -> Result<(), MembershipError> {
    let standing = seated(home)?;
    let (keys, mesh) = (
        Keys::load_or_create(home, &host_name())?,
        mesh_of(home, &standing)?,
    );
    let ledger = open(home, mesh, &keys).await?;
    let noted = note_backup(&ledger).await;
    ledger.close().await;
    noted
}

/// Notes that a backup was written.
pub async fn note_backup(ledger: &LedgerHandle) -> Result<(), MembershipError> {
    Ok(ledger
        .put_meta(MADE, clock::wall_ms().to_le_bytes().to_vec())
        .await?)
}

/// Whether a backup of this node was ever written.
pub async fn has_backup(ledger: &LedgerHandle) -> bool {
    matches!(ledger.get_meta(MADE).await, Ok(Some(_)))
}

/// Makes the node of a backup in `home`, which must belong to no mesh. Nothing of it counts before the file `membership`
/// is written at the end.
pub async fn restore(
    home: &Home,
    bytes: Vec<u8>,
    passphrase: Passphrase,
) -> Result<RestoreView, MembershipError> {
    home.prepare()?;
    if let Some(standing) = Standing::load(home)? {
        return Err(MembershipError::Already {
            mesh: standing.mesh_name.to_string(),
        });
    }
    let opened = tokio::task::spawn_blocking(move || Opened::open(&bytes, &passphrase));
    let opened = opened.await.map_err(|_| MembershipError::CutShort)??;
    let about: About =
        codec::decode_large(opened.about(), ABOUT_LIMIT).map_err(|_| MembershipError::NoRestore)?;
    if about.version != VERSION {
        return Err(MembershipError::NoRestore);
    }
    let (secrets, node) = (SecretsDir::open_or_create(home.secrets())?, opened.node());
    // What an attempt that was cut short left behind may be of another mesh.
    put_aside(home)?;
    let aside = opened.store(&secrets)?;
    let keys = Keys::load_or_create(home, &host_name())?;
    let ledger = open(home, about.mesh, &keys).await?;
    let came = fill(&ledger, &about).await;
    let name = ledger.view().member(&node).map(|member| member.name.to_string());
    ledger.close().await;
    came?;
    Standing::new(about.mesh, about.mesh_name.clone(), about.addresses).store(home)?;
    Ok(restored_view(
        node,
        name,
        about.mesh,
        &about.mesh_name,
        opened.authority().is_some(),
        aside,
    ))
}

/// The facts, a life above the backup's, and a ballot that grants nothing which its forgotten life may have granted.
async fn fill(ledger: &LedgerHandle, about: &About) -> Result<(), MembershipError> {
    ledger.merge(about.records.clone()).await?;
    ledger.learn_incarnation(about.incarnation).await?;
    let kept = match about.ballot.as_slice() {
        [] => KeptBallot::default(),
        bytes => codec::decode(bytes, BALLOT_LIMIT)?,
    };
    ledger.put_meta(BALLOT, kept.restored().encode()?).await?;
    note_backup(ledger).await
}

fn restored_view(
    node: NodeId,
    name: Option<String>,
    mesh: MeshId,
    mesh_name: &MeshName,
    authority: bool,
    aside: Vec<PathBuf>,
) -> RestoreView {
    RestoreView {
        mesh: Named {
            id: mesh.to_string(),
            name: mesh_name.to_string(),
        },
        node: Named {
            id: node.to_string(),
            name: name.unwrap_or_else(|| node.short()),
        },
        authority,
        aside: aside.iter().map(|path| path.display().to_string()).collect(),
    }
}

fn seated(home: &Home) -> Result<Standing, MembershipError> {
    home.check_secrets()?;
    Standing::load(home)?.ok_or(MembershipError::NoMesh)
}

fn mesh_of(home: &Home, standing: &Standing) -> Result<MeshId, MembershipError> {
    standing.mesh().ok_or_else(|| MembershipError::Standing {
        path: home.membership(),
    })
}

async fn open(home: &Home, mesh: MeshId, keys: &Keys) -> Result<LedgerHandle, MembershipError> {
    let verify: Arc<dyn Verify> = Arc::new(Ed25519Verifier);
    Ok(LedgerHandle::open(&home.ledger(), mesh, keys.node.clone(), verify).await?)
}

/// As many records as fit `limit` bytes, those first without which no other counts, and jobs last.
fn most_telling(mut records: Vec<Record>, limit: usize) -> Vec<Signed> {
    let only_jobs = |record: &Record| {
        record
            .body()
            .entries
            .iter()
            .all(|entry| entry.kind == Kind::Job as u16)
    };
    records.sort_by_cached_key(|record| (!Ledger::is_urgent(record), only_jobs(record), record.position()));
    let mut bytes = 0;
    records
        .into_iter()
        .map(|record| record.signed().clone())
        .take_while(|signed| {
            // Signature and lengths are at most 80 bytes more.
            bytes += signed.body.len() + 80;
            bytes <= limit
        })
        .collect()
}
