//! What this machine says of its state: load, free disk, and what the ledger made of its name and roles.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{rooms::Rooms, settings::Settings};

/// How often load and disk are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the own node record true until `stop` says so.
pub async fn watch(rooms: Arc<Rooms>, mut stop: watch::Receiver<bool>) {
    let mut views = rooms.ledger.subscribe();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            changed = views.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        tell(&rooms).await;
    }
}

async fn tell(rooms: &Rooms) {
    let view = rooms.ledger.view();
    let Some(member) = view.member(&rooms.node) else {
        return;
    };
    let (name, roles) = (member.name.clone(), member.roles);
    let draining = rooms.worker.is_closing() || Settings(&view).is_draining(&rooms.node);
    let (load, free_mib) = (load(), free_mib(rooms));
    let own = rooms.discovery.table().borrow().own.clone();
    let same = own.name == name && own.roles == roles && own.draining == draining;
    // A load that moves a little is not worth a gossip of its own.
    if same && own.load.abs_diff(load) < 25 && own.free_mib.abs_diff(free_mib) < 256 {
        return;
    }
    let change = move |record: &mut pacmesh_protocol::membership::NodeRecord| {
        record.name = name;
        record.roles = roles;
        record.draining = draining;
        record.load = load;
        record.free_mib = free_mib;
    };
    rooms.discovery.update(change).await;
}

/// Load average of one minute, in hundredths (proc(5), /proc/loadavg).
fn load() -> u32 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    first.map_or(0, |load| (load * 100.0) as u32)
}

fn free_mib(rooms: &Rooms) -> u64 {
    rustix::fs::statvfs(rooms.config.home.state()).map_or(0, |disk| (disk.f_bavail * disk.f_frsize) >> 20)
}
