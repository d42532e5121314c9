//! The token: an invitation as one line of text, with addresses at which a member may be found.
//!
//! `pm1-`, then base64url without padding of: mesh (32 bytes), the invitation's secret seed (32), the signed statement
//! and the addresses (bincode), and the first four bytes of BLAKE3 over prefix and all that. A token that parses is
//! whole and consistent: the mesh's key signed the statement, and the seed is that of the invitation. What else could
//! be wrong with it (expiry, uses) only a master can say.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pacmesh_protocol::codec;
use pacmesh_protocol::ids::{InvitationId, MeshId};
use pacmesh_protocol::ledger::kinds::InvitationStatementV1;
use pacmesh_protocol::ledger::record::VALUE_LIMIT;
use pacmesh_protocol::signed::{Purpose, Signed};
use zeroize::Zeroizing;

use crate::membership::Invitation;
use crate::node_key::Ed25519Verifier;
use crate::secret::Seed;

/// Greatest length of a token in characters (FORMATS, "Entering and meeting").
pub const TOKEN_MAX: usize = 512;
/// Most addresses in a token (FORMATS).
pub const TOKEN_ADDRESSES: usize = 4;
/// Starts every token of this version.
const PREFIX: &str = "pm1-";
const CHECK: usize = 4;
/// Mesh and seed.
const KEYS: usize = 64;

/// Why a text is not a token, or an invitation does not become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Does not look like one at all.
    #[error("not a join token: one starts with {PREFIX} and comes from `pacmesh invite`")]
    NotAToken,
    /// Made by a pacmesh that writes another version.
    #[error(
        "a join token of a version ({0}) that this pacmesh does not know: update pacmesh on this machine"
    )]
    UnknownVersion(String),
    /// Longer than any token.
    #[error("{0} characters are too many for a join token (at most {TOKEN_MAX}): copy one token alone")]
    TooLong(usize),
    /// A character is wrong, missing or too many.
    #[error("the token has a typing error: copy it again")]
    Typo,
    /// Rightly copied, but its parts do not belong together.
    #[error("the token is not valid ({0}): ask for a new one with `pacmesh invite`")]
    Invalid(&'static str),
    /// More addresses than a token may carry.
    #[error("{0} addresses are too many for one token (at most {TOKEN_ADDRESSES})")]
    Addresses(usize),
}

/// An invitation with addresses to knock at. `Display` writes the secret out, as the last line of `pacmesh invite`;
/// `Debug` does not.
#[derive(Clone)]
pub struct Token {
    invitation: Invitation,
    addresses: Vec<SocketAddr>,
    text: Zeroizing<String>,
}

impl Token {
    /// Writes a token. Addresses are those of transport endpoints, best first.
    ///
    /// # Errors
    /// When there are more than [`TOKEN_ADDRESSES`] addresses.
    pub fn new(invitation: Invitation, addresses: Vec<SocketAddr>) -> Result<Self, TokenError> {
        if addresses.len() > TOKEN_ADDRESSES {
            return Err(TokenError::Addresses(addresses.len()));
        }
        let public = codec::encode(&(invitation.statement(), &addresses), TOKEN_MAX)
            .map_err(|_| TokenError::Invalid("its statement is too long"))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEYS + public.len() + CHECK));
        bytes.extend_from_slice(invitation.mesh().as_bytes());
        bytes.extend_from_slice(invitation.seed().expose());
        bytes.extend_from_slice(&public);
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        let mut text = Zeroizing::new(String::with_capacity(2 * TOKEN_MAX));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        if text.len() > TOKEN_MAX {
            return Err(TokenError::Invalid("its statement is too long"));
        }
        Ok(Token {
            invitation,
            addresses,
            text,
        })
    }

    /// The permission to knock.
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Where members were when the token was made, best first; at most [`TOKEN_ADDRESSES`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The text, wiped when the token is dropped (unlike what `to_string` copies).
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads a token; white space, as line breaks of a terminal leave it, does not matter.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = without_space(text)?;
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(other_prefix(&text));
        };
        // Exactly sized: growing would leave unwiped copies of the secret behind.
        let mut bytes = Zeroizing::new(vec![0; TOKEN_MAX]);
        let length = URL_SAFE_NO_PAD
            .decode_slice(encoded, &mut bytes)
            .map_err(|_| TokenError::Typo)?;
        let (content, check) = bytes[..length]
            .split_last_chunk::<CHECK>()
            .ok_or(TokenError::Typo)?;
        if *check != check_of(content) {
            return Err(TokenError::Typo);
        }
        let (invitation, addresses) = read(content)?;
        Ok(Token {
            invitation,
            addresses,
            text,
        })
    }
}

