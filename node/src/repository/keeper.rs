//! The keeper of the files that pacman reads: follows the newest generations and shows each when all of it is here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use pacmesh_protocol::{
    ids::Digest,
    ledger::{
        kinds::{GenerationKey, GenerationV1, ReleaseV1},
        view::View,
    },
    names::PackageFileName,
    roles::Role,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    index::{INDEX_MAX, Index},
    layout::{Holding, Layout, LayoutError, NewGeneration},
    shown::{Archive, Catalogue, PublicFile},
};
use crate::{
    clock,
    error::chain,
    http::repo::{Fallback, Remote, Unavailable},
    rooms::Rooms,
};

/// Greatest length of a detached signature, in bytes.
const SIGNATURE_LIMIT: u64 = 16 << 10;
/// Between two attempts at a generation whose blobs are not all in reach.
const AGAIN: Duration = Duration::from_secs(1);
/// How often departed archives are looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// Most files that wait to be mended; more have to wait outside.
const MENDS: usize = 16;

/// A file that is damaged and shall be made anew.
#[derive(Debug)]
pub enum Mend {
    /// A package and its signature.
    File {
        /// Where.
        key: GenerationKey,
        /// Which.
        file: PackageFileName,
        /// The blob that it is made of, which is here and was just verified; `None` if nobody has it: the file goes, so
        /// that nobody gets it, and readers get it from others.
        archive: Option<Digest>,
        /// The blob of its signature, if it has one.
        signature: Option<Digest>,
    },
    /// The databases of a place.
    Databases(GenerationKey),
}

type Mending = (Mend, oneshot::Sender<bool>);

/// What others may know of the files.
#[derive(Debug, Clone)]
pub struct RepositoryHandle {
    catalogue: Catalogue,
    mends: mpsc::Sender<Mending>,
}

/// The keeper's side of a handle.
#[derive(Debug)]
pub struct Inbox {
    mends: mpsc::Receiver<Mending>,
}

impl RepositoryHandle {
    /// A handle on what `layout` shows, and the inbox for [`keep`].
    pub fn of(layout: &Layout) -> (Self, Inbox) {
        let (sender, mends) = mpsc::channel(MENDS);
        let handle = Self {
            catalogue: layout.catalogue(),
            mends: sender,
        };
        (handle, Inbox { mends })
    }

    /// Has a damaged file made anew; whether it was.
    pub async fn mend(&self, mend: Mend) -> bool {
        let (done, mended) = oneshot::channel();
        self.mends.send((mend, done)).await.is_ok() && mended.await.unwrap_or(false)
    }

