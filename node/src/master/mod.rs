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
mod publish;
mod reign;
mod relay;
mod repair;
mod submit;
mod verify;

pub(crate) use carry::bring_knock;
pub use carry::{Accepted, carry};
pub use copies::{Copies, count_copies};
pub use handle::{Inbox, LeaderMessage, Leadership, MasterHandle, Message};
pub use reign::{ReignDriver, ReignError};
pub(crate) use relay::{ask_master, bring_change, is_in_reach, log_beyond, run_errand};
pub use repair::{copies_state, copy_sole};
pub(crate) use submit::find_node;
pub(crate) use verify::keyring;

use std::time::Duration;

use pacmesh_protocol::membership::Table;

use crate::rooms::Rooms;
pub(crate) use reign::BALLOT;

/// How long a handed-over lead may take to find its next holder.
const HANDOVER: Duration = Duration::from_secs(3);

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
