//! `status`: the node at a glance, and what somebody should look at.

use std::{collections::BTreeSet, sync::Arc};

use pacmesh_protocol::{
    ids::NodeId,
    ledger::{kinds::JobState, member::Member, view::View},
    membership::Table,
    reign,
    roles::{Role, Roles},
    wire::{CopiesState, LiveJob},
};
use pacmesh_signing::NodeKey;

use super::{
    caller::{Caller, End, cut},
    healing, jobs,
    office::Office,
    past,
};
use crate::{
    clocks,
    error::chain,
    local::{
        request::LocalReply,
        views::{Copies, JobCounts, Named, StatusNode, StatusView},
    },
    master::copies_state,
    membership,
    rooms::Rooms,
    settings::Settings,
    vitals,
};

/// Most problems that are listed.
const PROBLEMS: usize = 64;

pub(super) async fn status(office: &Office, caller: &mut Caller) -> Result<(), End> {
    let view = match office.rooms_soon().await {
        Some(rooms) => of_member(&rooms).await,
        None => of_waiting(office).await?,
    };
    caller.say(LocalReply::Status(Box::new(view))).await
}

/// A node that belongs to no mesh yet; its key is made at first start.
async fn of_waiting(office: &Office) -> Result<StatusView, End> {
    let config = office.config.clone();
    let id = tokio::task::spawn_blocking(move || {
        let secrets = pacmesh_signing::SecretsDir::open_or_create(config.home.secrets())?;
        NodeKey::load_or_create(&secrets).map(|key| key.id())
    })
    .await
    .map_err(|error| error.to_string())?
    .map_err(|error| chain(&error))?;
    Ok(StatusView {
        node: this_node(&id, office.config.name.to_string()),
        mesh: None,
        role: word(false, Roles::NONE).to_owned(),
        term: 0,
        master: None,
        members: 0,
        alive: 0,
        jobs: JobCounts::default(),
        packages: 0,
        generation: Default::default(),
        copies: Copies::default(),
        problems: office.trouble().iter().map(|trouble| cut(trouble)).collect(),
    })
}