    /// What is shown.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

/// Why a generation is not shown yet.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error("{0} of its blobs are out of reach")]
    Missing(usize),
    #[error("its archives are not known here yet")]
    Unknown,
    #[error("a blob of it cannot be read")]
    Blob(#[from] crate::blobs::BlobError),
    #[error("its index cannot be read")]
    Index(#[from] super::index::IndexError),
    #[error("it cannot be laid out")]
    Layout(#[from] LayoutError),
    #[error("the work was cut off")]
    Cut,
}

/// Shows what the ledger says, until `stop` says so.
pub async fn keep(rooms: Arc<Rooms>, layout: Layout, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
    let mut views = rooms.ledger.subscribe();
    let mut layout = Some(layout);
    let mut swept = tokio::time::Instant::now();
    loop {
        let view = views.borrow_and_update().clone();
        let complete = show_all(&rooms, &view, &mut layout).await;
        withhold(&rooms, &view);
        if swept.elapsed() >= SWEEP {
            swept = tokio::time::Instant::now();
            sweep(&mut layout, &view).await;
        }
        let wait = if complete { SWEEP } else { AGAIN };
        tokio::select! {
            _ = stop.changed() => break,
            changed = views.changed() => if changed.is_err() { break },
            Some((mend, done)) = inbox.mends.recv() => {
                let mended = remake(&rooms, &view, &mut layout, mend).await;
                if let Err(error) = &mended {
                    tracing::warn!(error = chain(error), "a damaged file could not be made anew");
                }
                // Whoever asked may have gone.
                let _ = done.send(mended.is_ok());
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Keeps from readers what a verdict took out of force once no database here names it any more.
fn withhold(rooms: &Rooms, view: &View) {
    let catalogue = rooms.repository.catalogue();
    let shown = catalogue
        .keys()
        .into_iter()
        .filter_map(|key| catalogue.shown(&key));
    let departed: Vec<Digest> = shown
        .flat_map(|shown| {
            shown
                .departed
                .values()
                .map(|departed| departed.archive.blake3)
                .collect::<Vec<_>>()
        })
        .filter(|archive| view.is_voided(archive))
        .collect();
    catalogue.withhold(departed);
}

/// Whether every newest generation is shown.
async fn show_all(rooms: &Arc<Rooms>, view: &View, layout: &mut Option<Layout>) -> bool {
    let mut complete = true;
    for (key, generation) in view.generations() {
        let shown = rooms.repository.catalogue().shown(key);
        if shown.is_some_and(|shown| shown.generation == *generation) {
            continue;
        }
        match show(rooms, view, layout, key, generation).await {
            Ok(()) => {
                tracing::info!(repository = %key.repository, arch = %key.arch, number = generation.number, "showing")
            }
            Err(error) => {
                complete = false;
                tracing::debug!(repository = %key.repository, number = generation.number, error = chain(&error), "not shown yet");
            }
        }
    }
    complete
}

async fn show(
    rooms: &Arc<Rooms>,
    view: &View,
    layout: &mut Option<Layout>,
    key: &GenerationKey,
    generation: &GenerationV1,
) -> Result<(), ShowError> {
    obtain(rooms, &[generation.index, generation.db, generation.files]).await?;
    let index = Index::decode(&rooms.blobs.read(&generation.index, INDEX_MAX as u64).await?)?;
    let releases = releases(view, key, &index)?;
    let keeps = view.has_role(&rooms.node, Role::Storage);
    let mut placed = Vec::new();
    if keeps {
        let wanted: Vec<Digest> = releases
            .iter()
            .flat_map(|release| [Some(release.archive), release.signature])
            .flatten()
            .collect();
        obtain(rooms, &wanted).await?;
        for release in &releases {
            let signature = match &release.signature {
                Some(signature) => Some(rooms.blobs.read(signature, SIGNATURE_LIMIT).await?),
                None => None,
            };
            let path = rooms.blobs.path(&release.archive).ok_or(ShowError::Missing(1))?;
            placed.push((release.file.clone(), archive_of(release), path, signature));
        }
    }
    let path = |digest: &Digest| rooms.blobs.path(digest).ok_or(ShowError::Missing(1));
    let (db, files) = (path(&generation.db)?, path(&generation.files)?);
    let archives: BTreeMap<PackageFileName, Archive> = releases
        .iter()
        .map(|release| (release.file.clone(), archive_of(release)))
        .collect();
    let voided: BTreeSet<Digest> = rooms
        .repository
        .catalogue()
        .shown(key)
        .map(|shown| {
            shown
                .index
                .releases()
                .map(|(_, release)| release.archive)
                .collect()
        })
        .unwrap_or_default();
    let voided = voided
        .into_iter()
        .filter(|archive| view.is_voided(archive))
        .collect();
    let mut owned = layout.take().ok_or(ShowError::Cut)?;
    let (key, generation) = (key.clone(), generation.clone());
    // Layout is blocking work on disk; it comes back with its outcome.
    let (back, outcome) = tokio::task::spawn_blocking(move || {
        let outcome = lay_out(
            &mut owned,
            &key,
            &generation,
            &index,
            &archives,
            placed,
            keeps,
            (&db, &files),
            &voided,
        );
        (owned, outcome)
    })
    .await
    .map_err(|_| ShowError::Cut)?;
    *layout = Some(back);
    Ok(outcome?)
}

type Placed = (PackageFileName, Archive, std::path::PathBuf, Option<Vec<u8>>);

#[expect(
    clippy::too_many_arguments,
    reason = "one step of `show`, moved whole to a thread that may block"
)]
fn lay_out(
    layout: &mut Layout,
    key: &GenerationKey,
    generation: &GenerationV1,
    index: &Index,
    archives: &BTreeMap<PackageFileName, Archive>,
    placed: Vec<Placed>,
    keeps: bool,
    (db, files): (&std::path::Path, &std::path::Path),
    voided: &BTreeSet<Digest>,
) -> Result<(), LayoutError> {
    for (file, archive, blob, signature) in placed {
        layout.place(key, &file, archive, &blob, signature.as_deref())?;
    }
    let new = NewGeneration {
        generation,
        index,
        archives,
        db,
        files,
        db_signature: None,
        files_signature: None,
    };
    let holding = if keeps { Holding::Here } else { Holding::Elsewhere };
    layout.show(key, new, holding, clock::wall_ms() / 1000, |archive| {
        voided.contains(archive)
    })?;
    Ok(())
}

/// Makes a damaged file anew.
async fn remake(
    rooms: &Arc<Rooms>,
    view: &View,
    layout: &mut Option<Layout>,
    mend: Mend,
) -> Result<(), ShowError> {
    let (key, file, archive, signature) = match mend {
        Mend::Databases(key) => {
            let generation = view.generation(&key).ok_or(ShowError::Unknown)?;
            return show(rooms, view, layout, &key, generation).await;
        }
        Mend::File {
            key,
            file,
            archive,
            signature,
        } => (key, file, archive, signature),
    };
    let blob = match archive {
        Some(archive) => Some(rooms.blobs.path(&archive).ok_or(ShowError::Missing(1))?),
        None => None,
    };
    let signature = match signature {
        Some(signature) if blob.is_some() => Some(rooms.blobs.read(&signature, SIGNATURE_LIMIT).await?),
        _ => None,
    };
    let mut owned = layout.take().ok_or(ShowError::Cut)?;
    let (back, outcome) = tokio::task::spawn_blocking(move || {
        let outcome = owned.remake(&key, &file, blob.as_deref(), signature.as_deref());
        (owned, outcome)
    })
    .await
    .map_err(|_| ShowError::Cut)?;
    *layout = Some(back);
    Ok(outcome?)
}

async fn obtain(rooms: &Rooms, blobs: &[Digest]) -> Result<(), ShowError> {
    match rooms.obtain(blobs, &[]).await.len() {
        0 => Ok(()),
        missing => Err(ShowError::Missing(missing)),
    }
}

fn archive_of(release: &ReleaseV1) -> Archive {
    Archive {
        blake3: release.archive,
        size: release.size,
    }
}

/// The releases that an index names, as the view describes them; a view that is ahead or behind comes again.
fn releases(view: &View, key: &GenerationKey, index: &Index) -> Result<Vec<ReleaseV1>, ShowError> {
    let in_force: BTreeMap<_, _> = view
        .releases(&key.repository, &key.arch)
        .map(|(package, release)| (&package.name, release))
        .collect();
    index
        .releases()
        .map(|(name, named)| {
            in_force
                .get(name)
                .filter(|release| release.archive == named.archive)
                .map(|release| (*release).clone())
                .ok_or(ShowError::Unknown)
        })
        .collect()
}

async fn sweep(layout: &mut Option<Layout>, view: &View) {
    let Some(mut owned) = layout.take() else { return };
    let keys: Vec<GenerationKey> = view.generations().map(|(key, _)| key.clone()).collect();
    let swept = tokio::task::spawn_blocking(move || {
        for key in keys {
            if let Err(error) = owned.sweep(&key, clock::wall_ms() / 1000) {
                tracing::warn!(error = chain(&error), "departed archives could not be removed");
            }
        }
        owned
    })
    .await;
    *layout = swept.ok();
}

/// Streams from replicas what this node does not keep, verified as it passes.
#[derive(Debug)]
pub struct FromReplicas {
    /// This node.
    pub rooms: Arc<Rooms>,
}

#[async_trait]
impl Fallback for FromReplicas {
    async fn open(&self, key: &GenerationKey, file: &PublicFile) -> Result<Option<Remote>, Unavailable> {
        let view = self.rooms.ledger.view();
        let find = |name: &PackageFileName| {
            view.releases(&key.repository, &key.arch)
                .find(|(_, release)| release.file == *name)
                .map(|(_, r)| r)
        };
        let digest = match file {
            PublicFile::Archive(name) => match find(name) {
                Some(release) => release.archive,
                None => {
                    let shown = self.rooms.repository.catalogue().shown(key);
                    match shown.and_then(|shown| shown.archive(name)) {
                        Some(archive) => archive.blake3,
                        None => return Ok(None),
                    }
                }
            },
            PublicFile::Signature(name) => match find(name).and_then(|release| release.signature) {
                Some(signature) => signature,
                None => return Ok(None),
            },
            PublicFile::Database(_) | PublicFile::DatabaseSignature(_) => return Ok(None),
        };
        let replicas: Vec<_> = self
            .rooms
            .transport
            .connected()
            .into_iter()
            .filter(|node| view.has_role(node, Role::Storage))
            .collect();
        match self.rooms.fetcher.stream(&digest, &replicas).await {
            Ok((length, bytes)) => Ok(Some(Remote { length, bytes })),
            Err(error) => {
                tracing::debug!(error = chain(&error), "an archive is out of reach");
                Err(Unavailable)
            }
        }
    }
}
