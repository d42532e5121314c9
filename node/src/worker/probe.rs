//! Probes: reading what a PKGBUILD says, in the sandbox, without network.

use std::sync::atomic::{AtomicU64, Ordering};

use pacmesh_protocol::{
    codec,
    ids::{Digest, NodeId},
    ledger::kinds::BuildOptions,
    names::{Architecture, EnvironmentName},
    wire::ProbeError,
    work::Probe,
};

use super::{
    attempt::{AttemptFolder, AttemptSpec, Limits, RunStage, RunnerCommand, StageOutcome},
    environment::HostEnvironment,
    makepkg::DEFAULT_MAKEPKG_CONF,
    srcinfo,
};
use crate::{error::chain, rooms::Rooms};

/// Tells probes of one daemon apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Reads the metadata of the source `tree` for `arch`.
pub(super) async fn probe(
    rooms: &Rooms,
    master: NodeId,
    tree: Digest,
    arch: &Architecture,
    environment: &EnvironmentName,
) -> Result<Probe, ProbeError> {
    let faulty = |reason: String| ProbeError::Worker(reason);
    let host = HostEnvironment::detect().map_err(|error| faulty(chain(&error)))?;
    if host.name != *environment {
        return Err(faulty(format!(
            "it has the environment {}, not {environment}",
            host.name
        )));
    }
    if !rooms.obtain(&[tree], &[master]).await.is_empty() {
        return Err(faulty("the source tree is out of reach".to_owned()));
    }
    let arch = if arch.is_any() { host.arch } else { arch.clone() };
    let folder = make(rooms, tree, arch.clone()).await?;
    let outcome = read(&folder, &arch).await;
    clear(folder).await;
    outcome
}

async fn make(rooms: &Rooms, tree: Digest, arch: Architecture) -> Result<AttemptFolder, ProbeError> {
    let faulty = |reason: String| ProbeError::Worker(reason);
    let path = rooms
        .blobs
        .path(&tree)
        .ok_or_else(|| faulty("the source tree vanished".to_owned()))?;
    let id = format!(
        "probe-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    );
    let root = rooms.config.home.builds();
    let spec = AttemptSpec {
        arch,
        epoch: 0,
        options: BuildOptions::default(),
        inputs: Vec::new(),
        make_jobs: 1,
        limits: Limits::default(),
        note: Vec::new(),
    };
    tokio::task::spawn_blocking(move || {
        let blob = std::fs::File::open(&path).map_err(|error| error.to_string())?;
        AttemptFolder::create(
            &root,
            &id,
            spec,
            DEFAULT_MAKEPKG_CONF,
            std::io::BufReader::new(blob),
        )
        .map_err(|error| chain(&error))
    })
    .await
    .map_err(|error| faulty(error.to_string()))?
    .map_err(faulty)
}

async fn read(folder: &AttemptFolder, arch: &Architecture) -> Result<Probe, ProbeError> {
    let faulty = |reason: String| ProbeError::Worker(reason);
    let runner = RunnerCommand::this_program();
    let mut stage = folder
        .start_stage(RunStage::Probe, &runner)
        .map_err(|error| faulty(chain(&error)))?;
    let status = stage.wait().await.map_err(|error| faulty(chain(&error)))?;
    match status.outcome {
        StageOutcome::Done => {}
        StageOutcome::Failed { class, reason } if class.is_workers_fault() => return Err(faulty(reason)),
        StageOutcome::Failed { reason, .. } => return Err(ProbeError::Source(reason)),
        StageOutcome::Cancelled => return Err(faulty("the probe was stopped".to_owned())),
    }
    let text = folder.srcinfo().map_err(|error| faulty(chain(&error)))?;
    let parsed = srcinfo::parse(&text, arch).map_err(|error| ProbeError::Source(chain(&error)))?;
    let encoded = codec::encode(&parsed.probe, pacmesh_protocol::wire::FRAME_LIMIT / 2);
    encoded.map_err(|_| {
        ProbeError::Source("its metadata is too long: does it name thousands of packages?".to_owned())
    })?;
    Ok(parsed.probe)
}

/// Removes the folder of a probe.
pub(super) async fn clear(folder: AttemptFolder) {
    let removed = tokio::task::spawn_blocking(move || folder.remove()).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(
            error = chain(&error),
            "the folder of a probe could not be removed"
        );
    }
}
