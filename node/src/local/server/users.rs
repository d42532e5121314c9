//! Users of the HTTP side.

use std::sync::Arc;

use pacmesh_protocol::roles::Role;
use pacmesh_signing::account::{Access, Account};

use super::caller::{Caller, End};
use crate::{
    error::chain,
    local::{
        request::{LocalReply, Password},
        views::UserView,
    },
    rooms::Rooms,
    users,
};

pub(super) async fn add(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    name: String,
    access: Access,
    password: Password,
) -> Result<(), End> {
    let hashing = tokio::task::spawn_blocking(move || Account::new(&name, access, password.as_str()));
    let account = hashing.await.map_err(|error| error.to_string())?;
    let account = account.map_err(|error| chain(&error))?;
    let text = format!("{} may log in, as {}.", account.name(), account.access().name());
    users::add(rooms, account).await?;
    caller.done(text).await
}

pub(super) async fn remove(rooms: &Arc<Rooms>, caller: &mut Caller, name: &str) -> Result<(), End> {
    may_open(rooms)?;
    users::remove(rooms, name).await?;
    caller.done(format!("{name} may not log in any more.")).await
}

pub(super) async fn list(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    may_open(rooms)?;
    let users = users::list(rooms).into_iter().map(|(name, access)| UserView {
        name,
        role: access.name().to_owned(),
    });
    caller.say(LocalReply::Users(users.collect())).await
}

/// Users are sealed to those who may lead.
fn may_open(rooms: &Rooms) -> Result<(), End> {
    if rooms.ledger.view().has_role(&rooms.node, Role::Master) {
        return Ok(());
    }
    Err("this machine may not lead, and cannot open who the users are: type it on one that may ('pacmesh nodes')".into())
}
