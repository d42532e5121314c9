//! Members as the view shows them.

use crate::{
    ids::{Fingerprint, NodeId, RecordHash, Seat},
    ledger::record::Position,
    names::NodeName,
    roles::Roles,
};

/// How a member stands in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the mesh.
    Active,
    /// It said goodbye for good.
    Left,
    /// Cut off until reinstated.
    Suspended,
    /// Cut off for ever.
    Revoked,
}

/// A node with a valid admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// Lower is senior; then the lower id.
    pub seat: Seat,
    /// Unique in the mesh: the senior keeps a name, others show `-2`, `-3`.
    pub name: NodeName,
    /// The name that it wished for.
    pub wished: NodeName,
    /// What it may do: its admission's roles, less what was taken since.
    pub roles: Roles,
    /// How it stands.
    pub standing: Standing,
    /// The edit number of its member entry; 0 for none.
    pub edit: u64,
    /// The certificate that it signs packages with.
    pub signer: Option<Fingerprint>,
    /// Who admitted it; itself for the founder.
    pub admitted_by: NodeId,
    /// The record that did.
    pub admission: RecordHash,
    /// Wall clock of that record, milliseconds since 1970; shown, and the day count's origin for the founder.
    pub admitted_ms: u64,
    /// Where its word ends, while it is cut off: records above are void; `None` voids all.
    pub cut: Option<Position>,
    /// What it built, signed or published since then is withdrawn, while it is cut off; milliseconds since 1970.
    pub quarantine_since_ms: Option<u64>,
}

impl Member {
    /// It belongs to the mesh and may use its roles.
    pub fn is_active(&self) -> bool {
        self.standing == Standing::Active
    }

    /// It is suspended or revoked.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.standing, Standing::Suspended | Standing::Revoked)
    }

    /// Whether a record of this member counts for nothing.
    pub fn is_void(&self, position: &Position) -> bool {
        self.is_cut_off() && !super::state::is_below(position, &self.cut)
    }
}
