//! Who is given source trees (DESIGN, "Moving bytes"): replicas, the leading master, and workers with the job. All other
//! blobs go to any member.
//!
//! A source is what some record calls one. Which worker has a job is asked of the master, who gave it; a probe is not in
//! its answers, so that for the time of one the master itself serves the tree. A tree that no record names yet is known
//! only to those who were told its digest.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pacmesh_protocol::{
    ids::{Digest, JobId, NodeId},
    ledger::{
        kinds::JobState,
        named::{Named, What},
    },
    roles::Role,
    wire::{HASH_BATCH, Reply, Request},
};

use crate::rooms::Rooms;

/// How long the master may take to say who has a job.
const MASTER_WAIT: Duration = Duration::from_secs(5);

/// The workers that were asked to read a tree, with how many questions are open.
type Readers = BTreeMap<(NodeId, Digest), usize>;

/// What is known of sources beside the ledger.
#[derive(Debug, Default)]
pub struct Sources {
    readers: Arc<Mutex<Readers>>,
    /// What the records with this root name.
    named: Mutex<Option<(Digest, Arc<Named>)>>,
}

/// While this lives its worker may have its tree.
#[derive(Debug)]
pub struct Reading {
    readers: Arc<Mutex<Readers>>,
    reader: (NodeId, Digest),
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = readers.get_mut(&self.reader) {
            *open -= 1;
            if *open == 0 {
                readers.remove(&self.reader);
            }
        }
    }
}

impl Sources {
    /// Notes that `worker` is asked to read `tree`.
    pub fn reading(&self, worker: NodeId, tree: Digest) -> Reading {
        let reader = (worker, tree);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        *readers.entry(reader).or_default() += 1;
        Reading {
            readers: self.readers.clone(),
            reader,
        }
    }

    fn is_reading(&self, worker: NodeId, tree: Digest) -> bool {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.contains_key(&(worker, tree))
    }

    /// Worked out once after each change of the ledger: members who may not have it could ask often.
    async fn named(&self, rooms: &Rooms) -> Option<Arc<Named>> {
        let root = rooms.ledger.root();
        let known = self.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, named)) = known.filter(|(of, _)| *of == root) {
            return Some(named);
        }
        let named = Arc::new(rooms.ledger.named().await.ok()?);
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Some((root, named.clone()));
        Some(named)
    }
}

/// Whether `peer` is served this blob.
pub async fn may_have(rooms: &Arc<Rooms>, peer: NodeId, blob: Digest) -> bool {
    let keeps = rooms.ledger.view().has_role(&peer, Role::Storage);
    if keeps || rooms.master.leadership().master() == Some(peer) {
        return true;
    }
    let Some(named) = rooms.sources.named(rooms).await else {
        return false;
    };
    let is_source = matches!(named.get(&blob), Some((_, What::Tree(_) | What::Patch(_))));
    !is_source || rooms.sources.is_reading(peer, blob) || has_job(rooms, peer, blob).await
}

/// Whether the master says that `peer` has a job with this tree.
async fn has_job(rooms: &Arc<Rooms>, peer: NodeId, tree: Digest) -> bool {
    let view = rooms.ledger.view();
    let open = view
        .jobs()
        .filter(|(_, job)| job.tree == tree && job.state == JobState::Queued);
    let jobs: Vec<JobId> = open.map(|(id, _)| *id).take(HASH_BATCH).collect();
    let Some(master) = rooms.master.leadership().master().filter(|_| !jobs.is_empty()) else {
        return false;
    };
    let answer = rooms.ask(master, Request::JobStates { jobs }, MASTER_WAIT).await;
    matches!(answer, Ok(Reply::JobStates(states)) if states.iter().any(|state| state.worker == Some(peer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_have_a_tree_for_as_long_as_any_question_about_it_is_open() {
        let (sources, worker, tree) = (Sources::default(), NodeId([1; 32]), Digest([2; 32]));
        let (first, second) = (sources.reading(worker, tree), sources.reading(worker, tree));
        assert!(sources.is_reading(worker, tree));
        assert!(!sources.is_reading(worker, Digest([3; 32])) && !sources.is_reading(NodeId([4; 32]), tree));
        drop(first);
        assert!(sources.is_reading(worker, tree));
        drop(second);
        assert!(!sources.is_reading(worker, tree));
    }
}
