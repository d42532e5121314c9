//! Source trees between `Store` and the answer to `Build`: pinned, so that nothing removes them meanwhile.
//!
//! A caller may go away between the two; what nobody asked to build within [`KEPT`] is let go when the next one comes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pacmesh_protocol::ids::Digest;
use tokio::time::Instant;

use crate::{blobs::BlobStore, error::chain};

/// Why they are pinned.
const REASON: &str = "submitted";
/// How long a tree waits for its request.
const KEPT: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Parcel {
    callers: u32,
    since: Instant,
}

/// Trees that callers of this life stored. The lock is held for look-ups only, never over an await.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    kept: Mutex<BTreeMap<Digest, Parcel>>,
}

impl Parcels {
    /// Pins a tree for one caller.
    pub(super) async fn keep(&self, blobs: &BlobStore, tree: Digest) -> Result<(), String> {
        let now = Instant::now();
        self.with(|kept| {
            let parcel = kept.entry(tree).or_insert(Parcel {
                callers: 0,
                since: now,
            });
            parcel.callers += 1;
            parcel.since = now;
        });
        for stale in self.stale(blobs, now) {
            unpin(blobs, &stale).await;
        }
        blobs
            .pin(&tree, REASON)
            .await
            .map_err(|error| format!("the source cannot be kept: {}", chain(&error)))
    }

    /// Lets trees go whose request was answered.
    pub(super) async fn release(&self, blobs: &BlobStore, trees: &[Digest]) {
        for tree in trees {
            let last = self.with(|kept| match kept.get_mut(tree) {
                Some(parcel) if parcel.callers > 1 => {
                    parcel.callers -= 1;
                    false
                }
                _ => {
                    kept.remove(tree);
                    true
                }
            });
            if last {
                unpin(blobs, tree).await;
            }
        }
    }

    /// Pinned by an earlier life of this node, or by callers that never came back.
    fn stale(&self, blobs: &BlobStore, now: Instant) -> Vec<Digest> {
        let pinned = blobs.pins();
        self.with(|kept| {
            kept.retain(|_, parcel| now.duration_since(parcel.since) < KEPT);
            pinned
                .into_iter()
                .filter(|(tree, reasons)| reasons.contains(REASON) && !kept.contains_key(tree))
                .map(|(tree, _)| tree)
                .collect()
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<Digest, Parcel>) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn unpin(blobs: &BlobStore, tree: &Digest) {
    if let Err(error) = blobs.unpin(tree, REASON).await {
        tracing::warn!(tree = %tree.short(), error = chain(&error), "a submitted source stays pinned");
    }
}
