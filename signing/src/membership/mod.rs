//! Who may enter, provable offline.
//!
//! The authority signs statements; an invitation lets its holder knock; a master answers with an admission record;
//! a credential is the chain of admissions from the founder to one node. Everything here is a pure function of bytes,
//! keys and the time that the caller gives.

mod authority;
mod chain;
mod invitation;
mod knock;
mod recovery;
mod token;

pub use authority::Authority;
pub(crate) use authority::FILE as AUTHORITY_FILE;
pub use chain::{ChainError, Member, NoVerdicts, Verdicts, extend, verify_credential};
pub use invitation::Invitation;
pub use knock::{CLOCK_TOLERANCE_MS, Entrant, KnockError, check_binding, judge_knock};
pub use recovery::{RecoveryCode, RecoveryError};
pub use token::{TOKEN_ADDRESSES, TOKEN_MAX, Token, TokenError};
