//! `invite`: the authority's word that somebody may ask for admission.

use std::{net::SocketAddr, time::Duration};

use pacmesh_protocol::{
    ledger::{
        kinds::{InvitationV1, Value},
        record::Entry,
    },
    roles::Roles,
};
use pacmesh_signing::{Authority, Token, membership::TOKEN_ADDRESSES};

use super::MembershipError;
use crate::clock;

/// A token with the entry that makes it known to all members.
#[derive(Debug)]
pub struct Invited {
    /// To be handed over.
    pub token: Token,
    /// To be recorded before the token is shown.
    pub entry: Entry,
    /// Milliseconds since 1970.
    pub expires_ms: u64,
}

/// Makes an invitation; `addresses` are those of members' transports, best first.
pub fn invite(
    authority: &Authority,
    roles: Roles,
    expires: Duration,
    uses: u32,
    mut addresses: Vec<SocketAddr>,
) -> Result<Invited, MembershipError> {
    let expires_ms = clock::wall_ms().saturating_add(expires.as_millis() as u64);
    let invitation = authority.invite(roles, expires_ms, uses)?;
    let value = InvitationV1 {
        statement: invitation.statement().clone(),
        closed: false,
    };
    let entry = value.entry(&invitation.id())?;
    addresses.truncate(TOKEN_ADDRESSES);
    Ok(Invited {
        token: Token::new(invitation, addresses)?,
        entry,
        expires_ms,
    })
}
