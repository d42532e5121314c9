//! The keeper of the door: what this node shows to others, and whom it lets in.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use pacmesh_protocol::{
    entry::{CarriedKnock, Credential, Hello, KnockReply, Welcome},
    ids::{Incarnation, MeshId, NodeId},
    ledger::{
        kinds::{InvitationStatementV1, InvitationV1},
        record::{Position, Record, VALUE_LIMIT},
        view::View,
    },
};
use pacmesh_signing::membership::{CLOCK_TOLERANCE_MS, Verdicts, verify_credential};

use crate::{clock, ledger::LedgerHandle, master, service::Receptionist, transport::Gate};

/// Judges credentials by what the ledger says.
#[derive(Debug, Clone)]
pub struct DoorKeeper {
    mesh: MeshId,
    node: NodeId,
    ledger: LedgerHandle,
    receptionist: Receptionist,
    /// The life that is shown. Where the ledger begins a greater one to write no sequence twice, this one goes on until
    /// it is known whether it is the only one.
    life: Incarnation,
}

impl DoorKeeper {
    /// The keeper of `node`'s door.
    pub fn new(mesh: MeshId, node: NodeId, ledger: LedgerHandle, receptionist: Receptionist) -> Self {
        Self {
            mesh,
            node,
            life: ledger.incarnation(),
            ledger,
            receptionist,
        }
    }

    fn credential(&self, view: &View) -> Credential {
        Credential {
            links: view.credential_path(&self.node).unwrap_or_default(),
        }
    }
}

#[async_trait]
impl Gate for DoorKeeper {
    async fn hello(&self, peer: Option<NodeId>) -> Hello {
        let view = self.ledger.view();
        Hello {
            mesh: self.mesh,
            credential: self.credential(&view),
            incarnation: self.life,
            known: peer.map_or(0, |peer| view.greatest_incarnation(&peer)),
        }
    }

    async fn admit(&self, peer: NodeId, hello: Hello) -> Result<(), String> {
        let view = self.ledger.view();
        let verdicts = ByView(view);
        let member = verify_credential(&hello.credential, &hello.mesh, &self.mesh, &peer, &verdicts)
            .map_err(|error| error.to_string())?;
        let records: Vec<_> = member
            .records
            .iter()
            .map(|record: &Record| record.signed().clone())
            .collect();
        self.ledger
            .merge(records)
            .await
            .map_err(|error| error.to_string())?;
        // The links may have brought verdicts' subjects into the light: what is in force now decides.
        if self.ledger.view().is_cut_off(&peer) {
            return Err("you are suspended or revoked in this mesh: ask its administrator".to_owned());
        }
        if !self.ledger.view().is_member(&peer) {
            return Err("you left this mesh: 'pacmesh join' with a new token brings you back".to_owned());
        }
        self.ledger
            .learn_incarnation(hello.known)
            .await
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn welcome(&self) -> Option<Welcome> {
        let view = self.ledger.view();
        let now = clock::wall_ms();
        let is_good = |invitation: &InvitationV1| {
            let terms: Option<InvitationStatementV1> = invitation.statement.peek(VALUE_LIMIT).ok();
            terms.is_some_and(|terms| terms.expires_ms.saturating_add(CLOCK_TOLERANCE_MS) > now)
        };
        view.open_invitations().any(is_good).then(|| Welcome {
            mesh: self.mesh,
            credential: self.credential(&view),
        })
    }

    async fn knock(&self, from: SocketAddr, knock: CarriedKnock) -> KnockReply {
        tracing::info!(%from, name = %knock.knock.name, "somebody knocks");
        match self.receptionist.rooms() {
            Some(rooms) => master::bring_knock(rooms, knock).await,
            None => KnockReply::Wait,
        }
    }
}

/// The verdicts of a view, as chains ask for them.
struct ByView(Arc<View>);

impl Verdicts for ByView {
    fn voids(&self, author: &NodeId, position: &Position, admitted: &NodeId) -> bool {
        self.0.voids_admission(author, position, admitted)
    }

    fn excludes(&self, node: &NodeId) -> bool {
        self.0.is_cut_off(node)
    }
}