fn this_node(id: &NodeId, name: String) -> StatusNode {
    StatusNode {
        id: id.to_string(),
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

async fn of_member(rooms: &Arc<Rooms>) -> StatusView {
    let view = rooms.ledger.view();
    let live = jobs::live(rooms, Vec::new()).await;
    let standing = copies_state(rooms).await;
    let copies = Copies {
        wanted: standing.wanted,
        short: standing.short as usize,
        coming: standing.coming as usize,
    };
    let table = rooms.discovery.table().borrow().clone();
    let leadership = rooms.master.leadership();
    let leading = matches!(leadership.role, reign::Role::Leading { .. });
    let roles = view
        .member(&rooms.node)
        .map_or(Roles::NONE, |member| member.roles);
    let named = |id: NodeId| Named {
        id: id.to_string(),
        name: rooms.name_of(&id),
    };
    let members = || view.members().filter(|member| member.is_active());
    StatusView {
        node: this_node(&rooms.node, rooms.name_of(&rooms.node)),
        mesh: Some(Named {
            id: rooms.mesh.to_string(),
            name: view.mesh_name().map_or_else(String::new, ToString::to_string),
        }),
        role: word(leading, roles).to_owned(),
        term: leadership.term(),
        master: leadership.master().map(named),
        members: members().count(),
        alive: members().filter(|member| table.is_alive(&member.id)).count(),
        jobs: counts(&view, live.as_deref().unwrap_or_default()),
        packages: view.all_releases().count(),
        generation: generations(rooms),
        problems: problems(rooms, &view, &table, &standing).await,
        copies,
    }
}

/// The word for what a node is.
fn word(leads: bool, roles: Roles) -> &'static str {
    match roles {
        _ if leads => "master",
        roles if roles.has(Role::Master) => "standby",
        roles if roles.has(Role::Worker) => "worker",
        _ => "storage",
    }
}

fn counts(view: &View, live: &[LiveJob]) -> JobCounts {
    let running: BTreeSet<_> = live
        .iter()
        .filter(|job| job.worker.is_some())
        .map(|job| job.job)
        .collect();
    let mut counts = JobCounts::default();
    for (id, job) in view.jobs() {
        match job.state {
            JobState::Queued if running.contains(id) => counts.running += 1,
            JobState::Queued => counts.queued += 1,
            JobState::Published => counts.published += 1,
            JobState::Failed { .. } => counts.failed += 1,
            JobState::Cancelled => counts.cancelled += 1,
        }
    }
    counts
}

fn generations(rooms: &Rooms) -> std::collections::BTreeMap<String, u64> {
    let catalogue = rooms.repository.catalogue();
    let shown = catalogue.keys().into_iter().filter_map(|key| {
        let number = catalogue.shown(&key)?.generation.number;
        Some((format!("{}/{}", key.repository, key.arch), number))
    });
    shown.collect()
}

async fn problems(rooms: &Arc<Rooms>, view: &View, table: &Table, copies: &CopiesState) -> Vec<String> {
    let mut problems: Vec<String> = view.problems().iter().map(|problem| cut(problem)).collect();
    if rooms.master.leadership().master().is_none() {
        let able = view.master_capable().len();
        problems.push(format!(
            "no master in reach: {able} machines of this mesh may lead, start one of them"
        ));
    }
    if table.in_doubt {
        problems.push(
            "this node was late or asleep: it decides nothing until it has met another one, or has lost all"
                .to_owned(),
        );
    }
    let replicas = view
        .members()
        .filter(|member| member.is_active() && member.roles.has(Role::Storage) && table.is_alive(&member.id))
        .count();
    problems.extend(copies_problem(copies, replicas));
    problems.extend(healing::problems(rooms, view).await);
    problems.extend(rooms.ledger.overtaken().iter().map(past::told));
    let wrong = rooms.clocks.wrong(rooms.node);
    problems.extend(
        wrong
            .into_iter()
            .map(|(node, off)| clocks::sentence(&rooms.name_of(&node), off)),
    );
    problems.extend(drained(view));
    for member in view
        .members()
        .filter(|member| member.is_active() && member.id != rooms.node)
    {
        problems.extend(machine_problems(table, &member.id, member.name.as_str()));
        problems.extend(reach_problem(rooms, table, member));
    }
    // Its own disk it knows to the byte.
    if let Err(error) = rooms.blobs.room_for(0) {
        problems.push(format!(
            "the disk is full, so this node takes no work and keeps nothing new: {}",
            chain(&error)
        ));
    }
    problems.extend(damage_problems(rooms).await);
    problems.extend(reminder(rooms).await);
    problems.truncate(PROBLEMS);
    problems
}

/// What this node found damaged and nobody in reach has.
async fn damage_problems(rooms: &Rooms) -> Vec<String> {
    let damaged = rooms.blobs.damaged().await.unwrap_or_default();
    if damaged.is_empty() {
        return Vec::new();
    }
    let named = rooms.ledger.named().await.unwrap_or_default();
    let told = damaged.iter().filter_map(|blob| named.get(blob)).map(|(_, what)| {
        format!(
            "{what} is damaged on this node, and no machine in reach has it: start the others, or build it again ('pacmesh rebuild')"
        )
    });
    told.collect()
}

/// The authority is nowhere else until somebody makes a backup or keeps the recovery code.
async fn reminder(rooms: &Rooms) -> Option<String> {
    let holds_authority = rooms.keys.secrets.path_of("authority.key").exists();
    (holds_authority && !membership::has_backup(&rooms.ledger).await).then(|| {
        "no backup of this node was made, which holds the mesh's authority: type 'pacmesh backup FILE' and keep the file elsewhere"
            .to_owned()
    })
}

/// Who takes no work because somebody said so, which is soon forgotten.
fn drained(view: &View) -> Option<String> {
    let active = view.members().filter(|member| member.is_active());
    let drained = active.filter(|member| Settings(view).is_draining(&member.id));
    let names: Vec<&str> = drained.map(|member| member.name.as_str()).collect();
    let first = names.first()?;
    Some(format!(
        "told to take no work: {}; 'pacmesh node resume {first}' ends that",
        names.join(", ")
    ))
}

/// What is said about copies, with so many replicas in reach.
fn copies_problem(copies: &CopiesState, replicas: usize) -> Vec<String> {
    let nowhere = |what: &String| {
        format!("no machine in reach holds {what}: start the others, or build it again ('pacmesh rebuild')")
    };
    let mut problems: Vec<String> = copies.nowhere.iter().map(nowhere).collect();
    let unnamed = copies.nowhere_count as usize - copies.nowhere.len().min(copies.nowhere_count as usize);
    if unnamed > 0 {
        problems.push(format!(
            "no machine in reach holds {unnamed} further blobs: start the others"
        ));
    }
    if replicas < copies.wanted as usize {
        problems.push(format!(
            "only {replicas} of {} wanted copies: start another machine with the role storage",
            copies.wanted
        ));
    } else if copies.short > 0 {
        problems.push(format!(
            "{} blobs have fewer than {} copies, {} are being copied: wait a moment, or start another machine with the role storage",
            copies.short, copies.wanted, copies.coming
        ));
    }
    problems
}

/// What is said of a member that others reach and this node does not.
fn reach_problem(rooms: &Rooms, table: &Table, member: &Member) -> Option<String> {
    let seen = table.members.get(&member.id).filter(|seen| seen.relayed)?;
    let leadership = rooms.master.leadership();
    let consequence = match leadership.role {
        reign::Role::Leading { .. } if member.roles.has(Role::Worker) => ", and gets no work until it does",
        _ if leadership.master() == Some(member.id) => {
            ", though it leads: others bring requests to it, and this node gets no work"
        }
        _ => "",
    };
    let silent = seen.last_ack.map_or_else(String::new, |ack| {
        format!(" for {} s", crate::clock::now().since(ack).as_secs())
    });
    Some(format!(
        "{} answers others but not this node{silent}{consequence}: look at the network between the two",
        member.name
    ))
}

fn machine_problems(table: &Table, node: &NodeId, name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(record) = table.record(node).filter(|_| table.is_alive(node)) else {
        return problems;
    };
    let own = env!("CARGO_PKG_VERSION");
    if record.version != own {
        problems.push(format!(
            "{name} runs pacmesh {}, this node {own}: update the older one",
            cut(&record.version)
        ));
    }
    if vitals::is_short_of_disk(record) {
        problems.push(format!(
            "{name} has {} MiB of free disk and takes no work: free some space",
            record.free_mib
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_names_what_a_node_does_first() {
        for (leads, roles, expected) in [
            (true, Roles::PEER, "master"),
            (false, Roles::PEER, "standby"),
            (false, Roles::GUEST, "worker"),
            (false, Roles::STORAGE, "storage"),
        ] {
            assert_eq!(word(leads, roles), expected);
        }
    }

    #[test]
    fn too_few_replicas_are_told_before_blobs_that_lack_copies() {
        let copies = |short| CopiesState {
            wanted: 2,
            short,
            ..CopiesState::default()
        };
        let few = copies_problem(&copies(3), 1);
        assert!(
            few[0].starts_with("only 1 of 2 wanted copies") && few.len() == 1,
            "{few:?}"
        );
        let short = copies_problem(&copies(3), 2);
        assert!(short[0].starts_with("3 blobs") && short.len() == 1, "{short:?}");
        assert!(copies_problem(&copies(0), 2).is_empty());
    }

    #[test]
    fn what_nobody_holds_is_named_with_its_package_and_its_file() {
        let copies = CopiesState {
            wanted: 2,
            short: 9,
            coming: 0,
            nowhere: vec!["the archive one-1-1-any.pkg.tar.zst of one".to_owned()],
            nowhere_count: 9,
        };
        let problems = copies_problem(&copies, 2);
        assert!(
            problems[0].contains("one-1-1-any.pkg.tar.zst of one"),
            "{problems:?}"
        );
        assert!(problems[1].contains("8 further"), "{problems:?}");
    }
}
