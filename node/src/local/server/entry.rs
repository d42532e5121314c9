//! `init` and `join` while the daemon runs.

use pacmesh_protocol::names::{MeshName, RepositoryName};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    caller::{Caller, End},
    office::Office,
};
use crate::{error::chain, local::request::LocalReply, membership};

pub(super) async fn init(
    office: &Office,
    caller: &mut Caller,
    name: Option<MeshName>,
    repository: Option<RepositoryName>,
) -> Result<(), End> {
    let _alone = alone(office)?;
    let node_name = Some(office.config.name.clone());
    let view = membership::found(&office.config.home, name, repository, node_name)
        .await
        .map_err(|error| chain(&error))?;
    start(office).await;
    // The recovery code is shown whatever became of the start: there is no second chance to see it.
    caller.say(LocalReply::Founded(Box::new(view))).await
}

pub(super) async fn join(office: &Office, caller: &mut Caller, token: &str) -> Result<(), End> {
    let _alone = alone(office)?;
    let node_name = Some(office.config.name.clone());
    let view = membership::join(&office.config.home, token, node_name)
        .await
        .map_err(|error| chain(&error))?;
    start(office).await;
    caller.say(LocalReply::Joined(view)).await
}

pub(super) fn alone(office: &Office) -> Result<OwnedSemaphorePermit, End> {
    office
        .entering
        .clone()
        .try_acquire_owned()
        .map_err(|_| "another 'init', 'join' or 'restore' is under way here: wait until it is done".into())
}

/// The next command should find a node that works.
pub(super) async fn start(office: &Office) {
    if !office.entered().await {
        tracing::warn!("the node entered its mesh and has not started there in time");
    }
}
