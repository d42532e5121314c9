//! Findings in words.

use super::{Cause, Finding, Remedy};
use crate::{
    ids::NodeId,
    ledger::{kinds::JobState, view::View},
    names::{PackageName, PackageVersion},
};

/// Most packages that one sentence names.
const NAMED: usize = 4;

impl Finding {
    /// One line for people: what was found, and what is done.
    pub fn describe(&self, view: &View) -> String {
        format!("{}: {}", self.found(view), self.done())
    }

    fn found(&self, view: &View) -> String {
        let base = &self.base;
        match &self.cause {
            Cause::BoundTwice { version } => {
                format!("{base} {version} was built on two sides of a cut, and its name has two archives")
            }
            Cause::Withdrawn { version, member } => {
                format!(
                    "{base} {version} is withdrawn by the quarantine of {}",
                    name(view, member)
                )
            }
            Cause::TwoReleases { newest, behind } => {
                format!(
                    "{base} is in force at {newest} and, in part, at another release ({})",
                    list(behind)
                )
            }
            Cause::BuiltAgainst { inputs } => {
                format!(
                    "{base} was built against what is no longer in force ({})",
                    list(inputs)
                )
            }
            Cause::Overtaken {
                version,
                publisher,
                remover,
            } => format!(
                "{base} {version}, published by {}, was overtaken by a removal by {} that did not know of it",
                name(view, publisher),
                name(view, remover)
            ),
        }
    }

    fn done(&self) -> String {
        let base = &self.base;
        match &self.remedy {
            Remedy::Rebuild { .. } => "it is to be rebuilt at the next pkgrel".to_owned(),
            Remedy::Asked { id, state } => {
                let id = id.short();
                match state {
                    JobState::Queued => format!("job {id} rebuilds it at the next pkgrel"),
                    JobState::Failed { .. } => {
                        format!(
                            "its rebuild failed: see 'pacmesh why {id}', 'pacmesh retry {id}' tries again"
                        )
                    }
                    JobState::Cancelled => {
                        format!("its rebuild was cancelled: 'pacmesh retry {id}' queues it again")
                    }
                    JobState::Published => {
                        format!(
                            "job {id} rebuilt it and did not settle it: 'pacmesh build' its directory again"
                        )
                    }
                }
            }
            Remedy::After { id } => format!("job {} of it is open and may settle it", id.short()),
            Remedy::Behind { base } => format!("it is rebuilt when {base} is in force again"),
            Remedy::Held => {
                format!("it is held, so nothing is done: 'pacmesh rebuild {base}' does it by hand")
            }
            Remedy::Uploaded => "it was uploaded: upload a release with a greater pkgrel".to_owned(),
            Remedy::Forgotten => {
                "its source is no longer known: 'pacmesh build' its directory again".to_owned()
            }
            Remedy::Report => format!(
                "'pacmesh build' its directory to bring it back, 'pacmesh remove {base}' to say that it is not wanted"
            ),
        }
    }
}

fn name(view: &View, node: &NodeId) -> String {
    view.member(node)
        .map_or_else(|| node.short(), |member| member.name.to_string())
}

fn list(packages: &std::collections::BTreeMap<PackageName, PackageVersion>) -> String {
    let mut words: Vec<String> = packages
        .iter()
        .take(NAMED)
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    if packages.len() > NAMED {
        words.push(format!("{} more", packages.len() - NAMED));
    }
    words.join(", ")
}
