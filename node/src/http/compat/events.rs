//! The audit log.

use pacmesh_protocol::ledger::{door::Topic, kinds::GenerationKey, view::View};

use super::{
    Door,
    answer::{Answer, Failure, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::{
    clock,
    compat::{
        event::{Event, EventFilter},
        facts,
    },
};

/// Longest word or name in an event, in characters.
const WORD: usize = 256;
/// Longest message, in characters.
const MESSAGE: usize = 2000;

pub(super) fn list(call: Call) -> Outcome {
    let (place, window) = (call.place()?, call.window()?);
    let filter = EventFilter {
        event: call.parameter("event").map(str::to_owned),
        object_id: call.parameter("object_id").map(str::to_owned),
        from_date: call.number("from_date")?,
        to_date: call.number("to_date")?,
    };
    let events = all(&call.view(), &place);
    let taken = events.into_iter().filter(|event| filter.takes(event));
    Ok(Answer::json(&window.of_newest(taken)))
}

/// All events that are kept, by the time of which they are.
fn all(view: &View, place: &GenerationKey) -> Vec<Event> {
    let mut events: Vec<(u64, Event)> = view
        .compat_of(Topic::Event, Some(place))
        .filter_map(|(_, value)| Some((value.version, facts::read(value)?)))
        .collect();
    events.sort_by_key(|(number, event): &(u64, Event)| (event.created, *number));
    events.into_iter().map(|(_, event)| event).collect()
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let place = call.place()?;
    let mut event: Event = call.body().await?;
    let too_long = event.event.chars().count() > WORD || event.object_id.chars().count() > WORD;
    if event.event.is_empty() || too_long {
        return Err(Failure::bad("an event and its object have 1 to 256 characters"));
    }
    if event.created == 0 {
        event.created = (clock::wall_ms() / 1000).cast_signed();
    }
    call.door.note_event(&place, event).await?;
    Ok(Answer::nothing())
}

impl Door {
    /// Adds to the audit log.
    pub(super) async fn note_event(&self, place: &GenerationKey, mut event: Event) -> Result<(), Failure> {
        event.message = event
            .message
            .map(|message| message.chars().take(MESSAGE).collect());
        let mut notebook = Notebook::default();
        notebook.set(self, facts::of_event(place), &event).await?;
        self.record(notebook).await
    }
}
