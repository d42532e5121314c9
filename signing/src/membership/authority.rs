//! The authority: the key that founds a mesh, and the few statements that it signs.
//!
//! Its public key is the mesh id. It signs foundings, invitations, revocations and reinstatements, each under a
//! purpose of its own, and nothing else; so it may be kept away from every node.

use std::fmt;
use std::path::Path;

use ed25519_dalek::SigningKey;
use pacmesh_protocol::codec::CodecError;
use pacmesh_protocol::ids::{InvitationId, MeshId, NodeId};
use pacmesh_protocol::ledger::kinds::{FoundingV1, InvitationStatementV1, VerdictStatementV1};
use pacmesh_protocol::ledger::record::VALUE_LIMIT;
use pacmesh_protocol::names::MeshName;
use pacmesh_protocol::roles::Roles;
use pacmesh_protocol::signed::{Purpose, Sign, Signature, Signed};
use serde::Serialize;

use crate::key_file::{KeyContent, KeyFile};
use crate::membership::{Invitation, RecoveryCode, RecoveryError};
use crate::node_key::sign;
use crate::secret::{SecretError, SecretsDir, Seed};

pub(crate) const FILE: KeyFile = KeyFile {
    name: "authority.key",
    kind: "authority",
    fields: &[],
};

/// The private key of a mesh.
pub struct Authority {
    seed: Seed,
    key: SigningKey,
}

impl Authority {
    /// A new authority, and with it a new mesh.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, SecretError> {
        Seed::generate().map(Self::from_seed)
    }

    /// Reads `authority.key`; `None` when this node does not hold the authority.
    ///
    /// # Errors
    /// When the file is loose, foreign or damaged.
    pub fn load(dir: &SecretsDir) -> Result<Option<Self>, SecretError> {
        Ok(FILE.load(dir)?.map(|content| Self::from_seed(content.seed)))
    }

    /// Reads an authority that is kept in a file outside of any home (`--authority FILE`).
    ///
    /// # Errors
    /// When the file is missing, loose, foreign or damaged.
    pub fn load_file(path: &Path) -> Result<Self, SecretError> {
        let missing = || SecretError::Missing {
            path: path.to_owned(),
            kind: FILE.kind,
        };
        FILE.load_path(path)?
            .map(|content| Self::from_seed(content.seed))
            .ok_or_else(missing)
    }

    /// Writes `authority.key`, which must not exist.
    ///
    /// # Errors
    /// When there is one already (it stays) or the file system refuses.
    pub fn store(&self, dir: &SecretsDir) -> Result<(), SecretError> {
        FILE.create(
            dir,
            &KeyContent {
                seed: self.seed.clone(),
                fields: vec![],
            },
        )
    }

    /// The authority that a recovery code was made of.
    ///
    /// # Errors
    /// When the code has a typing error.
    pub fn from_recovery_code(code: &str) -> Result<Self, RecoveryError> {
        RecoveryCode::read(code).map(Self::from_seed)
    }

    pub(crate) fn from_seed(seed: Seed) -> Self {
        let key = seed.signing_key();
        Authority { seed, key }
    }

    /// The mesh: this authority's public key.
    pub fn mesh(&self) -> MeshId {
        MeshId(self.key.verifying_key().to_bytes())
    }

    /// The secret as a person writes it down.
    pub fn recovery_code(&self) -> RecoveryCode {
        RecoveryCode::write(&self.seed)
    }

    /// Founds the mesh with its first node: the warrant of the founder's admission.
    ///
    /// # Errors
    /// Never for a valid name; the codec's refusal otherwise.
    pub fn found(&self, node: NodeId, mesh_name: MeshName) -> Result<Signed, CodecError> {
        self.seal(&FoundingV1 { node, mesh_name }, Purpose::Found)
    }

    /// A new invitation with a key of its own: good until `expires_ms` (Unix time in milliseconds) for `uses` nodes,
    /// which may become at most `roles`.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn invite(&self, roles: Roles, expires_ms: u64, uses: u32) -> Result<Invitation, SecretError> {
        Ok(self.invite_with(Seed::generate()?, roles, expires_ms, uses))
    }

    pub(crate) fn invite_with(&self, seed: Seed, roles: Roles, expires_ms: u64, uses: u32) -> Invitation {
        let invitation = InvitationId(seed.signing_key().verifying_key().to_bytes());
        let terms = InvitationStatementV1 {
            invitation,
            roles,
            expires_ms,
            uses,
        };
        let statement = self
            .seal(&terms, Purpose::Invitation)
            .expect("four small fields fit any limit");
        Invitation::new(self.mesh(), seed, terms, statement)
    }

    /// Revokes or reinstates.
    ///
    /// # Errors
    /// When more admissions are listed than a value can hold.
    pub fn rule(&self, statement: &VerdictStatementV1) -> Result<Signed, CodecError> {
        self.seal(statement, Purpose::Verdict)
    }

    fn seal<T: Serialize>(&self, statement: &T, purpose: Purpose) -> Result<Signed, CodecError> {
        Signed::seal(statement, purpose, &self.mesh(), &Signer(&self.key), VALUE_LIMIT)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&self.mesh()).finish()
    }
}

