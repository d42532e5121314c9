//! Jobs and packages as lists, and what is done to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    ids::{Digest, JobId},
    ledger::{
        kinds::{JobState, JobV1, PackageKey, ReleaseV1},
        view::View,
    },
    names::PackageName,
    wire::{Change, Errand, FRAME_LIMIT, LiveJob, Reply},
};
use tokio::{net::unix::OwnedReadHalf, time::timeout};

use super::{
    caller::{Caller, End, cut},
    mesh::counted,
    office::Office,
    past,
};
use crate::{
    clock,
    error::chain,
    frame::expect_frame,
    local::{
        request::{CHUNK, LocalChunk, LocalReply},
        views::{JobView, PackageView},
    },
    master::{ask_master, carry, count_copies},
    rooms::Rooms,
    settings::Settings,
};

/// How long the master may take to say what runs.
const LIVE_WAIT: Duration = Duration::from_secs(2);
/// How long a caller may take for its next chunk.
const CHUNK_WAIT: Duration = Duration::from_secs(60);
/// Greatest source tree, in bytes (FORMATS, "Numbers").
const TREE_LIMIT: u64 = 1 << 30;
/// Least digits of a job id's prefix.
pub(super) const PREFIX: usize = 4;
/// How many jobs an ambiguous prefix lists.
const LISTED: usize = 8;

/// What the master knows of jobs beyond the ledger; `None` when no master answers.
pub(super) async fn live(rooms: &Arc<Rooms>, jobs: Vec<JobId>) -> Option<Vec<LiveJob>> {
    match ask_master(rooms, Errand::JobStates { jobs }, LIVE_WAIT).await {
        Ok(Reply::JobStates(live)) => Some(live),
        other => {
            tracing::debug!(?other, "the master does not say what runs");
            None
        }
    }
}

/// What the master knows of one open job.
pub(super) async fn live_one(rooms: &Arc<Rooms>, job: JobId) -> Option<LiveJob> {
    live(rooms, vec![job])
        .await?
        .into_iter()
        .find(|live| live.job == job)
}

/// Which job a text means: an id, a prefix of one, or a package base, which means its last job.
pub(super) fn resolve(rooms: &Rooms, view: &View, text: &str) -> Result<JobId, String> {
    let jobs: Vec<_> = view
        .jobs()
        .map(|(id, job)| (*id, job.base.as_str(), job.submitted_ms))
        .collect();
    pick(text, &jobs).map_err(|unknown| {
        past::overtaken(rooms, text)
            .or_else(|| Some(past::Release::find(view, text)?.without_job()))
            .unwrap_or(unknown)
    })
}

fn pick(text: &str, jobs: &[(JobId, &str, u64)]) -> Result<JobId, String> {
    let of_base = jobs.iter().filter(|(_, base, _)| *base == text);
    if let Some((id, ..)) = of_base.max_by_key(|(id, _, submitted)| (*submitted, *id)) {
        return Ok(*id);
    }
    let shown: String = text.chars().take(80).collect();
    let unknown = format!(
        "there is no job '{shown}': give a package base or the beginning of an id ('pacmesh jobs --all')"
    );
    if text.len() < PREFIX || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown);
    }
    let prefix = text.to_ascii_lowercase();
    let alike: Vec<_> = jobs
        .iter()
        .filter(|(id, ..)| id.to_string().starts_with(&prefix))
        .collect();
    match alike.as_slice() {
        [] => Err(unknown),
        [(id, ..)] => Ok(*id),
        several => {
            let mut named: Vec<String> = several
                .iter()
                .take(LISTED)
                .map(|(id, base, _)| {
                    format!("{} ({base})", &id.to_string()[..(prefix.len() + 4).clamp(8, 64)])
                })
                .collect();
            if several.len() > LISTED {
                named.push(format!("{} more", several.len() - LISTED));
            }
            Err(format!(
                "'{shown}' means several jobs: {}: give more digits",
                named.join(", ")
            ))
        }
    }
}

/// A resolved job with its value.
pub(super) fn find(rooms: &Rooms, view: &View, text: &str) -> Result<(JobId, JobV1), String> {
    let id = resolve(rooms, view, text)?;
    let job = view
        .job(&id)
        .ok_or_else(|| format!("there is no job {}", id.short()))?;
    Ok((id, job.clone()))
}

/// The word for a job's state.
pub(super) fn state_word(job: &JobV1, live: Option<&LiveJob>) -> &'static str {
    match job.state {
        JobState::Queued if live.is_some_and(|live| live.worker.is_some()) => "running",
        JobState::Queued => "queued",
        JobState::Published => "published",
        JobState::Failed { .. } => "failed",
        JobState::Cancelled => "cancelled",
    }
}

