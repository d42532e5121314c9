//! Who may do what.

use pacmesh_signing::account::Access;

/// What a request needs; each permits itself and all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    Unauthorized,
    /// To look.
    Read,
    /// To look at logs and sources, and to ask for packages.
    Reporter,
    /// Everything.
    Full,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Read => "read",
            Self::Reporter => "reporter",
            Self::Full => "full",
        }
    }
}

impl From<Access> for Role {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            Access::Reporter => Self::Reporter,
            Access::Full => Self::Full,
        }
    }
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Nobody is logged in.
    Unauthorized,
    /// Somebody is, and may not.
    Forbidden(Role),
}

/// Judges a request that needs `needed` by whoever is logged in as `has`.
pub fn judge(has: Option<Role>, needed: Role, read_is_open: bool) -> Result<(), Denied> {
    if needed == Role::Unauthorized || (needed == Role::Read && read_is_open) {
        return Ok(());
    }
    match has {
        Some(role) if role >= needed => Ok(()),
        Some(_) => Err(Denied::Forbidden(needed)),
        None => Err(Denied::Unauthorized),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 4] = [Role::Unauthorized, Role::Read, Role::Reporter, Role::Full];

    #[test]
    fn inv6_a_role_permits_itself_and_all_below_it() {
        for (has, role) in ROLES.into_iter().enumerate() {
            for (needs, needed) in ROLES.into_iter().enumerate() {
                let allowed = judge(Some(role), needed, false).is_ok();
                assert_eq!(allowed, has >= needs, "{role:?} for {needed:?}");
            }
        }
    }

    #[test]
    fn reading_is_open_only_where_it_is_allowed() {
        assert_eq!(judge(None, Role::Read, true), Ok(()));
        assert_eq!(judge(None, Role::Read, false), Err(Denied::Unauthorized));
        assert_eq!(judge(None, Role::Reporter, true), Err(Denied::Unauthorized));
        assert_eq!(
            judge(Some(Role::Read), Role::Full, true),
            Err(Denied::Forbidden(Role::Full))
        );
    }
}
