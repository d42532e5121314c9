//! Who is logged in, by the cookie of a request.

use axum::http::{HeaderMap, header};
use pacmesh_signing::session::Session;

use super::{Door, call::Who};
use crate::{clock, compat::role::Role};

/// The name of the cookie; clients send back whatever they got.
pub(super) const COOKIE: &str = "AHRIMAN";
/// How long a session lasts, in seconds (`[auth] max_age`).
pub(super) const MAX_AGE: u64 = 7 * 24 * 3600;

/// The user whose session a request carries. Its role is that of now, and a new password ends the sessions of the old.
pub(super) fn who(door: &Door, headers: &HeaderMap) -> Who {
    session(door, headers).unwrap_or(Who::Nobody)
}

fn session(door: &Door, headers: &HeaderMap) -> Option<Who> {
    let directory = door.users.directory(&door.rooms);
    let key = directory.session_key()?;
    let now = clock::wall_ms() / 1000;
    let session: Session = tokens(headers).find_map(|token| key.open(token, now))?;
    let account = directory.user(&session.user)?;
    (account.stamp() == session.stamp).then(|| Who::User {
        name: account.name().to_owned(),
        role: Role::from(account.access()),
    })
}

/// Every cookie that may be a session: Python sends the quotes back that came with it.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.trim().trim_matches('"'))
        .take(4)
}
