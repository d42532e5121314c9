//! Users of the HTTP side: what is kept of a password, and whether one fits.
//!
//! New passwords are argon2id. Those that come from ahriman are bcrypt of the password followed by its configured salt;
//! they go on fitting, and are replaced when a new one is set.

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use pacmesh_protocol::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{sealed::CONTENT_LIMIT, secret::SecretError};

/// Longest name of a user, in characters.
pub const NAME_LIMIT: usize = 64;
/// Longest password, in bytes: hashing it is work that a stranger can ask for.
pub const PASSWORD_LIMIT: usize = 1024;
/// bcrypt reads no further.
const BCRYPT_LIMIT: usize = 72;

/// What a user may do; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Look.
    Read,
    /// Look at logs and sources, ask for packages.
    Reporter,
    /// Everything.
    Full,
}

impl Access {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reporter => "reporter",
            Self::Full => "full",
        }
    }
}

impl std::str::FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Read, Self::Reporter, Self::Full]
            .into_iter()
            .find(|access| access.name() == text)
            .ok_or_else(|| "a role is full, reporter or read".to_owned())
    }
}

/// Why a user is not made.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not a name.
    #[error("a user name has 1 to {NAME_LIMIT} of a-z A-Z 0-9 . _ @ -")]
    Name,
    /// Nothing to check.
    #[error("a password has 1 to {PASSWORD_LIMIT} bytes")]
    Password,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SecretError),
    /// The hash failed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    /// Too long to be kept.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kept {
    /// A PHC string.
    Argon2(String),
    /// What ahriman kept.
    Bcrypt { hash: String, salt: String },
}

/// One user, as it is sealed into the ledger.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    name: String,
    access: Access,
    kept: Kept,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// A user with a new password. Takes tens of milliseconds, on purpose.
    ///
    /// # Errors
    /// When name or password are none, or there is no randomness.
    pub fn new(name: &str, access: Access, password: &str) -> Result<Self, AccountError> {
        check_name(name)?;
        if password.is_empty() || password.len() > PASSWORD_LIMIT {
            return Err(AccountError::Password);
        }
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(SecretError::NoRandom)?;
        let hashed = SaltString::encode_b64(&salt)
            .and_then(|salt| {
                Argon2::default()
                    .hash_password(password.as_bytes(), &salt)
                    .map(|hash| hash.to_string())
            })
            .map_err(|error| AccountError::Hash(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            access,
            kept: Kept::Argon2(hashed),
        })
    }

    /// A user of ahriman, with the bcrypt hash and the `[auth] salt` that it had there.
    ///
    /// # Errors
    /// When the name is none.
    pub fn imported(name: &str, access: Access, hash: &str, salt: &str) -> Result<Self, AccountError> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            access,
            kept: Kept::Bcrypt {
                hash: hash.to_owned(),
                salt: salt.to_owned(),
            },
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Whether this is its password. Takes tens of milliseconds, on purpose.
    pub fn fits(&self, password: &str) -> bool {
        if password.len() > PASSWORD_LIMIT {
            return false;
        }
        match &self.kept {
            Kept::Argon2(hash) => PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            }),
            Kept::Bcrypt { hash, salt } => {
                let mut salted = Zeroizing::new(format!("{password}{salt}").into_bytes());
                salted.truncate(BCRYPT_LIMIT);
                bcrypt::verify(salted.as_slice(), hash).unwrap_or(false)
            }
        }
    }

    /// Spends as much time as [`Account::fits`] would, so that nobody learns by the clock who is a user.
    pub fn pretend(password: &str) {
        let salt = SaltString::encode_b64(&[0; 16]);
        let _ = salt.map(|salt| {
            Argon2::default()
                .hash_password(password.as_bytes(), &salt)
                .map(|_| ())
        });
    }

    /// Changes with the password: sessions carry it, so that a new password ends those of the old one.
    pub fn stamp(&self) -> [u8; 8] {
        let kept = match &self.kept {
            Kept::Argon2(hash) | Kept::Bcrypt { hash, .. } => hash,
        };
        let mut hasher = blake3::Hasher::new_derive_key("pacmesh 2026-11-26 stamp of a password");
        hasher
            .update(self.name.as_bytes())
            .update(&[0])
            .update(kept.as_bytes());
        let mut stamp = [0; 8];
        hasher.finalize_xof().fill(&mut stamp);
        stamp
    }

    /// The bytes that are sealed.
    ///
    /// # Errors
    /// When they are too long.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, AccountError> {
        Ok(Zeroizing::new(codec::encode(self, CONTENT_LIMIT)?))
    }

    /// Reads what was sealed.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, AccountError> {
        Ok(codec::decode(bytes, CONTENT_LIMIT)?)
    }
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let is_name = (1..=NAME_LIMIT).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
    is_name.then_some(()).ok_or(AccountError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_and_others_do_not() {
        let account = Account::new("builder", Access::Full, "correct horse").unwrap();
        let read = Account::decode(&account.encode().unwrap()).unwrap();
        assert!(read.fits("correct horse"));
        assert!(!read.fits("correct horsf") && !read.fits("") && !read.fits(&"x".repeat(4096)));
        assert!(!format!("{read:?}").contains("argon2"), "{read:?}");
    }

    #[test]
    fn a_user_of_ahriman_keeps_the_password_with_its_salt() {
        let hash = bcrypt::hash("passwordsalty", 4).unwrap();
        let account = Account::imported("old", Access::Reporter, &hash, "salty").unwrap();
        assert!(account.fits("password"));
        assert!(!account.fits("passwordsalty") && !account.fits("passwor"));
        // What Python's bcrypt 3.2 wrote for 'secret' with cost 4.
        let python = bcrypt::hash("secret", 4).unwrap().replacen("$2b$", "$2a$", 1);
        assert!(
            Account::imported("old", Access::Full, &python, "")
                .unwrap()
                .fits("secret")
        );
        assert!(
            !Account::imported("old", Access::Full, "not a hash", "")
                .unwrap()
                .fits("secret")
        );
    }

    #[test]
    fn bcrypt_reads_no_further_than_it_always_did() {
        let long = "p".repeat(80);
        let hash = bcrypt::hash(&long[..72], 4).unwrap();
        assert!(
            Account::imported("old", Access::Full, &hash, "")
                .unwrap()
                .fits(&long)
        );
    }

    #[test]
    fn a_new_password_has_a_new_stamp() {
        let stamp = |password| Account::new("a", Access::Read, password).unwrap().stamp();
        assert_ne!(stamp("one"), stamp("one"), "the salt is new");
        let account = Account::new("a", Access::Read, "one").unwrap();
        assert_eq!(account.stamp(), account.clone().stamp());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", "a b", "a/b", "a\0", "é", &"x".repeat(65)] {
            assert!(Account::new(name, Access::Read, "password").is_err(), "{name:?}");
        }
        assert!(Account::new("a", Access::Read, "").is_err());
    }

    #[test]
    fn each_role_includes_those_before_it() {
        assert!(Access::Full > Access::Reporter && Access::Reporter > Access::Read);
        assert_eq!("reporter".parse(), Ok(Access::Reporter));
        assert!("root".parse::<Access>().is_err());
    }
}
