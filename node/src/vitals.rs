//! What this machine says of its state: load, free disk, and what the ledger made of its name and roles.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::membership::NodeRecord;
use tokio::sync::watch;

use crate::{config::Config, rooms::Rooms, settings::Settings};

/// How often load and disk are looked at: a build fills a disk in less than a minute.
const LOOK: Duration = Duration::from_secs(3);

/// Below so much free disk a node takes no work (FORMATS, "Numbers": disk reserve).
const LOW_MIB: u64 = 1024;

/// Whether a node has so little free disk that it takes no work and rather does not lead.
pub const fn is_short_of_disk(record: &NodeRecord) -> bool {
    record.free_mib < LOW_MIB
}

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
    let (load, free_mib) = (load(), free_mib(&rooms.config));
    let draining = rooms.worker.is_closing() || Settings(&view).is_draining(&rooms.node);
    let own = rooms.discovery.table().borrow().own.clone();
    let same = own.name == name && own.roles == roles && own.draining == draining;
    // A load that moves a little is not worth a gossip of its own.
    let short = |free_mib| free_mib < LOW_MIB;
    let same_disk = own.free_mib.abs_diff(free_mib) < 256 && short(own.free_mib) == short(free_mib);
    if same && own.load.abs_diff(load) < 25 && same_disk {
        return;
    }
    let change = move |record: &mut NodeRecord| {
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

/// Free disk where the state is.
pub fn free_mib(config: &Config) -> u64 {
    rustix::fs::statvfs(config.home.state()).map_or(0, |disk| (disk.f_bavail * disk.f_frsize) >> 20)
}
