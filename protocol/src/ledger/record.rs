//! Records: what is written, signed and kept, byte for byte as it came (FORMATS, "Records").

use std::{cmp::Ordering, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    ids::{Incarnation, MeshId, NodeId, RecordHash, RequestId, Term},
    signed::{Purpose, Sign, Signed, SignedError, Verify},
};

/// Greatest length of a record's body, in bytes (FORMATS, "Numbers").
pub const RECORD_LIMIT: usize = 256 << 10;
/// Most entries of a record.
pub const ENTRY_LIMIT: usize = 1024;
/// Greatest length of a key, in bytes.
pub const KEY_LIMIT: usize = 512;
/// Greatest length of a value, in bytes.
pub const VALUE_LIMIT: usize = 16 << 10;

/// One time of leading. Ordered by term, then node, then incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReignId {
    /// The number of the reign; 0 means that none was led.
    pub term: Term,
    /// Who led.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
}

/// One statement: `value` is what `key` of `kind` is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the kind; unknown ones are verified, kept and passed on unread.
    pub kind: u16,
    /// Version of the value's form.
    pub version: u16,
    /// At most [`KEY_LIMIT`] bytes.
    pub key: Vec<u8>,
    /// At most [`VALUE_LIMIT`] bytes.
    pub value: Vec<u8>,
}

/// The body of a record, as signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordV1 {
    /// Who wrote it and signed it.
    pub author: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Its place among the records of this life, from 1.
    pub sequence: u64,
    /// The hash of the author's previous record, of whatever life; [`RecordHash::NONE`] for the first.
    pub prev: RecordHash,
    /// The reign under which it was written; its node is the author. It only breaks ties.
    pub reign: ReignId,
    /// The change that it answers.
    pub request: Option<RequestId>,
    /// Wall clock of the author, in milliseconds since 1970; shown, never ordered by.
    pub written_ms: u64,
    /// Applied whole or not at all.
    pub entries: Vec<Entry>,
}

/// The place of a record among those of its author; the record hash tells forks apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The author's life.
    pub incarnation: Incarnation,
    /// The number in that life.
    pub sequence: u64,
    /// The record.
    pub hash: RecordHash,
}

/// The end of every order: (reign, author, incarnation, sequence, record hash).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tail {
    /// The reign under which the record was written.
    pub reign: ReignId,
    /// Its author.
    pub author: NodeId,
    /// Its place.
    pub position: Position,
}

/// Why a record was refused; the ledger is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read, or is too long.
    #[error("a record that cannot be read")]
    Codec(#[from] CodecError),
    /// The signature is not the author's.
    #[error("a record of {author} whose signature does not fit")]
    Signature {
        /// Who was said to have written it.
        author: NodeId,
    },
    /// A bound or a rule of FORMATS is broken.
    #[error("a record of {author} that breaks a rule: {rule}")]
    Rule {
        /// Who wrote it.
        author: NodeId,
        /// Which rule.
        rule: &'static str,
    },
}

/// A record whose signature was verified: the exact bytes, their hash, and the meaning.
#[derive(Debug, Clone)]
pub struct Record {
    signed: Arc<Signed>,
    hash: RecordHash,
    body: Arc<RecordV1>,
}

impl Record {
    /// Verifies and reads a record as it came from outside.
    pub fn verify(signed: Signed, mesh: &MeshId, verifier: &dyn Verify) -> Result<Self, RecordError> {
        let body: RecordV1 = signed.peek(RECORD_LIMIT)?;
        signed
            .check(Purpose::Record, mesh, body.author.as_bytes(), verifier)
            .map_err(|error| match error {
                SignedError::Body(error) => RecordError::Codec(error),
                SignedError::Signature => RecordError::Signature { author: body.author },
            })?;
        Self::checked(signed, body)
    }

    /// Reads a record from this node's own store, where it was verified before it was kept.
    pub fn trusted(signed: Signed) -> Result<Self, RecordError> {
        let body: RecordV1 = codec::decode(&signed.body, RECORD_LIMIT)?;
        Self::checked(signed, body)
    }

    /// Writes and signs a record.
    pub fn write(body: RecordV1, mesh: &MeshId, key: &dyn Sign) -> Result<Self, RecordError> {
        let signed = Signed::seal(&body, Purpose::Record, mesh, key, RECORD_LIMIT)?;
        Self::checked(signed, body)
    }

    fn checked(signed: Signed, body: RecordV1) -> Result<Self, RecordError> {
        let rule = |rule| RecordError::Rule {
            author: body.author,
            rule,
        };
        if body.reign.node != body.author {
            return Err(rule("its reign is not its author's"));
        }
        if body.entries.is_empty() || body.entries.len() > ENTRY_LIMIT {
            return Err(rule("it has no entry, or more than 1,024"));
        }
        if body
            .entries
            .iter()
            .any(|e| e.key.len() > KEY_LIMIT || e.value.len() > VALUE_LIMIT)
        {
            return Err(rule("a key is longer than 512 bytes or a value than 16 KiB"));
        }
        let hash = RecordHash::of(&signed.body);
        Ok(Self {
            signed: Arc::new(signed),
            hash,
            body: Arc::new(body),
        })
    }

    /// The bytes and signature as they came.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// BLAKE3 of the body.
    pub const fn hash(&self) -> RecordHash {
        self.hash
    }

    /// What it says.
    pub fn body(&self) -> &RecordV1 {
        &self.body
    }

    /// Who wrote it.
    pub fn author(&self) -> NodeId {
        self.body.author
    }

    /// Its place among its author's records.
    pub fn position(&self) -> Position {
        Position {
            incarnation: self.body.incarnation,
            sequence: self.body.sequence,
            hash: self.hash,
        }
    }

    /// The end of every order.
    pub fn tail(&self) -> Tail {
        Tail {
            reign: self.body.reign,
            author: self.body.author,
            position: self.position(),
        }
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Record {}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Record {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash)
    }
}
