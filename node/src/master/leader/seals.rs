//! Secrets follow those who may lead: one who came can open them, and what is sealed anew is not for one who went.

use std::collections::BTreeSet;

use pacmesh_protocol::ledger::{
    door::{SealedV1, Secret},
    kinds::Value,
};
use pacmesh_signing::sealed;

use super::*;

/// Most secrets that are sealed anew by one record.
const AT_ONCE: usize = 16;

/// What the leader remembers of seals.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    /// For whom, and which versions, everything was found well sealed.
    looked_at: Option<(BTreeSet<NodeId>, Vec<u64>)>,
}

impl Leader {
    /// Seals again what is sealed to others than those who may lead now.
    pub(super) async fn renew_seals(&mut self) {
        let view = self.rooms.ledger.view();
        let masters: BTreeSet<NodeId> = view.master_capable().into_keys().collect();
        let versions: Vec<u64> = view.all_sealed().map(|(_, sealed)| sealed.version).collect();
        let state = (masters, versions);
        if self.sealing.looked_at.as_ref() == Some(&state) {
            return;
        }
        let masters = &state.0;
        let stale = view.all_sealed().filter_map(|(name, sealed)| {
            let secret = sealed.secret.as_ref()?;
            let is_stale = !sealed::is_sealed_to(secret, masters.iter().copied());
            is_stale.then_some((name, sealed.version, secret))
        });
        let renewed: Vec<Entry> = stale
            .take(AT_ONCE)
            .filter_map(|(name, version, secret)| self.sealed_anew(name, version, secret, masters))
            .collect();
        self.sealing.looked_at = Some(state);
        if renewed.is_empty() {
            return;
        }
        match self.write(renewed, None).await {
            Ok(record) => self.spread(record.signed().clone()),
            Err(error) => tracing::warn!(error = chain(&error), "secrets could not be sealed anew"),
        }
    }

    fn sealed_anew(
        &self,
        name: &str,
        version: u64,
        secret: &Secret,
        masters: &BTreeSet<NodeId>,
    ) -> Option<Entry> {
        let mesh = self.rooms.mesh;
        let renewed = sealed::open(&self.rooms.keys.node, secret, name, &mesh)
            .and_then(|content| sealed::seal(&content, name, &mesh, masters.iter().copied()));
        match renewed {
            Ok(secret) => {
                let value = SealedV1 {
                    version: version + 1,
                    secret: Some(secret),
                };
                value.entry(&name.to_owned()).ok()
            }
            Err(error) => {
                tracing::warn!(
                    secret = name,
                    error = chain(&error),
                    "a secret cannot be sealed anew"
                );
                None
            }
        }
    }
}
