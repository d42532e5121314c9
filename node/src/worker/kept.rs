//! What the folder of an attempt remembers for the desk: its order, the fence under which it was adopted, its report.
//!
//! All of it is durable before it is told, so that a daemon that starts anew says of its attempts what the last one said.

use std::{
    io,
    path::{Path, PathBuf},
};

use pacmesh_protocol::{
    codec,
    ids::NodeId,
    wire::FRAME_LIMIT,
    work::{Fence, Order, Report},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{layout::write_atomically, spec::read_bounded};

/// The file that holds the report.
const REPORT: &str = "report";
/// The file that holds the fence of the last adoption.
const FENCE: &str = "fence";

/// What is kept from the beginning.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// Who ordered it.
    pub(super) master: NodeId,
    /// What was ordered.
    pub(super) order: Order,
    /// Wall clock at its beginning, in milliseconds since 1970.
    pub(super) started_ms: u64,
}

/// The report of an ended attempt.
pub(super) fn report(folder: &Path) -> Option<Report> {
    read(&folder.join(REPORT))
}

/// The fence of the last adoption; `None` if there was none.
pub(super) fn fence(folder: &Path) -> Option<Fence> {
    read(&folder.join(FENCE))
}

/// Keeps a report; an attempt without a folder has nothing that a restart could find.
pub(super) async fn keep_report(folder: PathBuf, report: &Report) -> io::Result<()> {
    write(folder, REPORT, report).await
}

/// Keeps the fence of an adoption.
pub(super) async fn keep_fence(folder: PathBuf, fence: &Fence) -> io::Result<()> {
    write(folder, FENCE, fence).await
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = read_bounded(path, FRAME_LIMIT as u64).ok()?;
    codec::decode(&bytes, FRAME_LIMIT).ok()
}

async fn write<T: Serialize>(folder: PathBuf, name: &'static str, value: &T) -> io::Result<()> {
    let bytes = codec::encode(value, FRAME_LIMIT).map_err(io::Error::other)?;
    tokio::task::spawn_blocking(move || {
        // Not made yet, or removed already: nothing of it outlives this daemon.
        if !folder.is_dir() {
            return Ok(());
        }
        write_atomically(&folder.join(name), &bytes, 0o600)
    })
    .await
    .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use pacmesh_protocol::ledger::record::ReignId;

    use super::*;

    fn of(term: u64) -> Fence {
        let reign = ReignId {
            term,
            node: NodeId([1; 32]),
            incarnation: 1,
        };
        Fence { reign, number: 3 }
    }

    #[tokio::test]
    async fn inv8_the_last_adoption_is_what_a_restart_finds() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(fence(dir.path()), None);
        for term in [2, 5] {
            keep_fence(dir.path().to_owned(), &of(term)).await.unwrap();
        }
        assert_eq!(fence(dir.path()), Some(of(5)));
    }

    #[tokio::test]
    async fn what_has_no_folder_is_not_kept_and_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        keep_fence(gone.clone(), &of(1)).await.unwrap();
        assert!(!gone.exists());
    }
}
