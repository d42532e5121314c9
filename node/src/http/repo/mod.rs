//! The repository listener: read-only files for pacman, the keys they are signed with, and a page that says
//! how to use both.
//!
//! ```text
//! GET /<repo>/<arch>/<file>         also below /repo/
//! GET /keyring.asc                  the OpenPGP certificates that clients need
//! GET /                             how to set pacman up
//! ```
//!
//! A name becomes a path only after it parsed as a [`PublicFile`] (DESIGN, invariant 7), and an archive is
//! served only if the shown generation, or one of the last 7 days, names it. No lock is held while a client
//! reads.

mod answer;
mod range;
mod setup;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::stream::BoxStream;
use pacmesh_protocol::ledger::kinds::GenerationKey;
use tokio::net::TcpListener;

use super::listener::{self, Bounds};
use crate::repository::layout::path_of;
use crate::repository::shown::{Catalogue, PublicFile, Shown};

/// No replica that has the archive can be reached; the client should come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no node that has this file is in reach; try again in a moment")]
pub struct Unavailable;

/// The bytes of a file that come from elsewhere, verified as they pass.
pub struct Remote {
    /// Length of the whole file in bytes.
    pub length: u64,
    /// Its bytes from the start. An error ends the client's connection, so that half a file never looks
    /// whole.
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Where archives and signatures come from that the shown generation names and that are not on this disk.
#[async_trait]
pub trait Fallback: Send + Sync {
    /// Opens `file` of the repository and architecture `key`; `None` if nobody has it.
    async fn open(&self, key: &GenerationKey, file: &PublicFile) -> Result<Option<Remote>, Unavailable>;
}

/// For nodes that keep all archives themselves: there is nobody to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFallback;

#[async_trait]
impl Fallback for NoFallback {
    async fn open(&self, _: &GenerationKey, _: &PublicFile) -> Result<Option<Remote>, Unavailable> {
        Err(Unavailable)
    }
}

/// Gives the armoured certificates that clients need, or `None` while there are none.
pub type Keyring = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the listener serves from.
#[derive(Clone)]
pub struct RepositoryState {
    /// The root of the layout.
    pub root: PathBuf,
    /// What is shown.
    pub catalogue: Catalogue,
    /// Where missing archives come from.
    pub fallback: Arc<dyn Fallback>,
    /// The keys.
    pub keyring: Keyring,
}

impl std::fmt::Debug for RepositoryState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryState")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Serves the repository on `listener` until `shutdown` completes.
///
/// # Errors
///
/// As [`listener::serve`].
pub async fn serve(
    listener: TcpListener,
    state: RepositoryState,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener::serve(listener, router(state), Bounds::default(), shutdown).await
}

/// The routes, for listeners that serve more than the repository.
pub fn router(state: RepositoryState) -> Router {
    Router::new()
        .route("/", get(setup_page))
        .route("/keyring.asc", get(keyring))
        .route("/{repository}/{arch}/{file}", get(file))
        .route("/repo/{repository}/{arch}/{file}", get(file))
        .fallback(elsewhere)
        .with_state(state)
}

async fn setup_page(State(state): State<RepositoryState>, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    answer::text(StatusCode::OK, setup::page(&state.catalogue.keys(), host))
}

async fn keyring(State(state): State<RepositoryState>) -> Response {
    match (state.keyring)() {
        Some(armoured) => ([(header::CONTENT_TYPE, "application/pgp-keys")], armoured).into_response(),
        None => answer::text(
            StatusCode::NOT_FOUND,
            "no package was signed yet, so there are no keys\n",
        ),
    }
}

async fn elsewhere(method: Method) -> Response {
    if method == Method::GET || method == Method::HEAD {
        return answer::not_found();
    }
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response()
}

async fn file(
    State(state): State<RepositoryState>,
    Path((repository, arch, file)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let (Ok(repository), Ok(arch)) = (repository.parse(), arch.parse()) else {
        return answer::not_found();
    };
    let Some(file) = PublicFile::parse(&repository, &file) else {
        return answer::not_found();
    };
    let key = GenerationKey { repository, arch };
    let Some(shown) = state.catalogue.shown(&key) else {
        return answer::not_found();
    };
    let may_be_elsewhere = match &file {
        PublicFile::Database(_) => false,
        PublicFile::DatabaseSignature(_) if shown.is_signed() => false,
        PublicFile::Archive(name) | PublicFile::Signature(name) if state.catalogue.serves(&shown, name) => {
            true
        }
        _ => return answer::not_found(),
    };
    if !may_be_elsewhere || is_here(&state, &key, &file).await {
        let path = path_of(&state.root, &key, &file);
        return answer::from_disk(&path, &file, method, &headers).await;
    }
    match state.fallback.open(&key, &file).await {
        Ok(Some(remote)) if is_other(&remote, &shown, &file) => {
            tracing::warn!(
                file = file.file_name(),
                length = remote.length,
                "another file came from elsewhere"
            );
            answer::unavailable(Unavailable)
        }
        Ok(Some(remote)) => answer::from_elsewhere(remote, &file, &method, &headers),
        Ok(None) => answer::not_found(),
        Err(unavailable) => answer::unavailable(unavailable),
    }
}

/// Whether `remote` cannot be the archive that the shown generation names.
fn is_other(remote: &Remote, shown: &Shown, file: &PublicFile) -> bool {
    let PublicFile::Archive(name) = file else {
        return false;
    };
    shown
        .archive(name)
        .is_some_and(|archive| archive.size != remote.length)
}

/// Whether this disk has the last word on `file`. An archive brings its signature along, so one without is
/// unsigned everywhere.
async fn is_here(state: &RepositoryState, key: &GenerationKey, file: &PublicFile) -> bool {
    let archive = match file {
        PublicFile::Signature(name) => &PublicFile::Archive(name.clone()),
        other => other,
    };
    for file in [file, archive] {
        if tokio::fs::metadata(path_of(&state.root, key, file))
            .await
            .is_ok_and(|meta| meta.is_file())
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
