//! A node grants a term to one claim only, across crashes. The one exception is FORMATS': alone, a node that was
//! restarted may use again the term that it granted to itself.

use std::collections::BTreeMap;

use pacmesh_protocol::{
    ids::{Digest, NodeId, Term},
    reign::document::{CLAIM_LIMIT, Claim, Grant},
};

use super::Invariant;
use crate::sim::{Note, World, keys::node_id};

/// See the module.
#[derive(Debug, Default)]
pub struct GrantedOnce {
    claims: BTreeMap<Digest, Claim>,
    granted: BTreeMap<(NodeId, Term), Digest>,
}

impl GrantedOnce {
    fn granted(&mut self, granter: NodeId, digest: Digest) -> Result<(), String> {
        let Some(claim) = self.claims.get(&digest) else {
            return Err(format!("{granter:?} granted a claim that nobody made"));
        };
        let before = *self.granted.entry((granter, claim.term)).or_insert(digest);
        let other = &self.claims[&before];
        let alone = claim.node == granter && other.node == granter && claim.asked == [granter];
        if before == digest || alone {
            return Ok(());
        }
        Err(format!(
            "{granter:?} granted term {} to {:?} and to {:?}",
            claim.term, other.node, claim.node
        ))
    }
}

impl Invariant for GrantedOnce {
    fn name(&self) -> &'static str {
        "inv1c: a term is granted once by a node"
    }

    fn check(&mut self, _: &mut World, notes: &[Note]) -> Result<(), String> {
        for note in notes {
            match note {
                Note::Claimed(digest, claim) => {
                    self.claims.insert(*digest, claim.clone());
                    self.granted(claim.node, *digest)?;
                }
                Note::Granted(node, digest) => self.granted(node_id(*node), *digest)?,
                Note::Led(document) => {
                    let digest = Digest::of(&document.claim.body);
                    if let Ok(claim) = document.claim.peek::<Claim>(CLAIM_LIMIT) {
                        self.claims.insert(digest, claim);
                    }
                    for grant in &document.grants {
                        if let Ok(grant) = grant.peek::<Grant>(CLAIM_LIMIT) {
                            self.granted(grant.granter, digest)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
