//! The handles of all rooms of a running node: what one room needs of another it takes from here.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use pacmesh_protocol::{
    ids::{Digest, MeshId, NodeId},
    roles::Role,
    wire::{Reply, Request},
};

use crate::{
    blobs::{BlobStore, Fetcher},
    clocks::Clocks,
    config::Config,
    error::chain,
    ledger::LedgerHandle,
    master::MasterHandle,
    membership::Keys,
    repository::RepositoryHandle,
    service,
    sources::Sources,
    transport::Transport,
    worker::WorkerHandle,
};
use pacmesh_discovery::DiscoveryHandle;

/// A node's rooms.
#[derive(Debug)]
pub struct Rooms {
    /// How it was configured.
    pub config: Config,
    /// Who it is.
    pub node: NodeId,
    /// Where it belongs.
    pub mesh: MeshId,
    /// Its keys.
    pub keys: Keys,
    /// Shared facts.
    pub ledger: LedgerHandle,
    /// Bytes.
    pub blobs: BlobStore,
    /// Bytes of others.
    pub fetcher: Fetcher,
    /// Connections.
    pub transport: Transport,
    /// Who is there.
    pub discovery: DiscoveryHandle,
    /// Leading.
    pub master: MasterHandle,
    /// Building.
    pub worker: WorkerHandle,
    /// Serving.
    pub repository: RepositoryHandle,
    /// What time others say it is.
    pub clocks: Clocks,
    /// Who may have source trees.
    pub sources: Sources,
}

impl Rooms {
    /// Asks a node, this one among them.
    pub async fn ask(
        self: &Arc<Self>,
        node: NodeId,
        request: Request,
        patience: Duration,
    ) -> Result<Reply, String> {
        if node == self.node {
            // Boxed, because answering may ask again.
            let answer: BoxFuture<'_, Reply> = Box::pin(service::answer(self, node, request));
            return tokio::time::timeout(patience, answer)
                .await
                .map_err(|_| "this node did not answer itself in time".to_owned());
        }
        self.transport
            .request(node, &request, patience)
            .await
            .map_err(|error| chain(&error))
    }

    /// Has blobs here: fetches what is missing from `from`, then from any replica in reach. Returns what is still
    /// missing.
    pub async fn obtain(&self, blobs: &[Digest], from: &[NodeId]) -> Vec<Digest> {
        let here = self.blobs.have(blobs.to_vec()).await.unwrap_or_default();
        let here: BTreeSet<Digest> = here.into_iter().collect();
        let missing: Vec<Digest> = blobs
            .iter()
            .filter(|blob| !here.contains(blob))
            .copied()
            .collect();
        if missing.is_empty() {
            return missing;
        }
        let mut sources: Vec<NodeId> = from.iter().copied().filter(|node| *node != self.node).collect();
        let view = self.ledger.view();
        let connected = self.transport.connected();
        let replicas = connected
            .into_iter()
            .filter(|node| view.has_role(node, Role::Storage));
        for replica in replicas {
            if !sources.contains(&replica) {
                sources.push(replica);
            }
        }
        // Erased, or the compiler cannot see that tasks which obtain something may be sent to another thread.
        let fetch: BoxFuture<'_, _> = Box::pin(self.fetcher.fetch_all(&missing, &sources));
        let failed = fetch.await;
        failed
            .into_iter()
            .map(|(digest, error)| {
                tracing::debug!(blob = %digest.short(), error = chain(&error), "a blob is out of reach");
                digest
            })
            .collect()
    }

    /// How a node is shown.
    pub fn name_of(&self, node: &NodeId) -> String {
        let view = self.ledger.view();
        view.member(node)
            .map_or_else(|| node.short(), |member| member.name.to_string())
    }
}
