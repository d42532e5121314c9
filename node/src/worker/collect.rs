//! After the sandbox is dead: archives are hashed into the store, signed, and pinned until replicas have them.

use std::{fs::File, sync::Arc};

use pacmesh_protocol::{
    ids::Digest,
    work::{BuiltPackage, Outcome, Report},
};
use tokio::io::AsyncReadExt;

use super::attempt::{AttemptFolder, BuiltArchive};
use crate::{clock, error::chain, rooms::Rooms};

/// Why a blob of this worker must not be collected.
pub(super) const PIN: &str = "attempt";
/// How much is copied at once, in bytes.
const CHUNK: usize = 1 << 20;

/// Takes the archives of an ended build.
pub(super) async fn collect(rooms: &Arc<Rooms>, folder: &AttemptFolder) -> Result<Vec<BuiltPackage>, String> {
    let archives = folder.archives().map_err(|error| chain(&error))?;
    let mut packages = Vec::new();
    for archive in archives {
        packages.push(take(rooms, archive).await?);
    }
    Ok(packages)
}

async fn take(rooms: &Arc<Rooms>, archive: BuiltArchive) -> Result<BuiltPackage, String> {
    let mut writer = rooms.blobs.own().writer().await.map_err(|error| chain(&error))?;
    let mut bytes = tokio::fs::File::from_std(archive.bytes);
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = bytes.read(&mut buffer).await.map_err(|error| error.to_string())?;
        if n == 0 {
            break;
        }
        writer.write(&buffer[..n]).await.map_err(|error| chain(&error))?;
    }
    let stored = writer.finish().await.map_err(|error| chain(&error))?;
    pin(rooms, &stored.digest).await?;
    let signature = sign(rooms, &stored.digest).await?;
    pin(rooms, &signature).await?;
    Ok(BuiltPackage {
        file: archive.file,
        size: stored.size,
        sha256: stored.sha256,
        archive: stored.digest,
        signature: Some(signature),
    })
}

/// Signs an archive of the store in this node's name.
pub(crate) async fn sign(rooms: &Arc<Rooms>, archive: &Digest) -> Result<Digest, String> {
    let path = rooms
        .blobs
        .path(archive)
        .ok_or("an archive vanished before it was signed")?;
    let key = rooms.keys.package.clone();
    let signature = tokio::task::spawn_blocking(move || {
        let file = File::open(path).map_err(|error| error.to_string())?;
        key.sign_detached(file, clock::wall_ms() / 1000)
            .map_err(|error| chain(&error))
    })
    .await
    .map_err(|error| error.to_string())??;
    rooms
        .blobs
        .own()
        .put_bytes(signature)
        .await
        .map_err(|error| chain(&error))
}

async fn pin(rooms: &Rooms, blob: &Digest) -> Result<(), String> {
    rooms.blobs.pin(blob, PIN).await.map_err(|error| chain(&error))
}

/// Keeps the log; an attempt without one is reported all the same.
pub(super) async fn keep_log(rooms: &Rooms, folder: &AttemptFolder) -> Option<Digest> {
    let path = folder.log_path();
    if !path.exists() {
        return None;
    }
    match rooms.blobs.own().put_file(&path).await {
        Ok(stored) => {
            pin(rooms, &stored.digest).await.ok()?;
            Some(stored.digest)
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "a log could not be kept");
            None
        }
    }
}

/// The blobs that a report names.
pub(super) fn blobs(report: &Report) -> Vec<Digest> {
    let packages = match &report.outcome {
        Outcome::Built(packages) => packages.as_slice(),
        _ => &[],
    };
    let mut blobs: Vec<Digest> = report.log.into_iter().collect();
    for package in packages {
        blobs.push(package.archive);
        blobs.extend(package.signature);
    }
    blobs
}

/// Lets go of what a report named, once replicas have it.
pub(super) async fn unpin(rooms: &Rooms, report: &Report) {
    for blob in blobs(report) {
        if let Err(error) = rooms.blobs.unpin(&blob, PIN).await {
            tracing::warn!(error = chain(&error), "a pin could not be removed");
        }
    }
}