fn without_space(text: &str) -> Result<Zeroizing<String>, TokenError> {
    let kept = || text.chars().filter(|c| !c.is_ascii_whitespace());
    let length = kept().count();
    if length > TOKEN_MAX {
        return Err(TokenError::TooLong(length));
    }
    // Four bytes hold any character, so that the string never grows.
    let mut clean = Zeroizing::new(String::with_capacity(4 * length));
    clean.extend(kept());
    Ok(clean)
}

fn other_prefix(text: &str) -> TokenError {
    let version = text.split_once('-').map(|(prefix, _)| prefix).unwrap_or_default();
    match version.strip_prefix("pm") {
        Some(number)
            if !number.is_empty() && number.len() < 4 && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            TokenError::UnknownVersion(version.to_owned())
        }
        _ => TokenError::NotAToken,
    }
}

/// The content below a check that fits: its parts must belong together.
fn read(content: &[u8]) -> Result<(Invitation, Vec<SocketAddr>), TokenError> {
    let damaged = || TokenError::Invalid("it cannot be read");
    let (mesh, rest) = content.split_first_chunk::<32>().ok_or_else(damaged)?;
    let (seed, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    let (mesh, seed) = (MeshId(*mesh), Seed::from(Zeroizing::new(*seed)));
    let (statement, addresses): (Signed, Vec<SocketAddr>) =
        codec::decode(rest, TOKEN_MAX).map_err(|_| damaged())?;
    if addresses.len() > TOKEN_ADDRESSES {
        return Err(TokenError::Addresses(addresses.len()));
    }
    let terms: InvitationStatementV1 = statement
        .open(
            Purpose::Invitation,
            &mesh,
            mesh.as_bytes(),
            &Ed25519Verifier,
            VALUE_LIMIT,
        )
        .map_err(|_| TokenError::Invalid("its mesh did not sign it"))?;
    if terms.invitation != InvitationId(seed.signing_key().verifying_key().to_bytes()) {
        return Err(TokenError::Invalid("its secret is of another invitation"));
    }
    Ok((Invitation::new(mesh, seed, terms, statement), addresses))
}

fn check_of(content: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(PREFIX.as_bytes()).update(content);
    let hash = hasher.finalize();
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("invitation", &self.invitation)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use pacmesh_protocol::roles::Roles;
    use proptest::prelude::*;

    use super::*;
    use crate::test_keys;

    fn addresses() -> Vec<SocketAddr> {
        [
            "192.0.2.7:7421",
            "[2001:db8::7]:7421",
            "10.0.0.1:1",
            "[fd00::1]:65535",
        ]
        .map(|a| a.parse().unwrap())
        .into()
    }

    fn token() -> Token {
        Token::new(
            test_keys::invitation(1, 7, Roles::PEER, u64::MAX, u32::MAX),
            addresses(),
        )
        .unwrap()
    }

    /// A text with a fitting check over any content.
    fn checked(content: &[u8]) -> String {
        let bytes = [content, check_of(content).as_slice()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    #[test]
    fn the_longest_token_fits_and_comes_back() {
        let token = token();
        assert!(token.as_str().len() <= TOKEN_MAX, "{}", token.as_str().len());
        let read: Token = token.to_string().parse().unwrap();
        assert_eq!(read.addresses(), addresses());
        assert_eq!(read.invitation().terms(), token.invitation().terms());
        assert_eq!(read.invitation().mesh(), test_keys::authority(1).mesh());
        assert_eq!(read.as_str(), token.as_str());
    }

    #[test]
    fn tokens_on_their_way_stay_good() {
        let hash = blake3::hash(token().as_str().as_bytes());
        assert_eq!(
            hash.to_hex()[..16],
            *"bad03ee2508be55c",
            "another form needs another prefix"
        );
    }

    #[test]
    fn white_space_of_a_terminal_does_not_matter() {
        let text = token().to_string();
        let broken = format!("  {}\n{}\r\n", &text[..70], &text[70..]);
        assert!(broken.parse::<Token>().is_ok());
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let refused = |text: &str| text.parse::<Token>().unwrap_err();
        let text = token().to_string();
        assert_eq!(refused(""), TokenError::NotAToken);
        assert_eq!(refused("hello"), TokenError::NotAToken);
        assert_eq!(
            refused(&text.replacen("pm1", "pm2", 1)),
            TokenError::UnknownVersion("pm2".into())
        );
        assert_eq!(refused(&text[..text.len() - 1]), TokenError::Typo);
        assert_eq!(refused(&format!("{text}A")), TokenError::Typo);
        assert_eq!(refused("pm1-"), TokenError::Typo);
        assert_eq!(
            refused(&"x".repeat(TOKEN_MAX + 1)),
            TokenError::TooLong(TOKEN_MAX + 1)
        );
        assert_eq!(
            refused(&checked(&[0; 20])),
            TokenError::Invalid("it cannot be read")
        );
        assert_eq!(
            TokenError::Typo.to_string(),
            "the token has a typing error: copy it again"
        );
        let five = [addresses(), addresses()].concat();
        let invitation = token().invitation().clone();
        assert_eq!(
            Token::new(invitation, five).unwrap_err(),
            TokenError::Addresses(8)
        );
    }

    #[test]
    fn a_token_whose_parts_do_not_belong_together_is_refused() {
        let text = token().to_string();
        let bytes = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).unwrap();
        let content = &bytes[..bytes.len() - CHECK];
        let other = test_keys::authority(2).mesh();
        let foreign = [other.as_bytes(), &content[32..]].concat();
        assert_eq!(
            checked(&foreign).parse::<Token>().unwrap_err(),
            TokenError::Invalid("its mesh did not sign it")
        );
        let exchanged = [&content[..32], &[0x55; 32], &content[64..]].concat();
        assert_eq!(
            checked(&exchanged).parse::<Token>().unwrap_err(),
            TokenError::Invalid("its secret is of another invitation")
        );
    }

    #[test]
    fn the_secret_does_not_show() {
        let shown = format!("{:?}", token());
        assert!(!shown.contains("pm1-") && !shown.contains("seed"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_token_comes_back_as_it_was_made(
            seed: u8, expires in any::<u64>(), uses in any::<u32>(), ip in any::<[u8; 16]>(), port: u16, count in 0usize..=4,
        ) {
            let address = SocketAddr::from((ip, port));
            let invitation = test_keys::invitation(1, seed, Roles::GUEST, expires, uses);
            let made = Token::new(invitation, vec![address; count]).unwrap();
            let read: Token = made.as_str().parse().unwrap();
            prop_assert_eq!(read.invitation().terms(), made.invitation().terms());
            prop_assert_eq!(read.addresses(), made.addresses());
        }

        #[test]
        fn one_wrong_character_is_noticed(at in any::<prop::sample::Index>(), wrong in "[ -~]") {
            let text = token().to_string();
            let at = at.index(text.len());
            prop_assume!(text[at..=at] != wrong);
            let changed = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
            prop_assert!(changed.parse::<Token>().is_err(), "{}", changed);
        }

        #[test]
        fn inv5_any_text_and_any_content_is_refused_without_panic(
            text: String, content in prop::collection::vec(any::<u8>(), 0..380),
        ) {
            prop_assert!(text.parse::<Token>().is_err());
            prop_assert!(checked(&content).parse::<Token>().is_err());
        }
    }
}
