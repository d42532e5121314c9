//! Who is who: keys, and what they prove. Synchronous; the only crate that sees private key bytes.
//!
//! * [`secret`]: files that only their owner reads. Private bytes leave this crate by one door,
//!   [`NodeKey::transport_seed`], for TLS and libp2p, which need the node's key itself.
//! * [`node_key`]: the ed25519 key of a node; implements the protocol's `Sign`, and `Verify` for everybody's.
//! * [`backup`]: all keys of a node in one file, sealed with a passphrase.
//! * [`membership`]: who may enter: the authority, invitations and their tokens, knocks, chains of admissions.
//! * [`sealed`]: what only the members that may lead can open; [`account`], [`session`]: the users of the HTTP side.
//! * [`openpgp`], [`keyring`], [`policy`]: signatures on packages: made, verified, trusted, sufficient.

pub mod account;
pub mod backup;
mod key_file;
pub mod keyring;
pub mod membership;
pub mod node_key;
pub mod openpgp;
pub mod policy;
pub mod sealed;
pub mod secret;
pub mod session;
#[cfg(any(test, feature = "test-keys"))]
pub mod test_keys;

pub use keyring::Keyring;
pub use membership::{Authority, Invitation, RecoveryCode, Token};
pub use node_key::{Ed25519Verifier, NodeKey};
pub use openpgp::{Certificate, PackageKey};
pub use secret::{SecretError, SecretsDir};
