//! Generations: the database files of a repository as numbered bytes that every replica serves alike.
//!
//! A new one is due wherever the index that follows from the view differs from that of the newest generation; at most
//! one a second for each (repository, architecture) (FORMATS, "Generations").

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pacmesh_protocol::{
    ids::Digest,
    ledger::{
        kinds::{GenerationKey, GenerationV1, ReleaseV1, Value},
        record::ReignId,
        view::View,
    },
    machine::Instant,
    names::PackageName,
};

use super::{catalogs::read_meta, copies};
use crate::{
    clock,
    repository::{
        database,
        index::{Index, IndexEntry, IndexRelease},
    },
    rooms::Rooms,
    settings::Settings,
};

/// Greatest length of a detached signature, in bytes.
const SIGNATURE_LIMIT: u64 = 16 << 10;

/// When each place may be published again.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: BTreeMap<GenerationKey, Instant>,
    running: BTreeMap<GenerationKey, Digest>,
}

impl Pace {
    /// The places whose index differs from their newest generation, and that may be published now; and when to look
    /// again for those that may not yet.
    pub(super) fn due(
        &mut self,
        view: &View,
        now: Instant,
    ) -> (Vec<(GenerationKey, Index)>, Option<Instant>) {
        let (mut due, mut again) = (Vec::new(), None::<Instant>);
        for key in Settings(view).places() {
            let index = index_of(view, &key);
            let Ok(bytes) = index.encode() else { continue };
            let digest = Digest::of(&bytes);
            let newest = view.generation(&key);
            let same = newest.is_some_and(|newest| newest.index == digest);
            let nothing = newest.is_none() && index.entries.is_empty();
            if same || nothing || self.running.contains_key(&key) {
                continue;
            }
            match self.next.get(&key) {
                Some(next) if *next > now => again = Some(again.map_or(*next, |again| again.min(*next))),
                _ => {
                    self.next.insert(key.clone(), now + Duration::from_secs(1));
                    self.running.insert(key.clone(), digest);
                    due.push((key, index));
                }
            }
        }
        (due, again)
    }

    /// The publication of a place ended, well or not.
    pub(super) fn ended(&mut self, key: &GenerationKey) {
        self.running.remove(key);
    }
}

fn index_of(view: &View, key: &GenerationKey) -> Index {
    let entries = view
        .packages_of(&key.repository, &key.arch)
        .map(|(package, value)| {
            let release = value.release.as_ref().map(|release| IndexRelease {
                version: release.version.clone(),
                archive: release.archive,
            });
            (
                package.name.clone(),
                IndexEntry {
                    generation: value.generation,
                    release,
                },
            )
        });
    Index {
        entries: entries.collect(),
    }
}

/// Writes databases and index as blobs, has replicas keep them, and records the generation. `view` is the one that
/// `index` was made of.
pub(super) async fn publish(
    rooms: Arc<Rooms>,
    reign: ReignId,
    view: &View,
    key: GenerationKey,
    index: Index,
) -> Result<u64, String> {
    let packages = packages(&rooms, view, &key).await?;
    let index = index.encode().map_err(|error| error.to_string())?;
    let written = tokio::task::spawn_blocking(move || {
        let entries = packages.values().map(|package| database::Entry {
            meta: &package.meta,
            file_name: &package.release.file,
            signature: package.signature.as_deref(),
        });
        database::write(entries)
    })
    .await
    .map_err(|error| error.to_string())?
    .map_err(|error| error.to_string())?;
    let put = |bytes: Vec<u8>| {
        let rooms = rooms.clone();
        async move {
            rooms
                .blobs
                .own()
                .put_bytes(bytes)
                .await
                .map_err(|error| error.to_string())
        }
    };
    let (index, db, files) = (
        put(index).await?,
        put(written.db).await?,
        put(written.files).await?,
    );
    let holders = copies::keep(&rooms, vec![index, db, files], Vec::new()).await;
    // A merge may have brought a later one meanwhile.
    let known = rooms.ledger.view();
    let newest = known.generation(&key);
    let number = newest.map_or(0, |newest| newest.number) + 1;
    let time = (clock::wall_ms() / 1000).max(newest.map_or(0, |newest| newest.time + 1));
    let value = GenerationV1 {
        number,
        index,
        db,
        files,
        db_signature: None,
        files_signature: None,
        time,
    };
    let entry = value.entry(&key).map_err(|error| error.to_string())?;
    let record = rooms
        .ledger
        .append(vec![entry], reign, None)
        .await
        .map_err(|error| error.to_string())?;
    copies::replicate(&rooms, &record, &holders).await;
    Ok(number)
}

struct Shown {
    release: ReleaseV1,
    meta: crate::repository::meta::PackageMeta,
    signature: Option<Vec<u8>>,
}

async fn packages(
    rooms: &Rooms,
    view: &View,
    key: &GenerationKey,
) -> Result<BTreeMap<PackageName, Shown>, String> {
    let mut packages = BTreeMap::new();
    for (package, release) in view.releases(&key.repository, &key.arch) {
        let meta = read_meta(rooms, release.meta)
            .await
            .ok_or_else(|| format!("the metadata of {} is out of reach", package.name))?;
        let signature =
            match release.signature {
                None => None,
                Some(signature) => {
                    rooms.obtain(&[signature], &[]).await;
                    let bytes = rooms.blobs.read(&signature, SIGNATURE_LIMIT).await;
                    Some(bytes.map_err(|error| {
                        format!("the signature of {} is out of reach: {error}", package.name)
                    })?)
                }
            };
        packages.insert(
            package.name.clone(),
            Shown {
                release: release.clone(),
                meta,
                signature,
            },
        );
    }
    Ok(packages)
}