pub(super) async fn jobs(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    all: bool,
    failed: bool,
) -> Result<(), End> {
    let view = rooms.ledger.view();
    let told = live(rooms, Vec::new()).await;
    // Without a master nothing is planned: that is what all of them wait for.
    let unplanned = told.is_none().then(|| without_plan(rooms));
    let told = told.unwrap_or_default().into_iter();
    let live: BTreeMap<JobId, LiveJob> = told.map(|live| (live.job, live)).collect();
    let wanted = |job: &JobV1| match job.state {
        JobState::Failed { .. } => all || failed,
        JobState::Queued => !failed,
        JobState::Published | JobState::Cancelled => all && !failed,
    };
    let mut chosen: Vec<(&JobId, &JobV1)> = view.jobs().filter(|(_, job)| wanted(job)).collect();
    chosen.sort_by_key(|(id, job)| (job.submitted_ms, **id));
    let copies = copies_of(rooms, &view, &chosen).await;
    let shown = chosen.into_iter().map(|(id, job)| {
        let mut shown = shown(&view, id, job, live.get(id), copies.get(id).copied().unwrap_or(0));
        if job.state == JobState::Queued && shown.waiting_for.is_none() {
            shown.waiting_for.clone_from(&unplanned);
        }
        shown
    });
    let overtaken = rooms.ledger.overtaken();
    let too_old = overtaken.iter().map(past::shown);
    let shown = too_old.chain(shown).collect();
    caller.list(shown, LocalReply::Jobs).await
}

/// What open jobs wait for while no master says anything of them.
fn without_plan(rooms: &Rooms) -> String {
    match rooms.master.leadership().master() {
        Some(master) => format!("{}, which leads, to answer", rooms.name_of(&master)),
        None => "a master: none is in reach".to_owned(),
    }
}

/// For each published job: on how many replicas those of its archives are that are in force, the least of them.
pub(super) async fn copies_of(
    rooms: &Arc<Rooms>,
    view: &View,
    jobs: &[(&JobId, &JobV1)],
) -> BTreeMap<JobId, u32> {
    let published: BTreeSet<JobId> = jobs
        .iter()
        .filter(|(_, job)| job.state == JobState::Published)
        .map(|(id, _)| **id)
        .collect();
    let mut archives: BTreeMap<JobId, BTreeSet<Digest>> = BTreeMap::new();
    for (_, release) in view
        .all_releases()
        .filter(|(_, release)| published.contains(&release.job))
    {
        archives.entry(release.job).or_default().insert(release.archive);
    }
    let all: BTreeSet<Digest> = archives.values().flatten().copied().collect();
    let held = if all.is_empty() {
        BTreeMap::new()
    } else {
        count_copies(rooms, &all).await
    };
    let least = |of: BTreeSet<Digest>| of.iter().filter_map(|archive| held.get(archive)).min().copied();
    archives
        .into_iter()
        .map(|(id, of)| (id, least(of).unwrap_or(0)))
        .collect()
}

fn shown(view: &View, id: &JobId, job: &JobV1, live: Option<&LiveJob>, copies: u32) -> JobView {
    let end = job.end.as_ref();
    let ended = job.state != JobState::Queued;
    let worker = live.and_then(|live| live.worker).or_else(|| end?.worker);
    let version = end.and_then(|end| end.version.as_ref()).unwrap_or(&job.version);
    let error = match &job.state {
        JobState::Failed { error, .. } => Some(cut(error)),
        _ => None,
    };
    let started = live.and_then(|live| live.started_ms).or_else(|| end?.started_ms);
    let finished = view.job_written_ms(id).filter(|_| ended);
    JobView {
        id: id.to_string(),
        base: job.base.to_string(),
        version: version.to_string(),
        arch: job.arch.to_string(),
        repository: job.repository.to_string(),
        state: state_word(job, live).to_owned(),
        worker: worker.map(|worker| worker.to_string()),
        attempts: live
            .map(|live| live.attempts)
            .or_else(|| Some(end?.attempts))
            .unwrap_or(0),
        copies,
        waiting_for: live.and_then(|live| live.waiting_for.as_deref()).map(cut),
        error,
        submitted_at: Some(clock::rfc3339(job.submitted_ms)),
        started_at: started.map(clock::rfc3339),
        finished_at: finished.map(clock::rfc3339),
    }
}

pub(super) async fn packages(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let view = rooms.ledger.view();
    let shown = view
        .all_releases()
        .map(|(key, release)| package(key, release))
        .collect();
    caller.list(shown, LocalReply::Packages).await
}

fn package(key: &PackageKey, release: &ReleaseV1) -> PackageView {
    PackageView {
        name: key.name.to_string(),
        base: release.base.to_string(),
        version: release.version.to_string(),
        arch: key.arch.to_string(),
        repository: key.repository.to_string(),
        filename: release.file.to_string(),
        size: release.size,
        sha256: release.sha256.to_string(),
        blake3: release.archive.to_string(),
        signer: release.signer.map(|signer| signer.to_string().to_uppercase()),
        worker: release.worker.to_string(),
        job: release.job.to_string(),
        built_at: clock::rfc3339(release.built_at.saturating_mul(1000)),
    }
}

