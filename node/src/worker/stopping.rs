//! The worker's part in a planned stop: nothing new is taken, results are delivered, and what cannot go on here is handed
//! back. Builds that only lose their daemon are left alone: its next life takes them up again.

use std::time::Duration;

use pacmesh_protocol::{
    ids::JobId,
    ledger::record::ReignId,
    work::{Fence, Stage},
};
use tokio::time::{Instant, sleep, timeout};

use super::desk::{Slip, WorkerHandle};

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(50);

impl WorkerHandle {
    /// Takes nothing new from here on, or again.
    pub fn set_closing(&self, closing: bool) {
        self.with(|desk| desk.closing = closing);
    }

    /// Whether nothing new is taken because a stop has begun.
    pub fn is_closing(&self) -> bool {
        self.with(|desk| desk.closing)
    }

    /// How many attempts would be missed: those that run, and those whose report nobody has taken.
    pub fn unfinished(&self) -> u32 {
        self.with(|desk| desk.slips.len() as u32)
    }

    /// Waits until every result that is ready was taken by a master; whether it was so in time.
    pub async fn deliver(&self, patience: Duration) -> bool {
        let is_ready = |slip: &Slip| slip.report.is_some() || slip.stage == Stage::Collect;
        self.until_none(patience, is_ready).await
    }

    /// Waits until nothing is under way any more; whether it was so in time.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.until_none(patience, |_| true).await
    }

    /// Stops what runs and tells the master, which then has it built elsewhere; gives how many attempts it was.
    pub async fn hand_back(&self, patience: Duration) -> usize {
        let stopped = self.with(|desk| {
            let running = desk.slips.values().filter(|slip| slip.report.is_none());
            running
                .inspect(|slip| {
                    slip.cancel.send_replace(true);
                })
                .count()
        });
        if !self.finish(patience).await {
            let left = self.with(|desk| desk.slips.values().map(named).collect::<Vec<_>>());
            tracing::warn!(?left, "not all that ran here could be handed back");
        }
        stopped
    }

    /// Waits until the master of `reign` knows what runs here; whether it asked in time.
    pub async fn told(&self, reign: ReignId, patience: Duration) -> bool {
        let mut told = self.told.subscribe();
        let asked = timeout(patience, told.wait_for(|told| *told == Some(reign))).await;
        matches!(asked, Ok(Ok(_)))
    }

    async fn until_none(&self, patience: Duration, waited_for: impl Fn(&Slip) -> bool) -> bool {
        let end = Instant::now() + patience;
        loop {
            if !self.with(|desk| desk.slips.values().any(&waited_for)) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(LOOK).await;
        }
    }
}

fn named(slip: &Slip) -> (JobId, Fence) {
    (slip.order.job, slip.order.fence)
}
