//! Has what clients say recorded by the master, and waits until this node's own view shows it: whoever said something
//! here reads it here.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::{
    ledger::{
        door::{CompatKey, Document, Note, Topic},
        view::View,
    },
    wire::Change,
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{Door, answer::Failure};
use crate::{compat::facts, master::carry};

/// How long a change may take: clients give up after 30 s.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long the record of a change may take from the master to this node.
const ARRIVAL: Duration = Duration::from_secs(3);
/// Longest document that is read, in bytes.
const BLOB_LIMIT: u64 = 8 << 20;

/// Things to be recorded together.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    notes: Vec<Note>,
    blobs: Vec<pacmesh_protocol::ids::Digest>,
}

impl Notebook {
    /// Notes that something says `value` from now on.
    pub(super) async fn set(
        &mut self,
        door: &Door,
        key: CompatKey,
        value: &impl Serialize,
    ) -> Result<(), Failure> {
        let document = match facts::document(value) {
            Ok(document) => document,
            Err(long) => {
                let kept = door.rooms.blobs.put_bytes(long.into_bytes()).await;
                let blob = kept.map_err(|error| Failure::unavailable(format!("no room: {error}")))?;
                self.blobs.push(blob);
                Document::Blob(blob)
            }
        };
        self.notes.push(Note {
            key,
            document: Some(document),
        });
        Ok(())
    }

    /// Notes that something says nothing any more.
    pub(super) fn remove(&mut self, key: CompatKey) {
        self.notes.push(facts::removal(key));
    }
}

impl Door {
    /// Carries a change to the master.
    pub(super) async fn change(&self, change: Change) -> Result<(), Failure> {
        match timeout(PATIENCE, carry(&self.rooms, change)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(reason)) => Err(Failure::unavailable(reason)),
            Err(_) => Err(Failure::unavailable(
                "the master did not answer in time: try again",
            )),
        }
    }

    /// Has a notebook recorded.
    pub(super) async fn record(&self, notebook: Notebook) -> Result<(), Failure> {
        let Notebook { notes, blobs } = notebook;
        if notes.is_empty() {
            return Ok(());
        }
        let change = Change::Note {
            notes: notes.clone(),
            blobs,
        };
        self.change(change).await?;
        let mut views = self.rooms.ledger.subscribe();
        let shown = views.wait_for(|view| notes.iter().all(|note| shows(view, note)));
        if timeout(ARRIVAL, shown).await.is_err() {
            // Somebody else said something newer, or the record is late; it is recorded all the same.
            tracing::debug!("what was recorded does not show here yet");
        }
        Ok(())
    }

    /// A document, long or short.
    pub(super) async fn document(&self, key: &CompatKey) -> Result<Option<Value>, Failure> {
        let view = self.rooms.ledger.view();
        let Some(document) = view.compat(key).and_then(|value| value.document.clone()) else {
            return Ok(None);
        };
        let bytes = match document {
            Document::Here(text) => text.into_bytes(),
            Document::Blob(blob) => {
                self.rooms.obtain(&[blob], &[]).await;
                let read = self.rooms.blobs.read(&blob, BLOB_LIMIT).await;
                read.map_err(|_| Failure::unavailable("what was said of it is out of reach: try again"))?
            }
        };
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// Whether the view says what a note says. An event is there under a name that the note does not have.
fn shows(view: &Arc<View>, note: &Note) -> bool {
    if note.key.topic == Topic::Event {
        let mut events = view.compat_of(Topic::Event, note.key.place.as_ref());
        return events.any(|(_, event)| event.document == note.document);
    }
    let there = view.compat(&note.key).and_then(|value| value.document.as_ref());
    there == note.document.as_ref()
}
