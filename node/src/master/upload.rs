//! Uploads: what somebody brought is verified here, and each base enters as one batch, or fails as one.
//!
//! Names, version and architecture are those of the verified archives (DESIGN, invariant 6); the job's "tree" is the
//! list of what it is made of, so that the same archives brought twice are one job. A base is recorded once it is
//! judged, published or failed: the ledger never knows an upload that waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream};
use pacmesh_protocol::{
    codec::{self, CodecError},
    ids::{Digest, MeshId, NodeId},
    ledger::{
        kinds::{BuildOptions, Deliver, JobEnd, JobState, JobV1, Origin, PackageKey, ReleaseV1, Value},
        view::View,
    },
    names::{Architecture, EnvironmentName, PackageName, PackageVersion, RepositoryName},
    schedule::VerifyError,
    wire::{AcceptedJob, Carried, Change, UPLOADS, Uploaded},
    work::FailureClass,
};
use pacmesh_signing::{Keyring, policy::Demand};

use super::{
    changes::{Planned, repository_of},
    copies::{self, Copies},
    horizon, publish,
    verify::{self, VerifiedPackage},
};
use crate::{rooms::Rooms, settings::Settings, worker};

/// So many archives are read at once; each takes a core.
const AT_ONCE: usize = 2;
/// Longest list of what an upload is made of, in bytes.
const MANIFEST_LIMIT: usize = 64 << 10;

/// An upload of which all is known that its bytes say.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) carried: Carried,
    pub(super) copies: Copies,
    place: Place,
    bases: Vec<Base>,
}

/// Where uploads go.
#[derive(Debug, Clone)]
struct Place {
    repository: RepositoryName,
    environment: EnvironmentName,
    makepkg_conf: Digest,
    origin: NodeId,
}

/// The archives of one base.
#[derive(Debug)]
struct Base {
    name: PackageName,
    version: PackageVersion,
    arch: Architecture,
    manifest: Digest,
    packages: Result<Vec<VerifiedPackage>, String>,
}

/// The slow part: fetches the archives, verifies them, signs what may come unsigned, and has replicas keep them.
pub(super) async fn judge(rooms: Arc<Rooms>, bearer: NodeId, carried: Carried) -> Result<Judged, String> {
    let Change::Upload { repository, archives } = &carried.body else {
        return Err("this is not an upload".to_owned());
    };
    if archives.is_empty() || archives.len() > UPLOADS {
        return Err(format!(
            "{} archives at once: bring 1 to {UPLOADS}",
            archives.len()
        ));
    }
    let view = rooms.ledger.view();
    let repository = repository_of(&view, repository.as_ref())?;
    let holders = vec![bearer, carried.origin];
    let mut blobs: BTreeSet<Digest> = archives
        .iter()
        .flat_map(|uploaded| [Some(uploaded.package.archive), uploaded.package.signature])
        .flatten()
        .collect();
    let wanted: Vec<Digest> = blobs.iter().copied().collect();
    if !rooms.obtain(&wanted, &holders).await.is_empty() {
        return Err(
            "the archives could not be fetched from the node that has them: is it in reach?".to_owned(),
        );
    }
    let text = Settings(&view).makepkg_conf().as_bytes().to_vec();
    let place = Place {
        environment: Settings(&view)
            .environment(&repository)
            .unwrap_or_else(unknown_environment),
        makepkg_conf: keep(&rooms, text).await?,
        origin: carried.origin,
        repository,
    };
    blobs.insert(place.makepkg_conf);
    let arches = Settings(&view).arches(&place.repository);
    let mut bases = Vec::new();
    for (name, archives) in newest_of_each_base(archives) {
        let base = judge_base(&rooms, &view, &arches, name, archives).await?;
        blobs.insert(base.manifest);
        for package in base.packages.iter().flatten() {
            blobs.insert(package.meta);
            blobs.extend(package.built.signature);
        }
        bases.push(base);
    }
    let copies = copies::keep(&rooms, blobs.into_iter().collect(), holders).await;
    if copies.holders.is_empty() {
        return Err(
            "no storage in reach: start a machine with the role storage ('pacmesh nodes')".to_owned(),
        );
    }
    Ok(Judged {
        place,
        bases,
        copies,
        carried,
    })
}

fn unknown_environment() -> EnvironmentName {
    "upload:unknown"
        .parse()
        .unwrap_or_else(|_| unreachable!("'upload:unknown' is an environment"))
}

async fn keep(rooms: &Rooms, bytes: Vec<u8>) -> Result<Digest, String> {
    let kept = rooms.blobs.own().put_bytes(bytes).await;
    kept.map_err(|error| format!("no room for the upload: {error}"))
}

