//! Entering a mesh and meeting its members (FORMATS, "Entering and meeting").
//!
//! TLS proves only a key. The first frame both ways on [`ALPN`] is a [`Hello`]; joining is its own small protocol on
//! [`JOIN_ALPN`]. Nothing else is read or answered before.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Incarnation, MeshId, NodeId},
    names::NodeName,
    signed::{Signature, Signed},
};

/// The protocol between members.
pub const ALPN: &[u8] = b"pacmesh/1";
/// The protocol of those who want to become members.
pub const JOIN_ALPN: &[u8] = b"pacmesh-join/1";
/// Most links of a credential.
pub const CREDENTIAL_LINKS: usize = 16;
/// Greatest length of an encoded credential, in bytes.
pub const CREDENTIAL_LIMIT: usize = 16 << 10;
/// Greatest length of an encoded knock, in bytes.
pub const KNOCK_LIMIT: usize = 8 << 10;
/// Greatest length of the OpenPGP certificate in a knock, in bytes.
pub const CERTIFICATE_LIMIT: usize = 4 << 10;
/// The label of the TLS exporter (RFC 8446, 7.5) that binds a knock to its session.
pub const EXPORTER_LABEL: &[u8] = b"pacmesh-join";

/// The path from the founder to a node: admission records, the founder's first, each by the author that the one
/// before it admits. Each admission carries its founding or invitation statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// At most [`CREDENTIAL_LINKS`] records.
    pub links: Vec<Signed>,
}

/// The first frame on [`ALPN`], both ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Of which mesh.
    pub mesh: MeshId,
    /// Proves membership offline.
    pub credential: Credential,
    /// The sender's current life.
    pub incarnation: Incarnation,
    /// The greatest life of the other that the sender knows; 0 for none.
    pub known: Incarnation,
}

/// What a member shows a joiner first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Of which mesh.
    pub mesh: MeshId,
    /// Proves that this is a member under that authority.
    pub credential: Credential,
}

/// A joiner asks for admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// The authority's signed [`crate::ledger::kinds::InvitationStatementV1`].
    pub invitation: Signed,
    /// The joiner's key, the same as in TLS.
    pub node: NodeId,
    /// The name it would like.
    pub name: NodeName,
    /// Its OpenPGP certificate, binary, at most [`CERTIFICATE_LIMIT`]; empty for none.
    pub certificate: Vec<u8>,
    /// The invitation key's signature over [`KnockBinding`].
    pub proof: Signature,
}

/// What the invitation key signs (`Purpose::Join`): this joiner, at this member, in this session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnockBinding {
    /// The invitation's public key.
    pub invitation: crate::ids::InvitationId,
    /// The joiner.
    pub joiner: NodeId,
    /// The member that is knocked at.
    pub member: NodeId,
    /// 32 bytes of the session's exporter, label [`EXPORTER_LABEL`].
    pub exporter: [u8; 32],
}

/// A knock on its way to the master: the member at the door vouches that the exporter was its own session's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedKnock {
    /// As received.
    pub knock: Knock,
    /// What the proof covers.
    pub binding: KnockBinding,
}

/// The answer to a knock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnockReply {
    /// Welcome.
    Admitted {
        /// Holds the admission and the signer entry.
        record: Signed,
        /// The joiner's own path from the founder.
        credential: Credential,
    },
    /// Not now and not later by this invitation.
    Refused {
        /// For people; at most 500 characters.
        reason: String,
    },
    /// No master in reach; try again.
    Wait,
}