/// Private, so that nobody signs anything else with the authority.
struct Signer<'a>(&'a SigningKey);

impl Sign for Signer<'_> {
    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        sign(self.0, message)
    }
}

impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use pacmesh_protocol::signed::SignedError;

    use super::*;
    use crate::Ed25519Verifier;
    use crate::test_keys;

    #[test]
    fn an_authority_comes_back_from_its_file_and_from_its_code() {
        let home = tempfile::tempdir().unwrap();
        let dir = SecretsDir::open_or_create(home.path().join("secrets")).unwrap();
        assert!(Authority::load(&dir).unwrap().is_none());
        let made = Authority::generate().unwrap();
        made.store(&dir).unwrap();
        assert_eq!(Authority::load(&dir).unwrap().unwrap().mesh(), made.mesh());
        let code = made.recovery_code().to_string();
        assert_eq!(Authority::from_recovery_code(&code).unwrap().mesh(), made.mesh());
        let other = Authority::generate().unwrap();
        assert!(
            matches!(other.store(&dir), Err(SecretError::Exists { .. })),
            "a second init keeps the first"
        );
    }

    #[test]
    fn a_statement_is_good_for_its_purpose_and_mesh_alone() {
        let (authority, other) = (test_keys::authority(1), test_keys::authority(2));
        let node = test_keys::node(1).id();
        let founding = authority.found(node, "home".parse().unwrap()).unwrap();
        let open = |purpose, mesh: MeshId| {
            founding.open::<FoundingV1>(purpose, &mesh, mesh.as_bytes(), &Ed25519Verifier, VALUE_LIMIT)
        };
        assert_eq!(open(Purpose::Found, authority.mesh()).unwrap().node, node);
        for (purpose, mesh) in [
            (Purpose::Found, other.mesh()),
            (Purpose::Invitation, authority.mesh()),
        ] {
            assert!(
                matches!(open(purpose, mesh), Err(SignedError::Signature)),
                "{purpose:?}"
            );
        }
    }

    #[test]
    fn verdicts_are_signed_as_verdicts() {
        let authority = test_keys::authority(1);
        let statement = VerdictStatementV1 {
            subject: test_keys::node(3).id(),
            revoked: true,
            generation: 0,
            cut: None,
            standing: vec![],
            quarantine_since_ms: None,
        };
        let signed = authority.rule(&statement).unwrap();
        let mesh = authority.mesh();
        let read: VerdictStatementV1 = signed
            .open(
                Purpose::Verdict,
                &mesh,
                mesh.as_bytes(),
                &Ed25519Verifier,
                VALUE_LIMIT,
            )
            .unwrap();
        assert_eq!(read, statement);
    }

    #[test]
    fn the_secret_does_not_show() {
        let authority = test_keys::authority(0xab);
        assert_eq!(
            format!("{authority:?}"),
            format!("Authority({:?})", authority.mesh())
        );
        assert_eq!(format!("{:?}", authority.recovery_code()), "RecoveryCode(..)");
    }
}
