//! Submissions: trees are kept, probed in a worker's sandbox and judged together; then one record queues them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    codec::CodecError,
    ids::{Digest, JobId, NodeId, RequestId},
    ledger::{
        kinds::{BuildOptions, Deliver, JobState, JobV1, SettingV1, SourceKey, SourceV1, Value},
        record::{Entry, ReignId},
        view::View,
    },
    names::{Architecture, EnvironmentName, PackageName, RepositoryName},
    schedule::{Candidate, Catalog, Liveness, Place, Schedule, WorkerState, admit},
    wire::{AcceptedJob, Carried, Change, ProbeError, Reply, Request, Submission},
    work::Probe,
};

use super::{
    catalogs::workers,
    changes::{repository_of, requeued},
    copies::{self, Copies},
    horizon,
};
use crate::{
    clock,
    rooms::Rooms,
    settings::{self, Settings},
};

/// How long a probe may take, with the fetching of its tree (FORMATS, "Numbers": 60 s for the probe itself).
const PROBE_WAIT: Duration = Duration::from_secs(90);
/// Most sources of one submission.
const SOURCE_LIMIT: usize = 256;

/// A submission whose trees are kept and whose metadata is known.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) carried: Carried,
    pub(super) repository: RepositoryName,
    pub(super) environment: EnvironmentName,
    pub(super) makepkg_conf: Digest,
    pub(super) copies: Copies,
    /// For each source: the architectures to build for, with what its PKGBUILD says for each.
    pub(super) probes: Vec<Vec<(Architecture, Probe)>>,
}

/// The slow part: keeps the trees, and has them probed.
///
/// The trees are with the origin, and with `bearer`, which may be the only one of both in reach.
pub(super) async fn probe(
    rooms: Arc<Rooms>,
    reign: ReignId,
    bearer: NodeId,
    carried: Carried,
) -> Result<Probed, String> {
    let Change::Submit {
        repository,
        arches,
        options,
        sources,
        ..
    } = &carried.body
    else {
        return Err("this is not a submission".to_owned());
    };
    if sources.is_empty() || sources.len() > SOURCE_LIMIT {
        return Err(format!(
            "{} sources at once: submit 1 to {SOURCE_LIMIT}",
            sources.len()
        ));
    }
    let view = rooms.ledger.view();
    let repository = repository_of(&view, repository.as_ref())?;
    let trees: Vec<Digest> = sources.iter().map(|source| source.tree).collect();
    let holders = vec![bearer, carried.origin];
    let missing = rooms.obtain(&trees, &holders).await;
    if !missing.is_empty() {
        return Err(
            "the sources could not be fetched from the node where this was typed: is it in reach?".to_owned(),
        );
    }
    let text = Settings(&view).makepkg_conf().as_bytes().to_vec();
    let makepkg_conf = rooms
        .blobs
        .put_bytes(text)
        .await
        .map_err(|error| format!("no room for the sources: {error}"))?;
    let kept = trees.iter().copied().chain([makepkg_conf]).collect();
    let copies = copies::keep(&rooms, kept, holders).await;
    if copies.holders.is_empty() {
        return Err(
            "no storage in reach: start a machine with the role storage ('pacmesh nodes')".to_owned(),
        );
    }
    let environment = environment(&rooms, &view, &repository)?;
    let mut probes = Vec::new();
    for source in sources {
        let named = named_arches(&view, &repository, arches)?;
        probes.push(probe_source(&rooms, reign, source, &environment, &named, *options).await?);
    }
    Ok(Probed {
        repository,
        environment,
        makepkg_conf,
        copies,
        probes,
        carried,
    })
}

/// The repository's environment; at its first build that of most workers in reach.
fn environment(rooms: &Rooms, view: &View, repository: &RepositoryName) -> Result<EnvironmentName, String> {
    if let Some(environment) = Settings(view).environment(repository) {
        return Ok(environment);
    }
    let mut counts: BTreeMap<EnvironmentName, usize> = BTreeMap::new();
    for worker in workers(rooms)
        .into_iter()
        .filter(|worker| worker.liveness == Liveness::Alive)
    {
        *counts.entry(worker.capability.environment).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(environment, _)| environment)
        .ok_or_else(|| {
            "no worker in reach: start a machine with the role worker ('pacmesh nodes')".to_owned()
        })
}

