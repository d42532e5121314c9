//! Inviting, leaving, handing over, settings: what is said to the mesh as a whole.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pacmesh_protocol::{
    ids::NodeId,
    ledger::{
        record::{Entry, ReignId},
        view::View,
    },
    membership::Table,
    roles::Roles,
    wire::Change,
};
use pacmesh_signing::{Authority, membership::TOKEN_ADDRESSES};
use tokio::time::timeout;

use super::{
    caller::{Caller, End},
    keys::upper,
    office::Office,
    verdicts,
};
use crate::{
    clock,
    error::chain,
    links,
    local::{
        request::{LocalReply, NodeAction},
        views::InviteView,
    },
    master::{carry, find_node, hand_over},
    membership, parting,
    rooms::Rooms,
    settings::{self, Settings},
};

/// How long a hand-over may take.
const HAND_OVER: Duration = Duration::from_secs(5);
/// Most bytes of settings in one answer: a frame less its envelope.
const SETTINGS_LIMIT: usize = 768 << 10;

/// Writes an entry that any member may carry, and tells everybody.
pub(super) async fn record(rooms: &Arc<Rooms>, entry: Entry) -> Result<(), String> {
    let reign = ReignId {
        term: rooms.master.leadership().term(),
        node: rooms.node,
        incarnation: rooms.ledger.incarnation(),
    };
    let record = rooms
        .ledger
        .append(vec![entry], reign, None)
        .await
        .map_err(|error| format!("it cannot be recorded: {}", chain(&error)))?;
    links::push(rooms, &record).await;
    Ok(())
}

/// Where a newcomer may knock: here first, but this node may be off by then.
fn where_to_knock(table: &Table) -> Vec<SocketAddr> {
    let others = table.alive().filter_map(|(_, seen)| seen.record.as_ref());
    let others: Vec<_> = others
        .filter_map(|record| record.addresses.first().copied())
        .take(TOKEN_ADDRESSES / 2)
        .collect();
    let own = table.own.addresses.iter().copied();
    own.take(TOKEN_ADDRESSES - others.len()).chain(others).collect()
}

pub(super) async fn invite(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    roles: Roles,
    expires: Duration,
    uses: u32,
    key: Option<String>,
) -> Result<(), End> {
    let authority = authority(rooms, key).await?;
    let addresses = where_to_knock(&rooms.discovery.table().borrow());
    let invited =
        membership::invite(&authority, roles, expires, uses, addresses).map_err(|error| chain(&error))?;
    record(rooms, invited.entry).await?;
    let view = InviteView {
        token: invited.token.as_str().to_owned(),
        roles: words(roles),
        expires_at: clock::rfc3339(invited.expires_ms),
        uses,
    };
    caller.say(LocalReply::Invited(view)).await
}

/// This mesh's authority; its key is in this home, or came along as the text of its file or as the recovery code.
pub(super) async fn authority(rooms: &Arc<Rooms>, key: Option<String>) -> Result<Authority, String> {
    let (secrets, mesh) = (rooms.keys.secrets.clone(), rooms.mesh);
    tokio::task::spawn_blocking(move || membership::authority(&secrets, mesh, key.as_deref()))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| chain(&error))
}

/// Roles in words.
pub(super) fn words(roles: Roles) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

pub(super) async fn leave(office: &Office, rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let name = rooms
        .ledger
        .view()
        .mesh_name()
        .map_or_else(|| "mesh".to_owned(), ToString::to_string);
    let unfinished = parting::begin_leaving(rooms).await;
    if unfinished > 0 {
        let text = format!(
            "Waiting up to {} s for what is built here ({unfinished}); the rest is handed back.",
            parting::GRACE.as_secs()
        );
        // Nobody has to be there to read it.
        let _ = caller.say(LocalReply::Note(text)).await;
    }
    if let Some(text) = parting::finish_leaving(rooms).await? {
        let _ = caller.say(LocalReply::Note(text)).await;
    }
    let change = Change::EditMember {
        node: rooms.node,
        name: None,
        roles: None,
        left: true,
    };
    if let Err(reason) = carry(rooms, change).await {
        parting::announce(rooms, false).await;
        return Err(reason.into());
    }
    if !office.left().await {
        return Err("this node has left, but did not stop in time: restart its daemon".into());
    }
    caller.done(format!("This node has left '{name}'.")).await
}

/// Waits until the leadership is as wanted; whether it came so.
async fn wait_for_master(rooms: &Rooms, wanted: impl Fn(Option<NodeId>) -> bool) -> bool {
    let mut leadership = rooms.master.watch();
    let came = timeout(HAND_OVER, leadership.wait_for(|now| wanted(now.master()))).await;
    matches!(came, Ok(Ok(_)))
}

pub(super) async fn lead(rooms: &Arc<Rooms>, caller: &mut Caller, node: &str) -> Result<(), End> {
    let heir = find_node(&rooms.ledger.view(), node)?;
    let name = rooms.name_of(&heir);
    if rooms.master.leadership().master() == Some(heir) {
        return caller.done(format!("{name} leads already.")).await;
    }
    carry(rooms, Change::Lead { node: heir }).await?;
    if wait_for_master(rooms, |master| master == Some(heir)).await {
        return caller.done(format!("{name} leads now.")).await;
    }
    Err(format!(
        "{name} did not take over within {} s: see 'pacmesh status'",
        HAND_OVER.as_secs()
    )
    .into())
}

