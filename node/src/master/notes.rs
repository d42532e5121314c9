//! What the HTTP side asks to be recorded: secrets, and what ahriman's clients say.

use std::collections::BTreeMap;

use pacmesh_protocol::{
    codec::CodecError,
    ledger::{
        door::{
            COMPAT_NAME_LIMIT, CompatKey, CompatV1, DOCUMENT_LIMIT, Document, EVENTS, Note, RECIPIENTS,
            SealedV1, Secret, Topic,
        },
        kinds::{GenerationKey, Value},
        view::View,
    },
    wire::NOTES,
};

use super::changes::Planned;

/// Greatest length of a secret's name, in bytes.
const SECRET_NAME: usize = 100;

/// Replaces a secret that nobody replaced meanwhile.
pub(super) fn seal(view: &View, name: &str, seen: u64, secret: Option<&Secret>) -> Result<Planned, String> {
    let version = view.sealed(name).map_or(0, |sealed| sealed.version);
    if version != seen {
        return Err("somebody else changed this at the same time: try again".to_owned());
    }
    if name.is_empty()
        || name.len() > SECRET_NAME
        || secret.is_some_and(|secret| secret.boxes.len() > RECIPIENTS)
    {
        return Err("a secret that does not fit the ledger".to_owned());
    }
    let value = SealedV1 {
        version: version + 1,
        secret: secret.cloned(),
    };
    let entry = value.entry(&name.to_owned()).map_err(|error| error.to_string())?;
    Ok(Planned {
        entries: vec![entry],
        ..Planned::default()
    })
}

/// Writes down what is new in `notes`; what is known already costs no record.
pub(super) fn write_down(view: &View, notes: &[Note]) -> Result<Planned, String> {
    if notes.len() > NOTES {
        return Err(format!("{} notes at once: bring at most {NOTES}", notes.len()));
    }
    let mut planned = Planned::default();
    let mut numbers = Numbers::default();
    for note in notes {
        check(note)?;
        let entry = match note.key.topic {
            Topic::Event => numbers.event(view, note),
            _ => changed(view, note),
        };
        planned.entries.extend(entry.map_err(|error| error.to_string())?);
    }
    Ok(planned)
}

fn check(note: &Note) -> Result<(), String> {
    let fits = match &note.document {
        Some(Document::Here(text)) => text.len() <= DOCUMENT_LIMIT,
        _ => true,
    };
    if note.key.name.len() > COMPAT_NAME_LIMIT || !fits {
        return Err("a note that is too long for the ledger".to_owned());
    }
    Ok(())
}

fn changed(view: &View, note: &Note) -> Result<Option<pacmesh_protocol::ledger::record::Entry>, CodecError> {
    let seen = view.compat(&note.key);
    if seen.and_then(|seen| seen.document.as_ref()) == note.document.as_ref() {
        return Ok(None);
    }
    let value = CompatV1 {
        version: seen.map_or(0, |seen| seen.version) + 1,
        document: note.document.clone(),
    };
    value.entry(&note.key).map(Some)
}

/// Numbers events, so that each takes the place of the oldest.
#[derive(Debug, Default)]
struct Numbers {
    last: BTreeMap<Option<GenerationKey>, u64>,
}

impl Numbers {
    fn event(
        &mut self,
        view: &View,
        note: &Note,
    ) -> Result<Option<pacmesh_protocol::ledger::record::Entry>, CodecError> {
        let place = note.key.place.clone();
        let last = self.last.entry(place.clone()).or_insert_with(|| {
            let known = view.compat_of(Topic::Event, place.as_ref());
            known.map(|(_, event)| event.version).max().unwrap_or(0)
        });
        *last += 1;
        let key = CompatKey {
            name: (*last % EVENTS).to_string(),
            ..note.key.clone()
        };
        let value = CompatV1 {
            version: *last,
            document: note.document.clone(),
        };
        value.entry(&key).map(Some)
    }
}
