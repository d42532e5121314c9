//! Leading: this room drives the reign and, while it leads, the schedule.
//!
//! `reign` is the driver of [`pacmesh_protocol::reign`]; it owns the ballot and starts a [`leader`] for each reign of
//! this node. The leader is the only writer of records in its reign: it admits, accepts, orders, publishes.

mod carry;
mod catalogs;
mod changes;
mod copies;
mod entrants;
mod generations;
mod handle;
mod horizon;
mod leader;
mod notes;
mod publish;
mod reign;
mod relay;
mod repair;
mod submit;
mod upload;
mod verify;

pub(crate) use carry::bring_knock;
pub use carry::{Accepted, carry, carry_as};
pub use copies::{Copies, count_copies};
pub use handle::{Inbox, LeaderMessage, Leadership, MasterHandle, Message};
pub use reign::{ReignDriver, ReignError};
pub(crate) use relay::{ask_master, bring_change, is_in_reach, log_beyond, run_errand};
pub use repair::{copies_state, copy_sole};
pub(crate) use submit::find_node;

use std::time::Duration;

use pacmesh_protocol::{ids::NodeId, membership::Table, roles::Role};

use crate::{rooms::Rooms, settings::Settings};
pub(crate) use reign::BALLOT;

/// How long a handed-over lead may take to find its next holder.
const HANDOVER: Duration = Duration::from_secs(3);

/// Whether `heir` could lead now; the text says what to do.
pub(crate) fn may_lead(rooms: &Rooms, heir: &NodeId) -> Result<(), String> {
    let (view, name) = (rooms.ledger.view(), rooms.name_of(heir));
    if !view.has_role(heir, Role::Master) {
        return Err(format!(
            "{name} has not the role master: 'pacmesh nodes' lists who may lead"
        ));
    }
    if Settings(&view).is_draining(heir) {
        return Err(format!(
            "{name} takes no new work: 'pacmesh node resume {name}' first"
        ));
    }
    if !rooms.discovery.table().borrow().is_alive(heir) {
        return Err(format!("{name} is not in reach: start it, and try again"));
    }
    Ok(())
}

/// Before a planned stop: somebody else leads, if somebody else may.
pub async fn hand_over(rooms: &Rooms) {
    let mut watch = rooms.master.watch();
    if watch.borrow().master() != Some(rooms.node) {
        return;
    }
    let mut table = rooms.discovery.table();
    if !somebody_else_may_lead(rooms, &table.borrow()) {
        return;
    }
    rooms.master.abdicate(None).await;
    let handed = async {
        loop {
            tokio::select! {
                changed = watch.changed() => if changed.is_err() { return },
                changed = table.changed() => if changed.is_err() { return },
            }
            let elsewhere = watch.borrow().master().is_some_and(|master| master != rooms.node);
            if elsewhere || !somebody_else_may_lead(rooms, &table.borrow()) {
                return;
            }
        }
    };
    if tokio::time::timeout(HANDOVER, handed).await.is_err() {
        tracing::warn!("nobody took over in time");
    }
}

fn somebody_else_may_lead(rooms: &Rooms, table: &Table) -> bool {
    rooms
        .ledger
        .view()
        .master_capable()
        .keys()
        .any(|node| *node != rooms.node && table.is_alive(node))
}
