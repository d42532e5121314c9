//! Two reigns of one term by different nodes share no granter: they can only have begun on two sides of a cut, where
//! neither asked a majority of the other. And what is told as a reign is proven.

use std::collections::{BTreeMap, BTreeSet};

use pacmesh_protocol::{
    ids::{NodeId, Term},
    reign::{
        document::{CLAIM_LIMIT, Document, Grant},
        verify_document,
    },
};

use super::Invariant;
use crate::sim::{
    Note, World,
    keys::{MESH, ToyKey},
};

/// See the module.
#[derive(Debug, Default)]
pub struct SharedGranters {
    granters: BTreeMap<(Term, NodeId), BTreeSet<NodeId>>,
}

impl SharedGranters {
    fn led(&mut self, document: &Document) -> Result<(), String> {
        let reign = verify_document(document, &MESH, &ToyKey(NodeId([0; 32])), |_| true)
            .map_err(|error| format!("a reign was told that is not proven: {error}"))?
            .reign;
        let grants = document
            .grants
            .iter()
            .filter_map(|grant| grant.peek::<Grant>(CLAIM_LIMIT).ok());
        let granters: BTreeSet<_> = grants.map(|grant| grant.granter).collect();
        let term = self
            .granters
            .range((reign.term, NodeId([0; 32]))..=(reign.term, NodeId([0xff; 32])));
        for ((_, other), theirs) in term.filter(|((_, node), _)| *node != reign.node) {
            if let Some(both) = granters.intersection(theirs).next() {
                return Err(format!(
                    "term {}: {both:?} stands for {:?} and {other:?}",
                    reign.term, reign.node
                ));
            }
        }
        self.granters
            .entry((reign.term, reign.node))
            .or_default()
            .extend(granters);
        Ok(())
    }
}

impl Invariant for SharedGranters {
    fn name(&self) -> &'static str {
        "inv1a: two reigns of one term share no granter"
    }

    fn check(&mut self, _: &mut World, notes: &[Note]) -> Result<(), String> {
        notes.iter().try_for_each(|note| match note {
            Note::Led(document) => self.led(document),
            _ => Ok(()),
        })
    }
}
