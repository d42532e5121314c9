//! What the repository listener of a node shows: its own files, and through it those of the replicas.

use std::sync::Arc;

use tokio::{net::TcpListener, sync::watch};

use crate::{http::repo::RepositoryState, keyrings, repository::FromReplicas, rooms::Rooms};

/// Serves until `stop` says so.
pub(crate) async fn serve(rooms: Arc<Rooms>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let ledger = rooms.ledger.clone();
    let state = RepositoryState {
        root: rooms.config.home.repository(),
        catalogue: rooms.repository.catalogue().clone(),
        fallback: Arc::new(FromReplicas { rooms }),
        keyring: Arc::new(move || {
            let view = ledger.view();
            Some(keyrings::for_clients(&view).export()).filter(|text| !text.is_empty())
        }),
    };
    let ended = async move {
        let _ = stop.changed().await;
    };
    if let Err(error) = crate::http::repo::serve(listener, state, ended).await {
        tracing::error!(%error, "the repository listener ended");
    }
}
