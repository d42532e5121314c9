//! What the schedule is told of the world: the packages in force, the jobs, the workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    codec,
    ids::{Digest, JobId, NodeId},
    ledger::{kinds::JobV1, view::View},
    membership::{MemberState, Seen},
    names::{Architecture, RepositoryName},
    roles::Role,
    schedule::{Catalog, CatalogPackage, Liveness, ViewUpdate, WorkerState},
    work::Capability,
};

use crate::{
    clock, parting::GRACE, repository::meta::PackageMeta, rooms::Rooms, settings::Settings, vitals,
    worker::provides::HostProvides,
};

/// Greatest length of an encoded package metadata blob, in bytes: 64 MiB of file names and change.
pub(super) const META_LIMIT: usize = 66 << 20;

/// How long the master leaves its work to a worker that it does not reach any longer, though others do.
const BEYOND_REACH: Duration = Duration::from_secs(30);

/// What the catalogs were made of at the last look, so that only differences are told.
#[derive(Debug, Default)]
pub(super) struct Catalogs {
    /// Dependencies and provisions by metadata blob: all that catalogs need of it.
    needs: BTreeMap<Digest, Arc<Needs>>,
    jobs: BTreeMap<JobId, JobV1>,
    shown: BTreeMap<(RepositoryName, Architecture), BTreeMap<String, Digest>>,
    host: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Needs {
    depends: Vec<String>,
    provides: Vec<String>,
}

impl Catalogs {
    /// What changed since the last call; everything at the first.
    pub(super) async fn update(&mut self, rooms: &Rooms, view: &View) -> ViewUpdate {
        let mut update = ViewUpdate::default();
        for (id, job) in view.jobs() {
            if self.jobs.get(id) != Some(job) {
                self.jobs.insert(*id, job.clone());
                update.jobs.push((*id, job.clone()));
            }
        }
        // Memory is that of the view: what it no longer has is forgotten.
        let gone = self.jobs.extract_if(.., |id, _| view.job(id).is_none());
        update.forgotten = gone.map(|(id, _)| id).collect();
        let shown: BTreeSet<Digest> = view.all_releases().map(|(_, release)| release.meta).collect();
        self.needs.retain(|meta, _| shown.contains(meta));
        let settings = Settings(view);
        for repository in settings.repositories() {
            let arches = settings.arches(&repository);
            let Some(first) = arches.first().cloned() else {
                continue;
            };
            // A job of arch `any` is built against the packages of the first architecture.
            let places = arches.into_iter().map(|arch| (arch.clone(), arch));
            for (arch, source) in places.chain([(Architecture::any(), first)]) {
                let archives = in_force(view, &repository, &source);
                let key = (repository.clone(), arch.clone());
                if self.shown.get(&key) == Some(&archives) {
                    continue;
                }
                let catalog = self.catalog(rooms, view, &repository, &source).await;
                self.shown.insert(key, archives);
                update.catalogs.push((repository.clone(), arch, catalog));
            }
        }
        update
    }

    /// The catalog of one place, from the metadata of what is in force there.
    pub(super) async fn catalog(
        &mut self,
        rooms: &Rooms,
        view: &View,
        repository: &RepositoryName,
        arch: &Architecture,
    ) -> Catalog {
        let mut packages = Vec::new();
        for (key, release) in view.releases(repository, arch) {
            let Some(needs) = self.needs_of(rooms, release.meta).await else {
                tracing::warn!(package = %key.name, "the metadata of a package is out of reach");
                continue;
            };
            packages.push(CatalogPackage {
                name: key.name.clone(),
                version: release.version.clone(),
                base: release.base.clone(),
                provides: needs.provides.clone(),
                depends: needs.depends.clone(),
                file: release.file.clone(),
                archive: release.archive,
            });
        }
        let host = match &self.host {
            Some(host) => host.clone(),
            None => self.host.insert(host_names(rooms).await).clone(),
        };
        Catalog::new(packages, host)
    }