fn named_arches(
    view: &View,
    repository: &RepositoryName,
    asked: &[Architecture],
) -> Result<Vec<Architecture>, String> {
    let all = Settings(view).arches(repository);
    match asked.iter().find(|arch| !arch.is_any() && !all.contains(arch)) {
        Some(other) => {
            let names: Vec<_> = all.iter().map(Architecture::as_str).collect();
            Err(format!(
                "the repository {repository} is not for {other}: it is for {}; 'pacmesh config set repository.{repository}.arches' changes that",
                names.join(", ")
            ))
        }
        None if asked.is_empty() => Ok(all),
        None => Ok(asked.to_vec()),
    }
}

async fn probe_source(
    rooms: &Arc<Rooms>,
    reign: ReignId,
    source: &Submission,
    environment: &EnvironmentName,
    arches: &[Architecture],
    options: BuildOptions,
) -> Result<Vec<(Architecture, Probe)>, String> {
    let labelled = |reason: String| format!("{}: {reason}", source.label);
    let Some(first) = arches.first() else {
        return Err(labelled("for no architecture".to_owned()));
    };
    let probe = probe_one(rooms, reign, source.tree, first, environment)
        .await
        .map_err(labelled)?;
    if probe.arches.iter().all(Architecture::is_any) {
        return Ok(vec![(Architecture::any(), probe)]);
    }
    let mut probes = Vec::new();
    for arch in arches {
        let named = probe.arches.iter().any(|named| named == arch || named.is_any());
        if !named && !options.ignorearch {
            continue;
        }
        let of_arch = if arch == first {
            probe.clone()
        } else {
            probe_one(rooms, reign, source.tree, arch, environment)
                .await
                .map_err(labelled)?
        };
        probes.push((arch.clone(), of_arch));
    }
    if probes.is_empty() {
        let names: Vec<_> = probe.arches.iter().map(Architecture::as_str).collect();
        return Err(labelled(format!(
            "the PKGBUILD is for {} only, which this repository is not for: add an arch, or pass --ignorearch",
            names.join(", ")
        )));
    }
    Ok(probes)
}

/// Asks one worker after the other, until one has read the PKGBUILD or found it at fault.
pub(super) async fn probe_one(
    rooms: &Arc<Rooms>,
    reign: ReignId,
    tree: Digest,
    arch: &Architecture,
    environment: &EnvironmentName,
) -> Result<Probe, String> {
    let mut able: Vec<WorkerState> = workers(rooms)
        .into_iter()
        .filter(|worker| worker.liveness == Liveness::Alive && worker.capability.environment == *environment)
        .collect();
    // This node has the tree already.
    able.sort_by_key(|worker| (worker.capability.node != rooms.node, worker.load));
    let mut last = format!("no worker with the environment {environment} is in reach: start one");
    // A successor that keeps no trees may not have it; a worker may have one only from its master before it has the job.
    if !rooms.obtain(&[tree], &[]).await.is_empty() {
        return Err("the source is out of reach: start a machine with the role storage".to_owned());
    }
    for worker in able {
        let _reading = rooms.sources.reading(worker.capability.node, tree);
        let request = Request::Probe {
            reign,
            tree,
            arch: arch.clone(),
            environment: environment.clone(),
        };
        match rooms.ask(worker.capability.node, request, PROBE_WAIT).await {
            Ok(Reply::Probed(Ok(probe))) => return Ok(probe),
            Ok(Reply::Probed(Err(ProbeError::Source(reason)))) => return Err(reason),
            Ok(Reply::Probed(Err(ProbeError::Worker(reason)))) => {
                last = format!("{} could not read the PKGBUILD: {reason}", worker.name);
            }
            Ok(Reply::Refused { reason }) => last = format!("{} refused: {reason}", worker.name),
            Ok(_) => last = format!("{} answered something else", worker.name),
            Err(error) => last = format!("{} did not answer: {error}", worker.name),
        }
    }
    Err(last)
}

