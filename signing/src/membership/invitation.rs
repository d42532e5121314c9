//! An invitation: a key pair whose public half the authority signed, with terms. Who holds the secret half may knock.

use std::fmt;

use pacmesh_protocol::codec::{self, CodecError};
use pacmesh_protocol::entry::{KNOCK_LIMIT, Knock, KnockBinding};
use pacmesh_protocol::ids::{InvitationId, MeshId, NodeId};
use pacmesh_protocol::ledger::kinds::InvitationStatementV1;
use pacmesh_protocol::names::NodeName;
use pacmesh_protocol::signed::{Purpose, Signed, message};

use crate::node_key::sign;
use crate::secret::Seed;

/// An invitation with its secret half: what a token carries.
#[derive(Clone)]
pub struct Invitation {
    mesh: MeshId,
    seed: Seed,
    terms: InvitationStatementV1,
    statement: Signed,
}

impl Invitation {
    pub(super) fn new(mesh: MeshId, seed: Seed, terms: InvitationStatementV1, statement: Signed) -> Self {
        Invitation {
            mesh,
            seed,
            terms,
            statement,
        }
    }

    /// The mesh that it leads into: the public key of the authority that signed it.
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Its name in the ledger: the public half of its key.
    pub fn id(&self) -> InvitationId {
        self.terms.invitation
    }

    /// Roles, expiry and uses, as the authority signed them.
    pub fn terms(&self) -> &InvitationStatementV1 {
        &self.terms
    }

    /// The authority's signed statement, as ledger and knock carry it.
    pub fn statement(&self) -> &Signed {
        &self.statement
    }

    pub(super) fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Asks `member` for admission of `joiner`: the proof fits this pair of keys and this TLS session (its exporter)
    /// and no other.
    ///
    /// # Errors
    /// When the certificate makes the knock longer than its bound.
    pub fn knock(
        &self,
        joiner: NodeId,
        name: NodeName,
        certificate: Vec<u8>,
        member: NodeId,
        exporter: [u8; 32],
    ) -> Result<Knock, CodecError> {
        let binding = KnockBinding {
            invitation: self.id(),
            joiner,
            member,
            exporter,
        };
        let body = codec::encode(&binding, KNOCK_LIMIT)?;
        let proof = sign(
            &self.seed.signing_key(),
            &message(Purpose::Join, &self.mesh, &body),
        );
        let knock = Knock {
            invitation: self.statement.clone(),
            node: joiner,
            name,
            certificate,
            proof,
        };
        codec::encode(&knock, KNOCK_LIMIT)?;
        Ok(knock)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("mesh", &self.mesh)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