/// Of several versions of a base that came together only the newest enters.
fn newest_of_each_base(archives: &[Uploaded]) -> BTreeMap<PackageName, Vec<Uploaded>> {
    let mut bases: BTreeMap<PackageName, Vec<Uploaded>> = BTreeMap::new();
    for uploaded in archives {
        bases
            .entry(uploaded.base.clone())
            .or_default()
            .push(uploaded.clone());
    }
    for archives in bases.values_mut() {
        let newest = archives
            .iter()
            .map(|uploaded| uploaded.package.file.version())
            .max()
            .cloned();
        archives.retain(|uploaded| Some(uploaded.package.file.version()) == newest.as_ref());
    }
    bases
}

async fn judge_base(
    rooms: &Arc<Rooms>,
    view: &View,
    arches: &[Architecture],
    name: PackageName,
    archives: Vec<Uploaded>,
) -> Result<Base, String> {
    let mut files: Vec<_> = archives
        .iter()
        .map(|uploaded| (uploaded.package.file.clone(), uploaded.package.archive))
        .collect();
    files.sort();
    let Some((first, _)) = files.first() else {
        return Err(format!("{name} has no archives"));
    };
    let arch = files
        .iter()
        .map(|(file, _)| file.arch())
        .find(|arch| !arch.is_any());
    let (version, arch) = (first.version().clone(), arch.unwrap_or(first.arch()).clone());
    let manifest = codec::encode(&files, MANIFEST_LIMIT).map_err(|error| error.to_string())?;
    let foreign = files
        .iter()
        .find(|(file, _)| !file.arch().is_any() && !arches.contains(file.arch()));
    let packages = match foreign {
        Some((file, _)) => Err(format!("{file}: this repository is not for {}", file.arch())),
        None => verify_all(rooms, view, &name, archives).await,
    };
    Ok(Base {
        manifest: keep(rooms, manifest).await?,
        name,
        version,
        arch,
        packages,
    })
}

async fn verify_all(
    rooms: &Arc<Rooms>,
    view: &View,
    base: &PackageName,
    archives: Vec<Uploaded>,
) -> Result<Vec<VerifiedPackage>, String> {
    let (keyring, demand) = (Arc::new(crate::keyrings::all(view)), Settings(view).verify());
    let mut verified = stream::iter(archives)
        .map(|uploaded| verify_one(rooms, base, uploaded, keyring.clone(), demand))
        .buffered(AT_ONCE);
    let (mut packages, mut names) = (Vec::new(), BTreeSet::new());
    while let Some(package) = verified.next().await {
        let package = package?;
        if !names.insert((
            package.built.file.name().clone(),
            package.built.file.arch().clone(),
        )) {
            return Err(format!(
                "{} was brought twice, with different bytes",
                package.built.file
            ));
        }
        packages.push(package);
    }
    Ok(packages)
}

async fn verify_one(
    rooms: &Arc<Rooms>,
    base: &PackageName,
    uploaded: Uploaded,
    keyring: Arc<Keyring>,
    demand: Demand,
) -> Result<VerifiedPackage, String> {
    let file = uploaded.package.file.clone();
    let checked = verify::check(&rooms.blobs, uploaded.package, keyring, demand).await;
    let mut package = checked.map_err(|error| match error {
        VerifyError::Mismatch(reason) if reason.contains("sign.verify") => {
            format!("{reason}: sign it with a key that 'pacmesh keys trust' took, or 'pacmesh config set sign.verify present'")
        }
        VerifyError::Mismatch(reason) | VerifyError::Unreachable(reason) => reason,
    })?;
    if package.base != *base {
        return Err(format!("{file} belongs to {}, not to {base}", package.base));
    }
    if package.built.signature.is_none() {
        package.built.signature = Some(worker::sign(rooms, &package.built.archive).await?);
        package.signer = Some(rooms.keys.package.fingerprint());
    }
    Ok(package)
}

/// The quick part: what of it enters, by what is in force now.
pub(super) fn plan(view: &View, mesh: MeshId, judged: &Judged, now_ms: u64) -> Result<Planned, CodecError> {
    let mut planned = Planned::default();
    for base in &judged.bases {
        plan_base(view, mesh, judged, base, now_ms, &mut planned)?;
    }
    Ok(planned)
}

