//! Sessions without memory: a cookie says who logged in and until when, and carries a keyed hash by which every node
//! that has the mesh's session key knows its own word again. So sessions live on any node and over restarts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pacmesh_protocol::codec;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::SecretError;

/// Longest cookie that is looked at, in bytes.
const TOKEN_LIMIT: usize = 512;
const MAC: usize = 32;

/// What sessions are sealed with.
pub struct SessionKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Who logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The user's name.
    pub user: String,
    /// [`crate::account::Account::stamp`] of the password then.
    pub stamp: [u8; 8],
    /// Until when, in seconds since 1970.
    pub expires: u64,
}

impl SessionKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, SecretError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(SecretError::NoRandom)?;
        Ok(Self(key))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// Its bytes, to be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The cookie of a session.
    ///
    /// # Errors
    /// When the name is longer than a name.
    pub fn issue(&self, session: &Session) -> Result<String, codec::CodecError> {
        let mut token = codec::encode(session, TOKEN_LIMIT / 2)?;
        let mac = self.mac(&token);
        token.extend_from_slice(mac.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// The session of a cookie that this key made and that has not expired at `now`, in seconds since 1970.
    pub fn open(&self, token: &str, now: u64) -> Option<Session> {
        if token.len() > TOKEN_LIMIT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        let mac: [u8; MAC] = mac.try_into().ok()?;
        // The comparison of hashes takes the same time wherever they differ.
        if self.mac(body) != blake3::Hash::from(mac) {
            return None;
        }
        let session: Session = codec::decode(body, TOKEN_LIMIT).ok()?;
        (session.expires > now).then_some(session)
    }

    fn mac(&self, body: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            user: "builder".to_owned(),
            stamp: [7; 8],
            expires: 1000,
        }
    }

    #[test]
    fn a_cookie_is_good_wherever_the_key_is_and_until_it_expires() {
        let key = SessionKey::generate().unwrap();
        let elsewhere = SessionKey::from_bytes(key.as_bytes()).unwrap();
        let cookie = key.issue(&session()).unwrap();
        assert_eq!(elsewhere.open(&cookie, 999), Some(session()));
        assert_eq!(elsewhere.open(&cookie, 1000), None);
    }

    #[test]
    fn inv6_no_other_key_and_no_changed_byte_is_believed() {
        let key = SessionKey::generate().unwrap();
        let cookie = key.issue(&session()).unwrap();
        assert_eq!(SessionKey::generate().unwrap().open(&cookie, 0), None);
        for at in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last digit of base64 has bits that stand for nothing; the decoder refuses them.
            assert_eq!(key.open(&changed, 0), None, "byte {at}");
        }
        for garbage in ["", "=", "gAAAA", "\"\"", &"A".repeat(43), &"A".repeat(100_000)] {
            assert_eq!(key.open(garbage, 0), None);
        }
    }
}
