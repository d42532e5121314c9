//! The origin's side of a change: signed once, brought to whoever leads until it is answered or its time is over.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::{
    entry::{CarriedKnock, KnockReply},
    ids::{NodeId, RequestId},
    signed::{Purpose, Signed},
    wire::{AcceptedJob, Carried, CarriedReply, Change, Errand, FRAME_LIMIT, Reply, Request},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::relay;
use crate::{clock, rooms::Rooms};

/// How long a node holds a change while no master is in reach (FORMATS, "Who writes, and requests").
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a master may take: probes of a large submission and the wait for copies.
pub(super) const ANSWER: Duration = Duration::from_secs(300);
/// The longest that a master may take for somebody at a door.
pub(super) const KNOCK: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// What an accepted change brought: jobs and synced copies.
pub type Accepted = (Vec<AcceptedJob>, u32);

/// Asks the master for a change in this node's name.
pub async fn carry(rooms: &Arc<Rooms>, body: Change) -> Result<Accepted, String> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| format!("no randomness for a request: {error}"))?;
    carry_as(rooms, RequestId(id), body).await
}

/// Asks the master for a change under a given id. The same id is used for every attempt, so that a change that was
/// recorded before its answer was lost is not done twice.
pub async fn carry_as(rooms: &Arc<Rooms>, id: RequestId, body: Change) -> Result<Accepted, String> {
    let carried = Carried {
        origin: rooms.node,
        request: id,
        deadline_ms: clock::wall_ms() + ANSWER.as_millis() as u64,
        body,
    };
    let key = &*rooms.keys.node;
    let signed = Signed::seal(&carried, Purpose::Carried, &rooms.mesh, key, FRAME_LIMIT / 2)
        .map_err(|error| format!("too much at once ({error}): ask in smaller parts"))?;
    let mut patience = Patience::from(Instant::now());
    let mut leadership = rooms.master.watch();
    loop {
        let master = leadership.borrow_and_update().master();
        for bearer in ways(rooms, master) {
            match timeout_at(patience.end, bring(rooms, bearer, &signed)).await {
                Ok(Some(CarriedReply::Accepted { jobs, copies })) => return Ok((jobs, copies)),
                Ok(Some(CarriedReply::Refused { reason })) => return Err(reason),
                Ok(Some(CarriedReply::NotMaster { .. }) | None) => {}
                Err(_) => {
                    return Err(
                        "the master did not answer in time: see 'pacmesh status', and ask again".to_owned(),
                    );
                }
            }
            patience.heard_of_a_master(Instant::now());
        }
        if patience.is_over(Instant::now()) {
            return Err(no_master(rooms));
        }
        // A successor is asked at once; the same one again only after a pause.
        if let Ok(Err(_)) = timeout(PAUSE, leadership.changed()).await {
            return Err("this node is stopping: ask again when it runs".to_owned());
        }
    }
}

/// How long a change is held.
#[derive(Debug)]
struct Patience {
    /// Without a master.
    until: Instant,
    /// In any case.
    end: Instant,
}

impl Patience {
    fn from(now: Instant) -> Self {
        Self {
            until: now + PATIENCE,
            end: now + ANSWER,
        }
    }

    /// Somebody led and could not answer: its successor gets the full time, however long the first one took.
    fn heard_of_a_master(&mut self, now: Instant) {
        self.until = now + PATIENCE;
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.until.min(self.end)
    }
}

fn no_master(rooms: &Rooms) -> String {
    let able = rooms.ledger.view().master_capable().len();
    format!(
        "no master in reach: {able} machines of this mesh may lead, start one of them ('pacmesh nodes' lists them)"
    )
}

/// Whom to ask: the master, or where it is out of reach those who may bring it a change.
fn ways(rooms: &Rooms, master: Option<NodeId>) -> Vec<NodeId> {
    match master {
        Some(master) if relay::is_in_reach(rooms, &master) => vec![master],
        master => relay::bearers(rooms).into_iter().chain(master).collect(),
    }
}

async fn bring(rooms: &Arc<Rooms>, bearer: NodeId, carried: &Signed) -> Option<CarriedReply> {
    let request = Request::Carry {
        carried: carried.clone(),
        relayed: false,
    };
    match rooms.ask(bearer, request, ANSWER).await {
        Ok(Reply::Carried(reply)) => Some(reply),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(bearer = %bearer.short(), error, "a change was not answered");
            None
        }
    }
}

/// Brings a knock to the master, itself or through a member.
pub(crate) async fn bring_knock(rooms: &Arc<Rooms>, knock: CarriedKnock) -> KnockReply {
    let knock = Errand::Knock {
        knock: Box::new(knock),
    };
    match relay::ask_master(rooms, knock, KNOCK).await {
        Ok(Reply::Knock(reply)) => reply,
        _ => KnockReply::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_dies_late_leaves_its_successor_the_full_time() {
        let begun = Instant::now();
        let mut patience = Patience::from(begun);
        assert!(!patience.is_over(begun + PATIENCE - PAUSE));
        assert!(patience.is_over(begun + PATIENCE));
        let died = begun + PATIENCE * 3;
        patience.heard_of_a_master(died);
        assert!(!patience.is_over(died + PATIENCE - PAUSE));
        assert!(patience.is_over(died + PATIENCE));
        patience.heard_of_a_master(begun + ANSWER);
        assert!(patience.is_over(begun + ANSWER));
    }
}
