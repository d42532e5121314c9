//! Collection: what no record names, nothing pins and nobody asked for lately is removed, in the background.
//!
//! A blob comes before the record that names it, so that "nothing names it" is not enough. Three things protect what is
//! on its way: its time of grace, which begins anew whenever somebody is told that it is here ([`BlobStore::have`]);
//! pins; and that it must be found unneeded in two sweeps, so that a wall clock that jumps takes nothing. The last look
//! and the removal are one step under the lock that a touch takes, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use pacmesh_protocol::{
    ids::Digest,
    ledger::named::{Named, Need, What},
    machine::Instant,
    roles::Role,
};
use tokio::sync::watch;

use super::{BlobStore, error::BlobError, part};
use crate::{clock, error::chain, repository::shown::Catalogue, rooms::Rooms};

/// How long a blob stays after it came or was last asked for, named or not.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// The same while the disk is nearly full; no submission takes longer from its tree to its record.
const SHORT_GRACE: Duration = Duration::from_secs(3600);
/// Most bytes of blobs that a node without the role storage keeps for the next time (FORMATS, "Generations").
const CACHE: u64 = 1 << 30;
/// Most blobs that one sweep removes; what is left waits for the next.
const AT_ONCE: usize = 10_000;
/// Below so many reserves of free disk it is nearly full.
const TIGHT: u64 = 2;

/// Why a blob is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It must stay.
    Needed,
    /// It may be useful again.
    Cached,
    /// Nothing needs it.
    Unneeded,
}

/// What a sweep is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a blob stays after it came or was last asked for.
    pub grace: Duration,
    /// Most bytes of cached ones.
    pub cache: u64,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many blobs went.
    pub blobs: usize,
    /// How many bytes they had.
    pub bytes: u64,
}

/// Remembers from one sweep to the next what was found unneeded.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    marked: BTreeMap<Digest, Instant>,
}

impl Collector {
    /// Looks at every blob, and removes what was unneeded at an earlier sweep already, `apart` or longer ago.
    ///
    /// # Errors
    ///
    /// Fails if the disk does; the next sweep goes on.
    pub async fn sweep(
        &mut self,
        store: &BlobStore,
        class: impl Fn(&Digest) -> Class,
        limits: Limits,
        apart: Duration,
    ) -> Result<Swept, BlobError> {
        let (now, wall) = (clock::now(), SystemTime::now());
        let mut ages = store.blocking(|store| store.ages()).await?;
        // The cache keeps what was used last.
        ages.sort_unstable_by_key(|(digest, _, touched)| (std::cmp::Reverse(*touched), *digest));
        let before = wall.checked_sub(limits.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut cached = 0;
        let mut unneeded = BTreeMap::new();
        for (digest, size, touched) in ages {
            let goes = match class(&digest) {
                Class::Needed => false,
                Class::Cached => {
                    cached += size;
                    cached > limits.cache
                }
                Class::Unneeded => true,
            };
            if goes && touched <= before {
                unneeded.insert(digest, size);
            }
        }
        self.marked.retain(|digest, _| unneeded.contains_key(digest));
        let mut due = Vec::new();
        for (digest, size) in unneeded {
            let marked = *self.marked.entry(digest).or_insert(now);
            if marked < now && now.since(marked) >= apart && due.len() < AT_ONCE {
                due.push((digest, size));
            }
        }
        for (digest, _) in &due {
            // One that is asked for or pinned at the last moment begins anew.
            self.marked.remove(digest);
        }
        let swept = store.blocking(move |store| remove(store, &due, before)).await?;
        if swept.blobs > 0 {
            tracing::info!(
                blobs = swept.blobs,
                bytes = swept.bytes,
                "blobs that nothing needs were removed"
            );
        }
        Ok(swept)
    }

    /// How many blobs are remembered.
    pub fn marked(&self) -> usize {
        self.marked.len()
    }
}

fn remove(store: &BlobStore, due: &[(Digest, u64)], before: SystemTime) -> Result<Swept, BlobError> {
    let mut swept = Swept::default();
    for (digest, size) in due {
        if store.collect(digest, before)? {
            swept.blobs += 1;
            swept.bytes += size;
        }
    }
    Ok(swept)
}

/// What a node needs of its blobs: all that records name if it keeps copies, else the databases that it shows; what its
/// builds read; what it still serves.
pub fn class_of(
    named: &Named,
    keeps: bool,
    used: &BTreeSet<Digest>,
    served: &BTreeSet<Digest>,
    blob: &Digest,
) -> Class {
    if used.contains(blob) || served.contains(blob) {
        return Class::Needed;
    }
    match named.get(blob) {
        Some(_) if keeps => Class::Needed,
        Some((Need::InForce, What::Database(_))) => Class::Needed,
        Some(_) => Class::Cached,
        None => Class::Unneeded,
    }
}

/// The archives that pacmans which synced before may still ask for.
pub fn served(catalogue: &Catalogue) -> BTreeSet<Digest> {
    let shown = catalogue
        .keys()
        .into_iter()
        .filter_map(|key| catalogue.shown(&key));
    let archives = shown.flat_map(|shown| {
        let departed = shown.departed.values().map(|departed| departed.archive.blake3);
        let listed = shown.archives.values().map(|archive| archive.blake3);
        departed.chain(listed).collect::<Vec<_>>()
    });
    archives.collect()
}

/// Sweeps every `config.blobs.sweep` until `stop` says so.
pub async fn collect(rooms: Arc<Rooms>, mut stop: watch::Receiver<bool>) {
    let mut collector = Collector::default();
    let apart = rooms.config.blobs.sweep;
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(apart) => {}
        }
        if let Err(error) = sweep(&rooms, &mut collector).await {
            tracing::warn!(error, "what nothing needs could not be removed");
        }
    }
}

async fn sweep(rooms: &Arc<Rooms>, collector: &mut Collector) -> Result<(), String> {
    rooms.worker.tidy(rooms).await;
    let view = rooms.ledger.view();
    if view.has_unread() {
        // Records of a later version may name what this one takes for unneeded.
        tracing::info!("no blobs are removed while records are held that this version does not read");
        return Ok(());
    }
    let keeps = view.has_role(&rooms.node, Role::Storage);
    let named = rooms.ledger.named().await.map_err(|error| chain(&error))?;
    let (used, served) = (rooms.worker.uses(), served(rooms.repository.catalogue()));
    let store = &rooms.blobs;
    let tight = store
        .blocking(|store| {
            part::clean_stale(store.disk())?;
            let (free, reserve) = store.disk().space()?;
            Ok(free < reserve.saturating_mul(TIGHT))
        })
        .await
        .map_err(|error| chain(&error))?;
    let limits = if tight {
        Limits {
            grace: SHORT_GRACE,
            cache: 0,
        }
    } else {
        Limits {
            grace: GRACE,
            cache: CACHE,
        }
    };
    let class = |blob: &Digest| class_of(&named, keeps, &used, &served, blob);
    let apart = rooms.config.blobs.sweep / 2;
    collector
        .sweep(store, class, limits, apart)
        .await
        .map_err(|error| chain(&error))?;
    for damaged in store.damaged().await.map_err(|error| chain(&error))? {
        if class(&damaged) == Class::Unneeded {
            store.forget_damaged(&damaged).map_err(|error| chain(&error))?;
        }
    }
    Ok(())
}
