//! Names of fixed length: newtypes over bytes that print as lower-case hex and parse back or refuse.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the hex form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}: expected {digits} hex digits")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
    digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// The first eight hex digits, for people.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $length];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError {
                    text: text.chars().take(80).collect(),
                    what: $what,
                    digits: 2 * $length,
                })?;
                Ok(Self(bytes))
            }
        }
    };
}

id!(
    /// A node: its ed25519 public key.
    NodeId, 32, "a node id"
);
id!(
    /// A mesh: the public key of the authority that founded it.
    MeshId, 32, "a mesh id"
);
id!(
    /// An invitation: its ed25519 public key.
    InvitationId, 32, "an invitation"
);
id!(
    /// The BLAKE3 hash that names a blob.
    Digest, 32, "a BLAKE3 digest"
);
id!(
    /// The SHA-256 hash that pacman's databases carry (FIPS 180-4).
    Sha256, 32, "a SHA-256 digest"
);
id!(
    /// A record: the BLAKE3 hash of its body as received.
    RecordHash, 32, "a record hash"
);
id!(
    /// A job: the hash of what was asked for, so that the same request twice is one job.
    JobId, 32, "a job id"
);
id!(
    /// A change that some node carries to the master; drawn at random by the origin.
    RequestId, 16, "a request id"
);
id!(
    /// An OpenPGP v4 fingerprint (RFC 4880, 12.2).
    Fingerprint, 20, "an OpenPGP fingerprint"
);

impl Digest {
    /// Names `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl RecordHash {
    /// The `prev` of an author's first record.
    pub const NONE: Self = Self([0; 32]);

    /// Names a record by its body.
    pub fn of(body: &[u8]) -> Self {
        Self(*blake3::hash(body).as_bytes())
    }
}

/// Grows with every start of a node: max(stored + 1, wall seconds), synced before anything is signed.
pub type Incarnation = u64;

/// A seat: 0 is the founder; each admission takes one more than the greatest that its author knows.
pub type Seat = u64;

/// The number of a reign.
pub type Term = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_what_they_print_and_nothing_else() {
        let id = NodeId([0xab; 32]);
        assert_eq!(id.to_string().parse::<NodeId>(), Ok(id));
        for wrong in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
        }
    }
}
