//! Processes: what goes on after a request was answered. An id is alive as long as its work runs, and no longer.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::answer::Failure;

/// Most processes that run at once.
const AT_ONCE: usize = 256;

/// A random id as UUID version 4 (RFC 9562, 5.4).
pub(super) fn new_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// What runs.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// Held for look-ups only, never over an await.
    alive: Arc<Mutex<BTreeSet<String>>>,
    tracker: TaskTracker,
    end: CancellationToken,
}

/// The id of a process that lives as long as this.
struct Alive {
    id: String,
    alive: Arc<Mutex<BTreeSet<String>>>,
}

fn lock(alive: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    alive.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Alive {
    fn drop(&mut self) {
        lock(&self.alive).remove(&self.id);
    }
}

impl Processes {
    /// Starts a process; gives its id.
    pub(super) fn start<F>(&self, work: impl FnOnce(String) -> F) -> Result<String, Failure>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = new_id();
        let alive = {
            let mut running = lock(&self.alive);
            if running.len() >= AT_ONCE {
                return Err(Failure::unavailable("too many processes run: try again"));
            }
            running.insert(id.clone());
            Alive {
                id: id.clone(),
                alive: self.alive.clone(),
            }
        };
        let (work, end) = (work(id.clone()), self.end.clone());
        self.tracker.spawn(async move {
            let _alive = alive;
            end.run_until_cancelled(work).await;
        });
        Ok(id)
    }

    /// Whether a process runs.
    pub(super) fn is_alive(&self, id: &str) -> bool {
        lock(&self.alive).contains(id)
    }

    /// Ends all.
    pub(super) async fn end(&self) {
        self.end.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn ids_are_random_uuids() {
        let (one, two) = (new_id(), new_id());
        assert_ne!(one, two);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"));
    }

    #[tokio::test]
    async fn a_process_is_alive_until_its_work_is_done_and_however_it_ends() {
        let processes = Processes::default();
        let (done, wait) = oneshot::channel::<()>();
        let id = processes
            .start(|_| async move {
                let _ = wait.await;
            })
            .unwrap();
        let endless = processes.start(|_| std::future::pending()).unwrap();
        assert!(processes.is_alive(&id) && processes.is_alive(&endless));
        drop(done);
        while processes.is_alive(&id) {
            tokio::task::yield_now().await;
        }
        processes.end().await;
        assert!(!processes.is_alive(&endless));
    }
}
