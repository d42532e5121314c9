//! What the HTTP side keeps in the ledger: secrets that only those who may lead can open, and what ahriman's clients say.
//!
//! Neither order uses a clock: the version decides, then removal.

use serde::{Deserialize, Serialize};

use crate::{
    ids::Digest,
    ledger::{
        kinds::{GenerationKey, Kind, Value},
        view::View,
    },
};

/// Most members that one secret is sealed to: a box takes 60 bytes of a value's 16 KiB.
pub const RECIPIENTS: usize = 160;
/// So many events of one place are kept; the next one takes the place of the oldest.
pub const EVENTS: u64 = 512;
/// Longest document that stands in the ledger itself, in bytes; longer ones are blobs.
pub const DOCUMENT_LIMIT: usize = 8 << 10;
/// Greatest length of a name in a [`CompatKey`], in bytes.
pub const COMPAT_NAME_LIMIT: usize = 300;

/// Kind 13, keyed by what it is called. Greatest version, then removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedV1 {
    /// Seen + 1.
    pub version: u64,
    /// Absent once it was removed.
    pub secret: Option<Secret>,
}

/// Something encrypted to each member that may lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The public half of a key that was drawn for this secret alone.
    pub sender: [u8; 32],
    /// The key of the content, once for each recipient; at most [`RECIPIENTS`].
    pub boxes: Vec<SecretBox>,
    /// The content.
    pub content: Vec<u8>,
}

/// The key of a secret's content, encrypted to one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBox {
    /// The beginning of the recipient's id.
    pub hint: [u8; 8],
    /// The key and its tag.
    pub key: Vec<u8>,
}

/// What a document of the ahriman shim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Topic {
    /// The service's own status.
    Service,
    /// A base as a worker registered it.
    Package,
    /// The status of a base.
    Status,
    /// Whether a base is held.
    Hold,
    /// Commit, diff and PKGBUILD of a base.
    Changes,
    /// Which packages the files of a base come from.
    Dependencies,
    /// A patch, named `base/key`; of no place.
    Patch,
    /// An event; its name is its version modulo [`EVENTS`].
    Event,
}

/// The key of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CompatKey {
    /// What it is about.
    pub topic: Topic,
    /// Of which repository and architecture, where it is of one.
    pub place: Option<GenerationKey>,
    /// Which one; at most [`COMPAT_NAME_LIMIT`] bytes.
    pub name: String,
}

/// The text of a document: JSON as ahriman's clients send and read it, because its form is theirs to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Document {
    /// At most [`DOCUMENT_LIMIT`] bytes.
    Here(String),
    /// A longer one, as a blob.
    Blob(Digest),
}

/// Kind 15. Greatest version, then removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompatV1 {
    /// Seen + 1; of an event, one more than that of any other of its place.
    pub version: u64,
    /// Absent once it was removed.
    pub document: Option<Document>,
}

/// One thing to be written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which; the name of an event is left empty.
    pub key: CompatKey,
    /// What it says from now on; `None` removes it.
    pub document: Option<Document>,
}

impl Value for SealedV1 {
    const KIND: Kind = Kind::Sealed;
    type Key = String;
}

impl Value for CompatV1 {
    const KIND: Kind = Kind::Compat;
    type Key = CompatKey;
}

/// The HTTP side.
impl View {
    /// A secret, removed or not.
    pub fn sealed(&self, name: &str) -> Option<&SealedV1> {
        self.sealed.get(name).map(|(_, value)| value)
    }

    /// All secrets, removed ones included, by name.
    pub fn all_sealed(&self) -> impl Iterator<Item = (&str, &SealedV1)> {
        self.sealed
            .iter()
            .map(|(name, (_, value))| (name.as_str(), value))
    }

    /// A document of the ahriman shim, removed or not.
    pub fn compat(&self, key: &CompatKey) -> Option<&CompatV1> {
        self.compat.get(key).map(|(_, value)| value)
    }

    /// The documents about one topic of one place, removed ones included, by name.
    pub fn compat_of<'a>(
        &'a self,
        topic: Topic,
        place: Option<&'a GenerationKey>,
    ) -> impl Iterator<Item = (&'a str, &'a CompatV1)> {
        let first = CompatKey {
            topic,
            place: place.cloned(),
            name: String::new(),
        };
        self.compat
            .range(first..)
            .take_while(move |(key, _)| key.topic == topic && key.place.as_ref() == place)
            .map(|(key, (_, value))| (key.name.as_str(), value))
    }

    /// All documents of the ahriman shim, removed ones included.
    pub fn all_compat(&self) -> impl Iterator<Item = (&CompatKey, &CompatV1)> {
        self.compat.iter().map(|(key, (_, value))| (key, value))
    }
}