    async fn needs_of(&mut self, rooms: &Rooms, meta: Digest) -> Option<Arc<Needs>> {
        if let Some(needs) = self.needs.get(&meta) {
            return Some(needs.clone());
        }
        let meta_value = read_meta(rooms, meta).await?;
        let needs = Arc::new(Needs {
            depends: meta_value.depends,
            provides: meta_value.provides,
        });
        self.needs.insert(meta, needs.clone());
        Some(needs)
    }
}

/// Reads a package's metadata, fetched first where it is not here.
pub(super) async fn read_meta(rooms: &Rooms, meta: Digest) -> Option<PackageMeta> {
    rooms.obtain(&[meta], &[]).await.is_empty().then_some(())?;
    let bytes = rooms.blobs.read(&meta, META_LIMIT as u64).await.ok()?;
    codec::decode_large(&bytes, META_LIMIT).ok()
}

fn in_force(view: &View, repository: &RepositoryName, arch: &Architecture) -> BTreeMap<String, Digest> {
    view.releases(repository, arch)
        .map(|(key, release)| (key.name.to_string(), release.archive))
        .collect()
}

/// What build roots have without the mesh: the known names, and those that the configuration adds.
async fn host_names(rooms: &Rooms) -> BTreeSet<String> {
    // It reads the whole database of the host's pacman.
    let host = tokio::task::spawn_blocking(HostProvides::detect)
        .await
        .unwrap_or_default();
    host.names()
        .map(str::to_owned)
        .chain(rooms.config.provides.iter().cloned())
        .collect()
}

/// A member that only a third reaches gets nothing new from here. It keeps what it builds for a while; after that another
/// one builds it too, and whatever is reported first counts.
fn liveness_beyond(seen: &Seen) -> Liveness {
    let silent = seen.last_ack.map(|ack| clock::now().since(ack));
    match silent {
        Some(silent) if silent < BEYOND_REACH => Liveness::Suspect,
        _ => Liveness::Lost,
    }
}

/// All members that may build, as discovery sees them.
pub(super) fn workers(rooms: &Rooms) -> Vec<WorkerState> {
    let view = rooms.ledger.view();
    let table = rooms.discovery.table();
    let table = table.borrow();
    let somebody_to_ask = table.alive().next().is_some();
    let gone_for = |node: &NodeId| {
        let seen = table.members.get(node);
        seen.map_or(Duration::ZERO, |seen| clock::now().since(seen.since))
    };
    view.members()
        .filter(|member| member.is_active() && member.roles.has(Role::Worker))
        .filter_map(|member| {
            let record = table.record(&member.id)?;
            let liveness = match table.state(&member.id) {
                Some(MemberState::Alive) => table
                    .members
                    .get(&member.id)
                    .filter(|seen| seen.relayed)
                    .map_or(Liveness::Alive, liveness_beyond),
                None => Liveness::Alive,
                Some(MemberState::Suspect) => Liveness::Suspect,
                Some(MemberState::Lost) if somebody_to_ask => Liveness::Lost,
                Some(MemberState::Lost) => Liveness::Unheard,
                // Its builds outlive its daemon, and are waited for as long as a stop may take.
                Some(MemberState::Left) if record.running > 0 && gone_for(&member.id) < GRACE => {
                    Liveness::Away
                }
                Some(MemberState::Left) => Liveness::Lost,
            };
            Some(WorkerState {
                capability: Capability {
                    node: member.id,
                    environment: record.environment.clone(),
                    arches: record.arches.clone(),
                    slots: record.slots,
                },
                name: member.name.clone(),
                incarnation: record.incarnation,
                liveness,
                // What it cannot keep, it need not build.
                draining: record.draining
                    || Settings(&view).is_draining(&member.id)
                    || vitals::is_short_of_disk(record),
                load: record.load,
            })
        })
        .collect()
}
