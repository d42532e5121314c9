//! What a merge left behind, for people: the findings of the heal plan, and why the master does nothing about one.

use std::{collections::BTreeSet, sync::Arc};

use pacmesh_protocol::{
    heal::{self, Finding, Remedy},
    ids::Digest,
    ledger::view::View,
};

use super::caller::cut;
use crate::{master::count_copies, rooms::Rooms};

/// Most findings that are listed.
const LISTED: usize = 24;

/// All findings, one sentence each.
pub(super) async fn problems(rooms: &Arc<Rooms>, view: &View) -> Vec<String> {
    let mut plan = heal::plan(view, rooms.mesh);
    let more = plan.len().saturating_sub(LISTED);
    plan.truncate(LISTED);
    let mut told = tell(rooms, view, &plan).await;
    if more > 0 {
        told.push(format!(
            "{more} more packages are to be healed: 'pacmesh why PKG' tells of one"
        ));
    }
    told
}

/// The findings about one package or base.
pub(super) async fn about(rooms: &Arc<Rooms>, view: &View, name: &str) -> Vec<String> {
    let mut plan = heal::plan(view, rooms.mesh);
    plan.retain(|finding| finding.concerns(name));
    tell(rooms, view, &plan).await
}

async fn tell(rooms: &Arc<Rooms>, view: &View, plan: &[Finding]) -> Vec<String> {
    let trees: BTreeSet<Digest> = plan.iter().filter_map(tree_of).collect();
    let held = if trees.is_empty() {
        Default::default()
    } else {
        count_copies(rooms, &trees).await
    };
    let may_act = {
        let table = rooms.discovery.table();
        let table = table.borrow();
        heal::may_act(view, |node| *node == rooms.node || table.is_alive(node))
    };
    let sentence = |finding: &Finding| {
        let mut text = finding.describe(view);
        if let Some(tree) = tree_of(finding) {
            let has_tree = rooms.blobs.has(&tree) || held.get(&tree).is_some_and(|copies| *copies > 0);
            text += match (has_tree, may_act) {
                (false, _) => {
                    "; nobody in reach has its source: start the machines that keep it, or 'pacmesh build' its directory"
                }
                (true, false) => {
                    "; this waits until more of the machines that may lead are in reach: 'pacmesh rebuild' does it by hand"
                }
                (true, true) => "",
            };
        }
        cut(&text)
    };
    plan.iter().map(sentence).collect()
}

/// The tree of what is not queued yet.
fn tree_of(finding: &Finding) -> Option<Digest> {
    match &finding.remedy {
        Remedy::Rebuild { job, .. } => Some(job.tree),
        _ => None,
    }
}
