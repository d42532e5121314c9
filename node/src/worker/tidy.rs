//! What attempts may leave behind when they end in an unusual way: folders, and pins of what nobody will report.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{attempt::AttemptFolder, collect::PIN, desk::WorkerHandle, leftovers};
use crate::{error::chain, rooms::Rooms};

/// A folder is left alone for so long after it last changed: an attempt or a probe may just be making it.
const GRACE: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn tidy(worker: &WorkerHandle, rooms: &Rooms) {
    let (root, busy) = (rooms.config.home.builds(), worker.folders());
    let removed = tokio::task::spawn_blocking(move || remove_folders(&root, &busy, GRACE)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(error, "what attempts left could not be removed");
    }
    // Archives are pinned before the report that names them is on the desk.
    if worker.running() > 0 {
        return;
    }
    let used = worker.uses();
    for (blob, reasons) in rooms.blobs.pins() {
        if reasons.contains(PIN)
            && !used.contains(&blob)
            && let Err(error) = rooms.blobs.unpin(&blob, PIN).await
        {
            tracing::warn!(error = chain(&error), "a pin could not be removed");
        }
    }
}

/// Removes the folders below `root` that belong to no attempt, whose runners have ended and that did not change for
/// `grace`.
fn remove_folders(root: &Path, busy: &BTreeSet<PathBuf>, grace: Duration) -> Result<(), String> {
    for id in AttemptFolder::list(root).map_err(|error| chain(&error))? {
        let path = root.join(&id);
        let changed = path.metadata().and_then(|metadata| metadata.modified());
        let is_old = changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age >= grace));
        let is_running = AttemptFolder::open(root, &id).is_ok_and(|folder| folder.is_running());
        if busy.contains(&path) || is_running || !is_old {
            continue;
        }
        tracing::info!(attempt = id, "removing what an attempt left");
        leftovers::remove(&path).map_err(|error| chain(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_no_attempt_go_when_they_are_old_and_others_stay() {
        let root = tempfile::tempdir().unwrap();
        for name in ["left", "busy", "new"] {
            std::fs::create_dir_all(root.path().join(name).join("pkg")).unwrap();
        }
        let old = std::time::SystemTime::now() - 2 * GRACE;
        for name in ["left", "busy"] {
            let folder = std::fs::File::open(root.path().join(name)).unwrap();
            folder.set_modified(old).unwrap();
        }
        let busy = BTreeSet::from([root.path().join("busy")]);
        remove_folders(root.path(), &busy, GRACE).unwrap();
        assert_eq!(AttemptFolder::list(root.path()).unwrap(), ["busy", "new"]);
    }
}