pub(super) async fn node(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    text: &str,
    action: NodeAction,
) -> Result<(), End> {
    let node = find_node(&rooms.ledger.view(), text)?;
    let name = rooms.name_of(&node);
    match action {
        NodeAction::Drain => {
            drain(rooms, &node, "1").await?;
            if node == rooms.node {
                hand_over(rooms).await;
            }
            caller
                .done(format!("{name} takes no new work; what runs there goes on."))
                .await
        }
        NodeAction::Resume => {
            drain(rooms, &node, "").await?;
            caller.done(format!("{name} takes work again.")).await
        }
        NodeAction::Suspend { quarantine_since_ms } => {
            verdicts::suspend(rooms, node, quarantine_since_ms).await?;
            caller
                .done(format!(
                    "{name} is suspended: 'pacmesh node reinstate {name}' lets it in again.{}{}",
                    withdrawn(rooms, &node, quarantine_since_ms),
                    still_trusted(&rooms.ledger.view(), &node)
                ))
                .await
        }
        NodeAction::Revoke {
            authority,
            quarantine_since_ms,
        } => {
            verdicts::revoke(rooms, node, authority, quarantine_since_ms).await?;
            caller
                .done(format!(
                    "{name} is revoked for ever; it may come back with a new key.{}{}",
                    withdrawn(rooms, &node, quarantine_since_ms),
                    still_trusted(&rooms.ledger.view(), &node)
                ))
                .await
        }
        NodeAction::Reinstate { authority } => {
            verdicts::reinstate(rooms, node, authority).await?;
            caller.done(format!("{name} is reinstated.")).await
        }
    }
}

/// What was built before stays installable, so the key with which a node signed is distrusted only by a word of its own.
fn still_trusted(view: &View, node: &NodeId) -> String {
    let signer = view.member(node).and_then(|member| member.signer);
    match signer.filter(|signer| view.signer(signer).is_some_and(|value| !value.distrusted)) {
        Some(signer) => format!(
            " What it signed is still trusted: 'pacmesh keys distrust {}' ends that.",
            upper(&signer)
        ),
        None => String::new(),
    }
}

/// What a quarantine did, for people; nothing where there was none.
fn withdrawn(rooms: &Rooms, node: &NodeId, quarantine_since_ms: Option<u64>) -> String {
    let Some(since) = quarantine_since_ms else {
        return String::new();
    };
    let view = rooms.ledger.view();
    let packages: std::collections::BTreeSet<_> = view
        .withdrawn()
        .filter(|(_, withdrawn)| withdrawn.member == *node)
        .map(|(key, _)| (&key.repository, &key.name))
        .collect();
    let since = clock::rfc3339(since);
    match packages.len() {
        0 => format!("\nNothing in force was built, signed or published by it since {since}."),
        count => format!(
            "\n{} of it since {since} {} withdrawn and built anew: 'pacmesh status' tells how far that is.",
            counted(count, "package", "packages"),
            if count == 1 { "is" } else { "are" }
        ),
    }
}

async fn drain(rooms: &Arc<Rooms>, node: &NodeId, value: &str) -> Result<(), String> {
    let change = Change::Set {
        name: settings::drain_of(node),
        value: value.to_owned(),
    };
    carry(rooms, change).await.map(|_| ())
}

pub(super) async fn set_setting(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    name: String,
    value: String,
) -> Result<(), End> {
    settings::check(&name, &value).map_err(|error| error.to_string())?;
    let (_, copies) = carry(
        rooms,
        Change::Set {
            name: name.clone(),
            value,
        },
    )
    .await?;
    caller
        .done(format!(
            "{name} is set, {}.",
            counted(copies as usize, "copy", "copies")
        ))
        .await
}

pub(super) async fn get_setting(rooms: &Arc<Rooms>, caller: &mut Caller, name: &str) -> Result<(), End> {
    let view = rooms.ledger.view();
    let names = if name.is_empty() {
        all_names(&view)
    } else {
        vec![name.to_owned()]
    };
    let (mut found, mut bytes) = (Vec::new(), 0);
    for name in names {
        let value = in_force(&view, &name)?;
        bytes += name.len() + value.len() + 16;
        if bytes > SETTINGS_LIMIT {
            return Err("all settings are too much for one answer: name one".into());
        }
        found.push((name, value));
    }
    caller.say(LocalReply::Settings(found)).await
}

fn all_names(view: &View) -> Vec<String> {
    let defaults = [
        settings::COPIES,
        settings::VERIFY,
        settings::HORIZON_DAYS,
        settings::REPOSITORIES,
        settings::MAKEPKG_CONF,
    ];
    let set = view
        .settings()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name);
    let names: std::collections::BTreeSet<&str> = defaults.into_iter().chain(set).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// A setting's value, or what holds without one.
fn in_force(view: &View, name: &str) -> Result<String, String> {
    let all = Settings(view);
    let joined = |names: Vec<String>| names.join(" ");
    Ok(match name {
        settings::COPIES => all.copies().to_string(),
        settings::VERIFY => all.verify().to_string(),
        settings::HORIZON_DAYS => all.horizon_days().to_string(),
        settings::MAKEPKG_CONF => all.makepkg_conf().to_owned(),
        settings::REPOSITORIES => joined(all.repositories().iter().map(ToString::to_string).collect()),
        _ => {
            // A name of a later version may be set here, and is shown.
            match view.setting(name).filter(|value| !value.is_empty()) {
                Some(value) => value.to_owned(),
                None => settings::check(name, "")
                    .map(|()| String::new())
                    .map_err(|error| error.to_string())?,
            }
        }
    })
}

/// A number with its noun.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