/// Takes a source tree in, and keeps it until it is built or forgotten.
pub(super) async fn store(
    office: &Office,
    rooms: &Arc<Rooms>,
    reader: &mut OwnedReadHalf,
    caller: &mut Caller,
) -> Result<(), End> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        End::Failed(format!("the source cannot be kept: {}", chain(error)))
    };
    let mut writer = rooms.blobs.writer().await.map_err(|error| failed(&error))?;
    let mut size = 0;
    loop {
        match timeout(CHUNK_WAIT, expect_frame::<LocalChunk>(reader, FRAME_LIMIT)).await {
            Err(_) => return Err("the source stopped coming: ask again".into()),
            Ok(Err(_)) => return Err(End::Gone),
            Ok(Ok(LocalChunk::End)) => break,
            Ok(Ok(LocalChunk::Bytes(bytes))) if bytes.len() > CHUNK => {
                return Err(
                    "a chunk is longer than allowed: is 'pacmesh' of the same version as its daemon?".into(),
                );
            }
            Ok(Ok(LocalChunk::Bytes(bytes))) => {
                size += bytes.len() as u64;
                if size > TREE_LIMIT {
                    return Err("the source is greater than 1 GiB: leave out what makepkg can fetch".into());
                }
                writer.write(&bytes).await.map_err(|error| failed(&error))?;
            }
        }
    }
    let stored = writer.finish().await.map_err(|error| failed(&error))?;
    office.parcels.keep(&rooms.blobs, stored.digest).await?;
    caller.say(LocalReply::Stored(stored.digest)).await
}

pub(super) async fn cancel(rooms: &Arc<Rooms>, caller: &mut Caller, text: &str) -> Result<(), End> {
    let (id, job) = find(rooms, &rooms.ledger.view(), text)?;
    carry(rooms, Change::CancelJob { job: id }).await?;
    caller
        .done(format!("{} ({}) is cancelled.", job.base, id.short()))
        .await
}

pub(super) async fn retry(rooms: &Arc<Rooms>, caller: &mut Caller, text: &str) -> Result<(), End> {
    let (id, job) = find(rooms, &rooms.ledger.view(), text)?;
    let (_, copies) = carry(rooms, Change::RetryJob { job: id }).await?;
    let copies = counted(copies as usize, "copy", "copies");
    caller
        .done(format!(
            "{} ({}) is queued again, {copies}.",
            job.base,
            id.short()
        ))
        .await
}

pub(super) async fn hold(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    bases: Vec<PackageName>,
    hold: bool,
) -> Result<(), End> {
    let names: Vec<&str> = bases.iter().map(PackageName::as_str).collect();
    let names = names.join(", ");
    let change = Change::Hold {
        repository: None,
        bases,
        hold,
    };
    let (_, copies) = carry(rooms, change).await?;
    let word = if hold { "Held" } else { "Released" };
    caller
        .done(format!(
            "{word}: {names}; {}",
            counted(copies as usize, "copy", "copies")
        ))
        .await
}

pub(super) async fn remove(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    names: Vec<PackageName>,
) -> Result<(), End> {
    let view = rooms.ledger.view();
    let repository = Settings(&view).repositories().into_iter().next();
    // An `any` package counts once, however many architectures show it.
    let gone: BTreeSet<&PackageName> = view
        .all_releases()
        .filter(|(key, _)| Some(&key.repository) == repository.as_ref())
        .filter(|(key, release)| names.contains(&key.name) || names.contains(&release.base))
        .map(|(key, _)| &key.name)
        .collect();
    let (_, copies) = carry(
        rooms,
        Change::Remove {
            repository: None,
            names,
        },
    )
    .await?;
    let packages = counted(gone.len(), "package", "packages");
    caller
        .done(format!(
            "{packages} removed, {}",
            counted(copies as usize, "copy", "copies")
        ))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: [u8; 4]) -> JobId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&first);
        JobId(bytes)
    }

    fn known() -> Vec<(JobId, &'static str, u64)> {
        vec![
            (id([0xab, 0xcd, 0x01, 0]), "zlib", 10),
            (id([0xab, 0xcd, 0x02, 0]), "zlib", 20),
            (id([0xbe, 0xef, 0x00, 0]), "cafe", 5),
            (id([0xca, 0xfe, 0x00, 0]), "gcc", 30),
        ]
    }

    #[test]
    fn a_base_means_its_last_job() {
        assert_eq!(pick("zlib", &known()), Ok(id([0xab, 0xcd, 0x02, 0])));
    }

    #[test]
    fn a_base_that_looks_like_an_id_is_a_base() {
        assert_eq!(pick("cafe", &known()), Ok(id([0xbe, 0xef, 0x00, 0])));
    }

    #[test]
    fn a_prefix_means_one_job_in_either_case_or_lists_those_that_it_means() {
        assert_eq!(pick("ABCD01", &known()), Ok(id([0xab, 0xcd, 0x01, 0])));
        let error = pick("abcd", &known()).unwrap_err();
        assert!(
            error.contains("abcd0100 (zlib)") && error.contains("abcd0200 (zlib)"),
            "{error}"
        );
    }

    #[test]
    fn what_is_too_short_or_unknown_is_refused_with_the_next_step() {
        for text in ["abc", "", "nothing", "ffff"] {
            let error = pick(text, &known()).unwrap_err();
            assert!(error.contains("pacmesh jobs --all"), "{error}");
        }
    }
}
