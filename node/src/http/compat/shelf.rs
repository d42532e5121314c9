//! The packages of a place with their statuses, as the view has them: made anew when the view changed, and not for each
//! request.
//!
//! What a base is, the repository says; only of one that was never published a client's word counts. How it stands is
//! the last thing that was said, by a client or by the mesh itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use pacmesh_protocol::{
    ids::Digest,
    ledger::{
        door::Topic,
        kinds::{GenerationKey, JobState, JobV1, Origin, ReleaseV1, SourceKey},
        view::View,
    },
    names::PackageName,
};
use tokio::sync::Semaphore;

use super::{Door, properties::Properties};
use crate::{
    compat::{
        facts, json,
        package::{Package, PackageSource, PackageStatus, RemoteSource},
        place::RepositoryId,
        status::{BuildStatus, HoldUpdate, RepositoryStats, Said},
    },
    rooms::Rooms,
};

/// The packages of one place.
#[derive(Debug)]
pub(super) struct Shelf {
    view: Arc<View>,
    /// By base.
    pub(super) bases: BTreeMap<String, PackageStatus>,
    /// How large it is.
    pub(super) stats: RepositoryStats,
    /// All of them, as they are answered.
    pub(super) list: Bytes,
}

/// The newest shelf of each place.
#[derive(Debug)]
pub(super) struct Shelves {
    properties: Properties,
    /// Held for look-ups only, never over an await.
    shelves: Mutex<BTreeMap<GenerationKey, Arc<Shelf>>>,
    /// Two requests do not make one shelf twice.
    turn: Semaphore,
}

impl Default for Shelves {
    fn default() -> Self {
        Self {
            properties: Properties::default(),
            shelves: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }
}

impl Door {
    /// The packages of a place, now.
    pub(super) async fn shelf(&self, place: &GenerationKey) -> Arc<Shelf> {
        let shelves = &self.shelves;
        let view = self.rooms.ledger.view();
        if let Some(shelf) = shelves.newest(place, &view) {
            return shelf;
        }
        let _turn = shelves.turn.acquire().await;
        let view = self.rooms.ledger.view();
        if let Some(shelf) = shelves.newest(place, &view) {
            return shelf;
        }
        let shelf = Arc::new(make(&self.rooms, &shelves.properties, &view, place).await);
        let mut all = shelves.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(place.clone(), shelf.clone());
        shelf
    }
}

impl Shelves {
    fn newest(&self, place: &GenerationKey, view: &Arc<View>) -> Option<Arc<Shelf>> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves
            .get(place)
            .filter(|shelf| Arc::ptr_eq(&shelf.view, view))
            .cloned()
    }
}

/// What is known of a base before its archives were looked at.
#[derive(Default)]
struct Base<'a> {
    releases: Vec<&'a ReleaseV1>,
    job: Option<(u64, &'a JobV1)>,
}

async fn make(rooms: &Rooms, properties: &Properties, view: &Arc<View>, place: &GenerationKey) -> Shelf {
    let mut stats = RepositoryStats::default();
    let mut bases = BTreeMap::new();
    for (name, base) in gather(view, place) {
        let reported_package = reported(view, place, &name);
        let package = match base.releases.is_empty() {
            true => reported_package
                .clone()
                .or_else(|| unpublished(view, place, &name, base.job.map(|(_, job)| job))),
            false => Some(published(rooms, properties, view, place, &name, &base.releases, &mut stats).await),
        };
        let Some(package) = package else { continue };
        let reported = facts::look_up(view, &facts::of_base(Topic::Status, place, &name));
        let mut status = Said::latest(reported, own_word(&base));
        let is_forgotten = base.releases.is_empty() && reported_package.is_none();
        if is_forgotten && status.status == BuildStatus::Unknown {
            continue;
        }
        status.is_held = is_held(view, place, &name);
        bases.insert(
            name.to_string(),
            PackageStatus {
                package,
                status,
                repository: RepositoryId::of(place),
            },
        );
    }
    let all: Vec<&PackageStatus> = bases.values().collect();
    let list = Bytes::from(json::plain(&all));
    let metas: BTreeSet<Digest> = view.all_releases().map(|(_, release)| release.meta).collect();
    properties.retain(|meta| metas.contains(meta));
    Shelf {
        view: view.clone(),
        bases,
        stats,
        list,
    }
}

