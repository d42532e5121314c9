//! What archives say of themselves, kept in memory as far as answers need it: a list of packages reads none of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use pacmesh_protocol::{codec, ids::Digest, ledger::kinds::ReleaseV1};

use crate::{
    compat::package::{PackageProperties, bare},
    repository::meta::PackageMeta,
    rooms::Rooms,
};

/// Greatest length of an encoded package metadata blob, in bytes.
const META_LIMIT: usize = 66 << 20;

/// What one archive says.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) properties: PackageProperties,
    pub(super) packager: String,
}

/// By the blob of their metadata.
#[derive(Debug, Default)]
pub(super) struct Properties {
    /// Held for look-ups only, never over an await.
    known: Mutex<BTreeMap<Digest, Arc<Known>>>,
}

impl Properties {
    /// What the archive of a release says; what only its record says, where its metadata is out of reach.
    pub(super) async fn of(&self, rooms: &Rooms, release: &ReleaseV1) -> Arc<Known> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&release.meta)
            .cloned();
        if let Some(known) = known {
            return known;
        }
        let Some(meta) = read(rooms, release.meta).await else {
            return Arc::new(Known {
                properties: of_record(release),
                packager: String::new(),
            });
        };
        let known = Arc::new(Known {
            packager: meta.packager.clone(),
            properties: of_archive(release, meta),
        });
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(release.meta, known.clone());
        known
    }

    /// Forgets what is in no list any more.
    pub(super) fn retain(&self, wanted: impl Fn(&Digest) -> bool) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|meta, _| wanted(meta));
    }
}

async fn read(rooms: &Rooms, meta: Digest) -> Option<PackageMeta> {
    rooms.obtain(&[meta], &[]).await.is_empty().then_some(())?;
    let bytes = rooms.blobs.read(&meta, META_LIMIT as u64).await.ok()?;
    codec::decode_large(&bytes, META_LIMIT).ok()
}

fn of_record(release: &ReleaseV1) -> PackageProperties {
    PackageProperties {
        architecture: Some(release.file.arch().to_string()),
        archive_size: Some(release.size),
        build_date: i64::try_from(release.built_at).ok(),
        filename: Some(release.file.to_string()),
        ..PackageProperties::default()
    }
}

fn of_archive(release: &ReleaseV1, meta: PackageMeta) -> PackageProperties {
    let names = |list: Vec<String>| list.iter().map(|text| bare(text)).collect();
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    PackageProperties {
        build_date: Some(meta.build_date),
        depends: names(meta.depends),
        make_depends: names(meta.makedepends),
        opt_depends: names(meta.optdepends),
        check_depends: names(meta.checkdepends),
        description: said(meta.description),
        groups: meta.groups,
        installed_size: Some(meta.installed_size),
        licenses: meta.licenses,
        provides: names(meta.provides),
        url: said(meta.url),
        ..of_record(release)
    }
}