/// What a submission writes.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) entries: Vec<Entry>,
    pub(super) jobs: Vec<AcceptedJob>,
}

/// The quick part: judges dependencies, and plans the record. Nothing is accepted unless everything is.
pub(super) fn accept(
    rooms: &Rooms,
    view: &View,
    schedule: &Schedule,
    probed: &Probed,
    catalogs: &BTreeMap<Architecture, Catalog>,
) -> Result<Accepted, String> {
    judge(schedule, probed, catalogs)?;
    let Change::Submit {
        options,
        track,
        sources,
        ..
    } = &probed.carried.body
    else {
        return Err("this is not a submission".to_owned());
    };
    let mut accepted = Accepted {
        entries: Vec::new(),
        jobs: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for (source, probes) in sources.iter().zip(&probed.probes) {
        for (arch, probe) in probes {
            let job = new_job(view, probed, source, *options, arch, probe);
            let (id, known) = queue(rooms, view, probed.carried.request, &job, &mut accepted.entries)?;
            if seen.insert(id) {
                accepted.jobs.push(AcceptedJob {
                    job: id,
                    base: probe.base.clone(),
                    known,
                });
            }
        }
        if let Some((_, probe)) = probes.first().filter(|_| *track) {
            let entry = tracked(view, probed, source, *options, &probe.base)?;
            accepted.entries.extend(entry);
        }
    }
    if !accepted.entries.is_empty() && Settings(view).environment(&probed.repository).is_none() {
        let name = settings::environment_of(&probed.repository);
        let version = view.setting_version(&name) + 1;
        let setting = SettingV1 {
            version,
            value: probed.environment.to_string(),
        };
        accepted
            .entries
            .push(setting.entry(&name).map_err(|error| error.to_string())?);
    }
    Ok(accepted)
}

fn judge(
    schedule: &Schedule,
    probed: &Probed,
    catalogs: &BTreeMap<Architecture, Catalog>,
) -> Result<(), String> {
    let Change::Submit { options, .. } = &probed.carried.body else {
        return Ok(());
    };
    let all: Vec<&(Architecture, Probe)> = probed.probes.iter().flatten().collect();
    let mut bases: BTreeMap<(&PackageName, &Architecture), usize> = BTreeMap::new();
    for (arch, probe) in &all {
        *bases.entry((&probe.base, arch)).or_default() += 1;
    }
    if let Some(((base, _), _)) = bases.iter().find(|(_, count)| **count > 1) {
        return Err(format!(
            "{base} comes from two of these directories: name one of them"
        ));
    }
    for (arch, catalog) in catalogs {
        let candidate = |probe| Candidate {
            probe,
            nocheck: options.nocheck,
            delivers: true,
        };
        // Packages of architecture `any` can satisfy those of every other, and need some architecture's packages.
        let batch: Vec<Candidate<'_>> = all
            .iter()
            .filter(|(of, _)| of == arch || of.is_any())
            .map(|(_, probe)| candidate(probe))
            .collect();
        let open = schedule.open_candidates(&probed.repository, arch);
        let place = Place {
            repository: &probed.repository,
            environment: &probed.environment,
            catalog,
        };
        admit(&place, &batch, &open).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
    }
    Ok(())
}

fn new_job(
    view: &View,
    probed: &Probed,
    source: &Submission,
    options: BuildOptions,
    arch: &Architecture,
    probe: &Probe,
) -> JobV1 {
    let now = clock::wall_ms();
    JobV1 {
        generation: 0,
        state: JobState::Queued,
        repository: probed.repository.clone(),
        arch: arch.clone(),
        base: probe.base.clone(),
        version: probe.version.clone(),
        tree: source.tree,
        origin: source.origin.clone(),
        options,
        nonce: None,
        makepkg_conf: probed.makepkg_conf,
        snapshot: None,
        environment: probed.environment.clone(),
        epoch: source.epoch.min(now / 1000),
        day: horizon::day_of_acceptance(view, now),
        submitter: probed.carried.origin,
        submitted_ms: now,
        deliver: Deliver::Repository,
        end: None,
    }
}

/// Queues a job that is new, failed or cancelled, or whose packages others have replaced or removed since; what is open
/// or in force already is one job with it.
fn queue(
    rooms: &Rooms,
    view: &View,
    request: RequestId,
    job: &JobV1,
    entries: &mut Vec<Entry>,
) -> Result<(JobId, bool), String> {
    let text = |error: CodecError| error.to_string();
    let id = job.id(rooms.mesh).map_err(text)?;
    match view.job(&id) {
        None => {
            entries.push(job.entry(&id).map_err(text)?);
            Ok((id, false))
        }
        Some(old) if old.state == JobState::Published => {
            let same = |other: &JobV1| {
                JobV1 {
                    nonce: None,
                    ..other.clone()
                }
                .id(rooms.mesh)
                .is_ok_and(|other| other == id)
            };
            if let Some(standing) = standing(view, job, same) {
                return Ok((standing, true));
            }
            let again = JobV1 {
                nonce: Some(request),
                ..job.clone()
            };
            let id = again.id(rooms.mesh).map_err(text)?;
            let known = view.job(&id).is_some();
            if !known {
                entries.push(again.entry(&id).map_err(text)?);
            }
            Ok((id, known))
        }
        Some(old) => {
            if matches!(old.state, JobState::Failed { .. } | JobState::Cancelled) {
                entries.push(requeued(old).entry(&id).map_err(text)?);
            }
            Ok((id, true))
        }
    }
}

/// The job of the same content that is open, or that made all packages of its base that are in force.
fn standing(view: &View, job: &JobV1, same: impl Fn(&JobV1) -> bool) -> Option<JobId> {
    let alike = |other: &&JobV1| other.base == job.base && other.repository == job.repository && same(other);
    let open = view
        .jobs()
        .find(|(_, other)| other.state == JobState::Queued && alike(other));
    if let Some((id, _)) = open {
        return Some(*id);
    }
    let mut makers = view
        .all_releases()
        .filter(|(key, release)| release.base == job.base && key.repository == job.repository)
        .filter(|(key, _)| job.arch.is_any() || key.arch == job.arch)
        .map(|(_, release)| release.job)
        .peekable();
    let first = *makers.peek()?;
    let stands = |maker: JobId| view.job(&maker).as_ref().is_some_and(alike);
    makers.all(stands).then_some(first)
}

fn tracked(
    view: &View,
    probed: &Probed,
    source: &Submission,
    options: BuildOptions,
    base: &PackageName,
) -> Result<Option<Entry>, String> {
    let key = SourceKey {
        repository: probed.repository.clone(),
        base: base.clone(),
    };
    let seen = view.source(&key);
    if seen.is_some_and(|seen| !seen.removed && seen.tree == source.tree && seen.options == options) {
        return Ok(None);
    }
    let value = SourceV1 {
        version: seen.map_or(0, |seen| seen.version) + 1,
        removed: false,
        origin: source.origin.clone(),
        tree: source.tree,
        arches: Vec::new(),
        patches: Vec::new(),
        hold: seen.is_some_and(|seen| seen.hold && !seen.removed),
        options,
    };
    value.entry(&key).map(Some).map_err(|error| error.to_string())
}

/// Which node a text names: a display name, an id, or the beginning of one.
pub(crate) fn find_node(view: &View, text: &str) -> Result<NodeId, String> {
    let exact = view
        .members()
        .find(|member| member.name.as_str() == text || member.id.to_string() == text);
    if let Some(member) = exact {
        return Ok(member.id);
    }
    let mut alike = view
        .members()
        .filter(|member| text.len() >= 4 && member.id.to_string().starts_with(text));
    match (alike.next(), alike.next()) {
        (Some(member), None) => Ok(member.id),
        _ => Err(format!(
            "no machine of this mesh is called '{text}': see 'pacmesh nodes'"
        )),
    }
}
