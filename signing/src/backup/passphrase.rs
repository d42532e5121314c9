//! A passphrase: wiped when dropped, shown nowhere.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Least length, in characters: the file may lie where anybody can try.
const LEAST: usize = 8;
/// Greatest length, in bytes.
const MOST: usize = 1024;

/// Why a text is no passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Easily tried out.
    #[error("a passphrase has at least {LEAST} characters: take a few words")]
    Short,
    /// A file, more likely.
    #[error("a passphrase has at most {MOST} bytes")]
    Long,
}

/// What opens a backup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a text as it was typed.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        match text.len() {
            _ if text.chars().count() < LEAST => Err(PassphraseError::Short),
            length if length > MOST => Err(PassphraseError::Long),
            _ => Ok(Self(text)),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<String> for Passphrase {
    type Error = PassphraseError;

    fn try_from(text: String) -> Result<Self, PassphraseError> {
        Self::new(Zeroizing::new(text))
    }
}

impl From<Passphrase> for String {
    fn from(passphrase: Passphrase) -> Self {
        passphrase.0.as_str().to_owned()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}