fn plan_base(
    view: &View,
    mesh: MeshId,
    judged: &Judged,
    base: &Base,
    now_ms: u64,
    planned: &mut Planned,
) -> Result<(), CodecError> {
    let place = &judged.place;
    let mut job = new_job(view, place, base, now_ms);
    let mut id = job.id(mesh)?;
    let old = view.job(&id);
    if let Some(old) = old {
        job = JobV1 {
            state: JobState::Queued,
            end: None,
            ..old.clone()
        };
    }
    let accepted = |job, known| AcceptedJob {
        job,
        base: base.name.clone(),
        known,
    };
    let checked = base
        .packages
        .as_ref()
        .map_err(String::clone)
        .and_then(|packages| {
            check_place(view, &job, packages)?;
            Ok(packages)
        });
    let packages = match checked {
        Ok(packages) => packages,
        Err(reason) => {
            // A later failure is told anew, though it is the same one; and one of what was published once, and now may
            // not be again, is another job: that it was published stands.
            job.generation = old.map_or(0, |old| old.generation + 1);
            if old.is_some_and(|old| old.state == JobState::Published) {
                job.nonce = Some(judged.carried.request);
                id = job.id(mesh)?;
            }
            planned.entries.extend(publish::failure(
                id,
                &job,
                FailureClass::Mismatch,
                &reason,
                0,
                None,
            )?);
            planned.jobs.push(accepted(id, false));
            return Ok(());
        }
    };
    if let Some(there) = in_force_already(view, &job, packages) {
        planned.jobs.push(accepted(there, true));
        return Ok(());
    }
    job.state = JobState::Published;
    job.end = Some(JobEnd {
        worker: None,
        attempts: 0,
        version: Some(base.version.clone()),
        log: None,
        inputs: Vec::new(),
        started_ms: None,
    });
    planned.entries.push(job.entry(&id)?);
    for package in packages {
        planned
            .entries
            .extend(publish::release(view, id, &job, place.origin, package)?);
    }
    let lost = lost_members(view, &job, packages);
    planned.entries.extend(publish::removal(view, &lost)?);
    planned.jobs.push(accepted(id, false));
    Ok(())
}

fn new_job(view: &View, place: &Place, base: &Base, now_ms: u64) -> JobV1 {
    JobV1 {
        generation: 0,
        state: JobState::Queued,
        repository: place.repository.clone(),
        arch: base.arch.clone(),
        base: base.name.clone(),
        version: base.version.clone(),
        tree: base.manifest,
        origin: Origin::Upload,
        options: BuildOptions::default(),
        nonce: None,
        makepkg_conf: place.makepkg_conf,
        snapshot: None,
        environment: place.environment.clone(),
        epoch: now_ms / 1000,
        day: horizon::day_of_acceptance(view, now_ms),
        submitter: place.origin,
        submitted_ms: now_ms,
        deliver: Deliver::Repository,
        end: None,
    }
}

/// The databases that a package of `arch` stands in.
fn places<'a>(
    view: &View,
    job: &'a JobV1,
    arch: &'a Architecture,
) -> impl Iterator<Item = Architecture> + use<'a> {
    let all = Settings(view).arches(&job.repository);
    all.into_iter()
        .filter(move |place| arch.is_any() || place == arch)
}

fn key_of(job: &JobV1, arch: Architecture, name: &PackageName) -> PackageKey {
    PackageKey {
        repository: job.repository.clone(),
        arch,
        name: name.clone(),
    }
}

fn in_force<'a>(view: &'a View, key: &PackageKey) -> Option<&'a ReleaseV1> {
    view.package(key).and_then(|package| package.release.as_ref())
}

/// Other bytes under a name that clients may have cached, and versions older than what they have, stay out.
fn check_place(view: &View, job: &JobV1, packages: &[VerifiedPackage]) -> Result<(), String> {
    for package in packages {
        let file = &package.built.file;
        let bound = view.binding(file.name(), file.version(), file.arch());
        if bound.is_some_and(|archive| archive != package.built.archive) {
            return Err(format!(
                "{file} is bound to other bytes: raise pkgrel, and build it again"
            ));
        }
        for arch in places(view, job, file.arch()) {
            let newer = in_force(view, &key_of(job, arch, file.name()))
                .filter(|there| there.version > *file.version());
            if let Some(newer) = newer {
                return Err(format!(
                    "{file} is older than {}, which is published: raise its version, or 'pacmesh remove {}' first",
                    newer.version,
                    file.name()
                ));
            }
        }
    }
    Ok(())
}

/// The job that brought all of these, if they are in force everywhere they belong.
fn in_force_already(
    view: &View,
    job: &JobV1,
    packages: &[VerifiedPackage],
) -> Option<pacmesh_protocol::ids::JobId> {
    let mut brought = None;
    for package in packages {
        let file = &package.built.file;
        for arch in places(view, job, file.arch()) {
            let there = in_force(view, &key_of(job, arch, file.name()))?;
            if there.archive != package.built.archive {
                return None;
            }
            brought = Some(there.job);
        }
    }
    brought
}

/// Members that the base had at an earlier version and has no longer. Those of the same version came with another
/// upload: whoever brings a base in parts must not lose any.
fn lost_members(view: &View, job: &JobV1, packages: &[VerifiedPackage]) -> Vec<PackageKey> {
    let names: BTreeSet<&PackageName> = packages.iter().map(|package| package.built.file.name()).collect();
    places(view, job, &job.arch)
        .flat_map(|arch| {
            let of_base = view.releases(&job.repository, &arch).filter(|(key, release)| {
                release.base == job.base && release.version < job.version && !names.contains(&key.name)
            });
            of_base.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        })
        .collect()
}
