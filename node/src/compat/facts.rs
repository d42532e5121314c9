//! What ahriman's clients say, as documents of the ledger (FORMATS, kind compat): which key each has.

use pacmesh_protocol::{
    ledger::{
        door::{CompatKey, CompatV1, DOCUMENT_LIMIT, Document, Note, Topic},
        kinds::GenerationKey,
        view::View,
    },
    names::PackageName,
};
use serde::{Serialize, de::DeserializeOwned};

use super::json;

/// The key of what is said of a base.
pub fn of_base(topic: Topic, place: &GenerationKey, base: &PackageName) -> CompatKey {
    CompatKey {
        topic,
        place: Some(place.clone()),
        name: base.to_string(),
    }
}

/// The key of what is said of the service.
pub fn of_service(place: &GenerationKey) -> CompatKey {
    CompatKey {
        topic: Topic::Service,
        place: Some(place.clone()),
        name: String::new(),
    }
}

/// The key of a new event.
pub fn of_event(place: &GenerationKey) -> CompatKey {
    CompatKey {
        topic: Topic::Event,
        place: Some(place.clone()),
        name: String::new(),
    }
}

/// The key of a patch; a base has no slash in its name. Patches are of no place.
pub fn of_patch(base: &PackageName, key: Option<&str>) -> CompatKey {
    CompatKey {
        topic: Topic::Patch,
        place: None,
        name: format!("{base}/{}", key.unwrap_or_default()),
    }
}

/// The text of a document that is short enough for the ledger, or the text that must become a blob.
pub fn document(value: &impl Serialize) -> Result<Document, String> {
    let text = String::from_utf8(json::bytes(value)).unwrap_or_default();
    if text.len() <= DOCUMENT_LIMIT {
        Ok(Document::Here(text))
    } else {
        Err(text)
    }
}

/// The removal of a document.
pub const fn removal(key: CompatKey) -> Note {
    Note { key, document: None }
}

/// A short document of the view.
pub fn read<T: DeserializeOwned>(value: &CompatV1) -> Option<T> {
    match value.document.as_ref()? {
        Document::Here(text) => serde_json::from_str(text).ok(),
        Document::Blob(_) => None,
    }
}

/// A short document by its key.
pub fn look_up<T: DeserializeOwned>(view: &View, key: &CompatKey) -> Option<T> {
    view.compat(key).and_then(read)
}
