//! A planned stop: what others would miss is in their hands before this node goes, so that nobody suspects it and no job
//! is counted as failed.
//!
//! A node that stops (SIGTERM) leaves its builds to their runners, and the master waits for its return; one that leaves
//! for good lets them end or hands them back.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::roles::Role;

use crate::{master, rooms::Rooms, settings::Settings};

/// How long a planned stop may take before it is cut short (FORMATS, "Numbers").
pub const GRACE: Duration = Duration::from_secs(30);
/// Of this, how long results may take to be delivered and sole copies to be copied.
const HANDING_OVER: Duration = Duration::from_secs(20);
/// How long the master may take to learn what runs here.
const TELLING: Duration = Duration::from_secs(2);
/// How long a runner may take to end, and its worker to say so.
const ENDING: Duration = Duration::from_secs(10);

/// Before the daemon stops: others lead, hold what only this node held, and know what runs on without it.
pub async fn before_stop(rooms: &Arc<Rooms>) {
    announce(rooms, true).await;
    master::hand_over(rooms).await;
    let (delivered, sole) = tokio::join!(deliver(rooms), copy_sole(rooms, HANDING_OVER));
    if !delivered {
        tracing::warn!("a finished build was not delivered in time: it will be when this node is back");
    }
    match sole {
        Ok(0) => {}
        Ok(sole) => tracing::warn!(blobs = sole, "nobody else keeps these while this node is away"),
        Err(reason) => tracing::warn!(reason, "it is not known what only this node keeps"),
    }
    let unfinished = rooms.worker.unfinished();
    let reign = rooms.master.leadership().role.reign();
    if let Some(reign) = reign.filter(|reign| unfinished > 0 && reign.node != rooms.node)
        && !rooms.worker.told(reign, TELLING).await
    {
        tracing::warn!("the master did not ask in time what runs here: it may be built elsewhere, too");
    }
    rooms
        .discovery
        .update(move |record| record.running = unfinished)
        .await;
}

/// Results that are ready go to the master, where there is one; without one they wait on disk.
async fn deliver(rooms: &Rooms) -> bool {
    let patience = match rooms.master.leadership().master() {
        Some(_) => HANDING_OVER,
        None => Duration::ZERO,
    };
    rooms.worker.deliver(patience).await
}

/// The first step of leaving for good: nothing new comes here. Gives how many attempts are under way.
pub async fn begin_leaving(rooms: &Rooms) -> u32 {
    announce(rooms, true).await;
    master::hand_over(rooms).await;
    rooms.worker.unfinished()
}

/// The second step, after which the node may go: what does not end in time is handed back, and nothing stays behind that
/// others should have. Gives what people should know; after an error the node stays, and works again.
pub async fn finish_leaving(rooms: &Arc<Rooms>) -> Result<Option<String>, String> {
    if !rooms.worker.finish(GRACE).await {
        rooms.worker.hand_back(ENDING).await;
    }
    let sole = match copy_sole(rooms, GRACE).await {
        Ok(sole) => sole,
        Err(reason) => {
            announce(rooms, false).await;
            return Err(reason);
        }
    };
    if sole > 0 && has_other_replicas(rooms) {
        announce(rooms, false).await;
        return Err(format!(
            "{sole} files that the mesh needs are only here so far, and the node stays: free some disk on the others ('pacmesh status'), and type it again"
        ));
    }
    Ok((sole > 0).then(|| {
        format!("no other machine in reach keeps archives: {sole} files stay in this node's home, and nowhere else")
    }))
}

/// Tells the master that nothing new is taken here, or that it is again.
pub async fn announce(rooms: &Rooms, closing: bool) {
    rooms.worker.set_closing(closing);
    let draining = closing || Settings(&rooms.ledger.view()).is_draining(&rooms.node);
    rooms
        .discovery
        .update(move |record| record.draining = draining)
        .await;
}

/// Has others keep what only this node holds; gives how many blobs are still only here.
async fn copy_sole(rooms: &Arc<Rooms>, patience: Duration) -> Result<usize, String> {
    // A node that is alone has nobody to give anything to, which is no news to anybody.
    if rooms.discovery.table().borrow().alive().next().is_none() {
        return Ok(0);
    }
    master::copy_sole(rooms, patience).await
}

fn has_other_replicas(rooms: &Rooms) -> bool {
    let view = rooms.ledger.view();
    let table = rooms.discovery.table();
    let table = table.borrow();
    table.alive().any(|(node, _)| view.has_role(&node, Role::Storage))
}
