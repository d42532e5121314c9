//! OpenPGP as pacman and gpg read it: package signatures made and verified.
//!
//! [`PackageKey`] signs what a node built, [`Certificate`] is the public side of anybody's key, and
//! [`verify_detached`] says whether a signature was made by a key that may sign, or why not. Sizes are checked before
//! anything is parsed, and no bytes from outside make this module panic. All times are whole seconds of Unix time and
//! arguments, so that a verdict can be repeated.

mod cert;
mod sign;
mod validity;
mod verify;

pub use cert::{Certificate, CertificateError, export_armored};
pub(crate) use sign::FILE as PACKAGE_KEY_FILE;
pub use sign::{PackageKey, SignError, USER_ID_MAX};
pub use verify::{VerifyError, verify_detached};

/// Greatest size of a detached signature in bytes. An ed25519 one has 119, one of RSA with 4096 bits 566.
pub const SIGNATURE_MAX: usize = 16 * 1024;

/// Greatest size of a certificate in bytes: distribution keys with many certifications stay below.
pub const CERTIFICATE_MAX: usize = 64 * 1024;

/// How far (in seconds) a time inside a key or signature may lie ahead of the verifier's clock: a day. Keys and
/// signatures of a machine whose clock is a little fast are good; beyond that the time says nothing.
const CLOCK_TOLERANCE: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests;
