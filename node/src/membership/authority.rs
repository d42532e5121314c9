//! The authority's key, from wherever a person has it: this home, an exported file, or the recovery code.

use std::io::Write;

use pacmesh_protocol::ids::MeshId;
use pacmesh_signing::{Authority, SecretsDir};

use super::MembershipError;
use crate::home::HomeError;

/// The authority of `mesh`. `brought` is the text of an exported key or a recovery code; without it the key is in this
/// home. Blocks.
///
/// # Errors
/// Without a key, with one that cannot be read, and with another mesh's.
pub fn authority(
    secrets: &SecretsDir,
    mesh: MeshId,
    brought: Option<&str>,
) -> Result<Authority, MembershipError> {
    let authority = match brought {
        None => Authority::load(secrets)?.ok_or(MembershipError::NoAuthority)?,
        // A key file has a line for each of its fields.
        Some(text) if text.trim().lines().count() == 1 => Authority::from_recovery_code(text.trim())?,
        Some(text) => read(secrets, text)?,
    };
    if authority.mesh() == mesh {
        Ok(authority)
    } else {
        Err(MembershipError::OtherAuthority)
    }
}

fn read(secrets: &SecretsDir, text: &str) -> Result<Authority, MembershipError> {
    let failed = |source| {
        MembershipError::Home(HomeError::Folder {
            path: secrets.path().to_owned(),
            source,
        })
    };
    // Beside the other keys, private to this user, and gone when it was read.
    let mut file = tempfile::NamedTempFile::new_in(secrets.path()).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(Authority::load_file(file.path())?)
}