/// Every base of which somebody said something.
fn gather<'a>(view: &'a View, place: &'a GenerationKey) -> BTreeMap<PackageName, Base<'a>> {
    let mut bases: BTreeMap<PackageName, Base<'a>> = BTreeMap::new();
    for (_, release) in view.releases(&place.repository, &place.arch) {
        bases
            .entry(release.base.clone())
            .or_default()
            .releases
            .push(release);
    }
    let is_here =
        |job: &JobV1| job.repository == place.repository && (job.arch.is_any() || job.arch == place.arch);
    for (id, job) in view.jobs().filter(|(_, job)| is_here(job)) {
        let at = view.job_written_ms(id).unwrap_or(job.submitted_ms);
        let base = bases.entry(job.base.clone()).or_default();
        if base.job.is_none_or(|(seen, _)| seen <= at) {
            base.job = Some((at, job));
        }
    }
    for (name, value) in view.compat_of(Topic::Package, Some(place)) {
        if let (Some(_), Ok(name)) = (&value.document, name.parse()) {
            bases.entry(name).or_default();
        }
    }
    bases
}

/// What the mesh itself says of a base.
fn own_word(base: &Base<'_>) -> Option<Said> {
    let Some((at_ms, job)) = base.job else {
        let built = base.releases.iter().map(|release| release.built_at).max()?;
        return Some(Said {
            status: BuildStatus::Success,
            at_ms: built * 1000,
        });
    };
    let status = match job.state {
        JobState::Queued => BuildStatus::Pending,
        JobState::Published => BuildStatus::Success,
        JobState::Failed { .. } => BuildStatus::Failed,
        JobState::Cancelled if base.releases.is_empty() => BuildStatus::Unknown,
        JobState::Cancelled => BuildStatus::Success,
    };
    Some(Said { status, at_ms })
}

async fn published(
    rooms: &Rooms,
    properties: &Properties,
    view: &View,
    place: &GenerationKey,
    name: &PackageName,
    releases: &[&ReleaseV1],
    stats: &mut RepositoryStats,
) -> Package {
    let reported = reported(view, place, name);
    let mut package = Package {
        base: name.to_string(),
        version: String::new(),
        remote: reported.map_or_else(|| remote(view, place, name), |package| package.remote),
        packages: BTreeMap::new(),
        packager: None,
    };
    stats.bases += 1;
    let newest = releases.iter().map(|release| &release.version).max();
    package.version = newest.map(ToString::to_string).unwrap_or_default();
    for release in releases {
        let known = properties.of(rooms, release).await;
        stats.packages += 1;
        stats.archive_size += release.size;
        stats.installed_size += known.properties.installed_size.unwrap_or_default();
        if !known.packager.is_empty() {
            package.packager = Some(known.packager.clone());
        }
        package
            .packages
            .insert(release.file.name().to_string(), known.properties.clone());
    }
    package
}

fn unpublished(
    view: &View,
    place: &GenerationKey,
    name: &PackageName,
    job: Option<&JobV1>,
) -> Option<Package> {
    // One that was removed is no package any more, whatever jobs it had.
    let job = job.filter(|job| job.state != JobState::Published)?;
    Some(Package {
        base: name.to_string(),
        version: job.version.to_string(),
        remote: remote(view, place, name),
        packages: BTreeMap::new(),
        packager: None,
    })
}

fn reported(view: &View, place: &GenerationKey, name: &PackageName) -> Option<Package> {
    facts::look_up(view, &facts::of_base(Topic::Package, place, name))
}

/// Where the source of a base is, as the mesh knows it.
fn remote(view: &View, place: &GenerationKey, name: &PackageName) -> RemoteSource {
    let key = SourceKey {
        repository: place.repository.clone(),
        base: name.clone(),
    };
    match view.source(&key).map(|source| &source.origin) {
        Some(Origin::Aur) => {
            let url = format!("https://aur.archlinux.org/{name}.git");
            RemoteSource {
                web_url: Some(format!("https://aur.archlinux.org/packages/{name}")),
                ..RemoteSource::git(PackageSource::Aur, url, "master")
            }
        }
        Some(Origin::Git { url }) => RemoteSource::git(PackageSource::Local, url.clone(), "master"),
        Some(Origin::Directory) => RemoteSource::of(PackageSource::Local),
        Some(Origin::Upload) | None => RemoteSource::of(PackageSource::Archive),
    }
}

fn is_held(view: &View, place: &GenerationKey, name: &PackageName) -> Option<bool> {
    let key = SourceKey {
        repository: place.repository.clone(),
        base: name.clone(),
    };
    if let Some(source) = view.source(&key).filter(|source| !source.removed) {
        return Some(source.hold);
    }
    let said: Option<HoldUpdate> = facts::look_up(view, &facts::of_base(Topic::Hold, place, name));
    said.map(|said| said.is_held)
}
