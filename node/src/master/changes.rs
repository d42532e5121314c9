//! Changes that need no build: rights first, then the entries that say it.

use std::collections::BTreeSet;

use pacmesh_protocol::{
    codec::CodecError,
    ids::{JobId, NodeId, RequestId},
    ledger::{
        kinds::{
            JobState, JobV1, MemberV1, Origin, PackageKey, ReleaseV1, SettingV1, SignerV1, SourceKey,
            SourceV1, Value,
        },
        record::Entry,
        view::View,
    },
    names::{PackageName, RepositoryName},
    roles::Role,
    wire::{AcceptedJob, Change},
};
use pacmesh_signing::Certificate;

use super::{horizon, notes, publish};
use crate::settings::{self, Settings};

/// What a change writes, and which jobs it is about.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) entries: Vec<Entry>,
    pub(super) jobs: Vec<AcceptedJob>,
}

/// Whether `origin` may ask for this; the text says who may.
pub(super) fn check_rights(view: &View, origin: &NodeId, change: &Change) -> Result<(), String> {
    let Some(member) = view.member(origin).filter(|member| member.is_active()) else {
        return Err("this node is not a member of the mesh any more".to_owned());
    };
    let needed: &[Role] = match change {
        Change::Submit { .. }
        | Change::Rebuild { .. }
        | Change::CancelJob { .. }
        | Change::RetryJob { .. }
        | Change::Remove { .. }
        | Change::Hold { .. }
        | Change::Upload { .. }
        | Change::Note { .. } => &[Role::Client, Role::Master],
        // A node may edit itself: leave, take another name, give roles up.
        Change::EditMember { node, .. } if node == origin => &Role::ALL,
        Change::Set { .. }
        | Change::EditMember { .. }
        | Change::Signer { .. }
        | Change::Lead { .. }
        | Change::Seal { .. } => &[Role::Master],
    };
    if needed.iter().any(|role| member.roles.has(*role)) {
        return check_seniority(view, origin, change);
    }
    let words: Vec<_> = needed.iter().map(|role| role.name()).collect();
    Err(format!(
        "{} has only the roles {}: this needs the role {}; type it on a machine that has it ('pacmesh nodes')",
        member.name,
        member.roles,
        words.join(" or ")
    ))
}

/// What is said about another master counts only from a senior (FORMATS, "Admission, seats and verdicts").
fn check_seniority(view: &View, origin: &NodeId, change: &Change) -> Result<(), String> {
    let Change::EditMember { node, .. } = change else {
        return Ok(());
    };
    let seats = view.master_capable();
    let of = |node: &NodeId| seats.get(node).map(|seat| (*seat, *node));
    match of(node).filter(|_| node != origin) {
        Some(subject) if !is_senior(of(origin), subject) => {
            let name = view
                .member(node)
                .map_or(node.short(), |member| member.name.to_string());
            Err(format!(
                "{name} is senior to the machine where this was typed: type it on {name}, or use 'pacmesh node revoke {name} --authority FILE'"
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a seat stands before another; without one nobody is senior to anybody.
fn is_senior<S: Ord>(own: Option<S>, subject: S) -> bool {
    own.is_some_and(|own| own < subject)
}

/// Plans every change but submissions, hand-overs and cancellations.
pub(super) fn plan(
    view: &View,
    mesh: pacmesh_protocol::ids::MeshId,
    change: &Change,
    request: RequestId,
) -> Result<Planned, String> {
    let planned = match change {
        Change::Submit { .. } | Change::Lead { .. } | Change::CancelJob { .. } | Change::Upload { .. } => {
            return Err("this change is not planned here".to_owned());
        }
        Change::Rebuild { repository, bases } => rebuild(view, mesh, repository.as_ref(), bases, request),
        Change::RetryJob { job } => return retry(view, *job),
        Change::Remove { repository, names } => return remove(view, repository.as_ref(), names),
        Change::Hold {
            repository,
            bases,
            hold,
        } => return self::hold(view, repository.as_ref(), bases, *hold),
        Change::Set { name, value } => {
            settings::check(name, value).map_err(|error| error.to_string())?;
            let version = view.setting_version(name) + 1;
            SettingV1 {
                version,
                value: value.clone(),
            }
            .entry(name)
            .map(one)
        }
        Change::EditMember {
            node,
            name,
            roles,
            left,
        } => {
            let Some(member) = view.member(node) else {
                return Err(no_node(node));
            };
            let value = MemberV1 {
                edit: member.edit + 1,
                name: name.clone().unwrap_or_else(|| member.wished.clone()),
                roles: roles.unwrap_or(member.roles).and(member.roles),
                left: *left,
            };
            value.entry(node).map(one)
        }
        Change::Signer {
            certificate,
            distrusted,
        } => return signer(view, certificate, *distrusted),
        Change::Seal { name, seen, secret } => return notes::seal(view, name, *seen, secret.as_ref()),
        Change::Note { notes, .. } => return notes::write_down(view, notes),
    };
    planned.map_err(|error| error.to_string())
}

fn one(entry: Entry) -> Planned {
    Planned {
        entries: vec![entry],
        ..Planned::default()
    }
}

fn no_node(node: &NodeId) -> String {
    format!("{} is not a node of this mesh: see 'pacmesh nodes'", node.short())
}

/// The repository that was named, or the mesh's first.
pub(super) fn repository_of(view: &View, named: Option<&RepositoryName>) -> Result<RepositoryName, String> {
    let all = Settings(view).repositories();
    match named {
        None => all
            .first()
            .cloned()
            .ok_or_else(|| "this mesh has no repository: 'pacmesh config set repositories NAME'".to_owned()),
        Some(named) if all.contains(named) => Ok(named.clone()),
        Some(named) => {
            let names: Vec<_> = all.iter().map(RepositoryName::as_str).collect();
            Err(format!(
                "this mesh has no repository '{named}': it has {}",
                names.join(", ")
            ))
        }
    }
}

fn rebuild(
    view: &View,
    mesh: pacmesh_protocol::ids::MeshId,
    repository: Option<&RepositoryName>,
    bases: &[PackageName],
    request: RequestId,
) -> Result<Planned, CodecError> {
    let mut planned = Planned::default();
    for base in bases {
        let last: Vec<(JobId, JobV1)> = view.last_jobs_of(base, repository);
        // Nobody here can build what somebody brought.
        for (_, old) in last.into_iter().filter(|(_, old)| old.origin != Origin::Upload) {
            let mut job = JobV1 {
                generation: 0,
                state: JobState::Queued,
                nonce: Some(request),
                end: None,
                ..old
            };
            job.submitted_ms = crate::clock::wall_ms();
            job.day = horizon::day_of_acceptance(view, job.submitted_ms);
            let id = job.id(mesh)?;
            planned.entries.push(job.entry(&id)?);
            planned.jobs.push(AcceptedJob {
                job: id,
                base: base.clone(),
                known: false,
            });
        }
    }
    Ok(planned)
}

fn find(view: &View, id: JobId) -> Result<&JobV1, String> {
    view.job(&id)
        .ok_or_else(|| format!("there is no job {}: see 'pacmesh jobs --all'", id.short()))
}

/// The open job that is to be cancelled.
pub(super) fn cancellable(view: &View, id: JobId) -> Result<AcceptedJob, String> {
    let job = find(view, id)?;
    if job.state != JobState::Queued {
        return Err(format!(
            "{} has ended already: nothing is to be cancelled",
            job.base
        ));
    }
    Ok(AcceptedJob {
        job: id,
        base: job.base.clone(),
        known: true,
    })
}

fn retry(view: &View, id: JobId) -> Result<Planned, String> {
    let job = find(view, id)?;
    if job.origin == Origin::Upload {
        return Err(format!("{} was not built here: upload it again", job.base));
    }
    match job.state {
        JobState::Queued => return Err(format!("{} is queued or running already", job.base)),
        JobState::Published => {
            return Err(format!(
                "{0} is published: 'pacmesh rebuild {0}' makes a new release",
                job.base
            ));
        }
        JobState::Failed { .. } | JobState::Cancelled => {}
    }
    let again = requeued(job);
    let entry = again.entry(&id).map_err(|error| error.to_string())?;
    let jobs = vec![AcceptedJob {
        job: id,
        base: job.base.clone(),
        known: true,
    }];
    Ok(Planned {
        entries: vec![entry],
        jobs,
    })
}

/// The job's next generation, queued.
pub(super) fn requeued(job: &JobV1) -> JobV1 {
    JobV1 {
        generation: job.generation + 1,
        state: JobState::Queued,
        end: None,
        ..job.clone()
    }
}

fn remove(
    view: &View,
    repository: Option<&RepositoryName>,
    names: &[PackageName],
) -> Result<Planned, String> {
    let repository = repository_of(view, repository)?;
    let mut keys = BTreeSet::new();
    let mut bases = BTreeSet::new();
    for name in names {
        let before = keys.len();
        let here = |key: &PackageKey| key.repository == repository;
        for (key, release) in removable(view).filter(|(key, _)| here(key)) {
            if key.name == *name || release.base == *name {
                keys.insert(PackageKey::clone(key));
                bases.insert(release.base.clone());
            }
        }
        if keys.len() == before {
            return Err(format!(
                "{name} is not in the repository {repository}: see 'pacmesh packages'"
            ));
        }
    }
    let keys: Vec<_> = keys.into_iter().collect();
    let mut entries = publish::removal(view, &keys).map_err(|error| error.to_string())?;
    for base in bases
        .into_iter()
        .filter(|base| is_gone(view, &repository, base, &keys))
    {
        let key = SourceKey {
            repository: repository.clone(),
            base,
        };
        if let Some(source) = view.source(&key) {
            let removed = SourceV1 {
                version: source.version + 1,
                removed: true,
                ..source.clone()
            };
            entries.push(removed.entry(&key).map_err(|error| error.to_string())?);
        }
    }
    Ok(Planned {
        entries,
        ..Planned::default()
    })
}

/// What is in force, what a quarantine withdrew and would be built anew, and what a removal overtook unseen: to remove
/// the last says that it was meant.
fn removable(view: &View) -> impl Iterator<Item = (&PackageKey, &ReleaseV1)> {
    let withdrawn = view.withdrawn().map(|(key, withdrawn)| (key, &withdrawn.release));
    let overtaken = view.overtaken().map(|(key, overtaken)| (key, &overtaken.release));
    view.all_releases().chain(withdrawn).chain(overtaken)
}

/// Whether every package of `base` is among `removed`.
fn is_gone(view: &View, repository: &RepositoryName, base: &PackageName, removed: &[PackageKey]) -> bool {
    Settings(view).arches(repository).iter().all(|arch| {
        view.releases(repository, arch)
            .filter(|(_, release)| release.base == *base)
            .all(|(key, _)| removed.contains(key))
    })
}

fn hold(
    view: &View,
    repository: Option<&RepositoryName>,
    bases: &[PackageName],
    hold: bool,
) -> Result<Planned, String> {
    let repository = repository_of(view, repository)?;
    let mut planned = Planned::default();
    for base in bases {
        let key = SourceKey {
            repository: repository.clone(),
            base: base.clone(),
        };
        let Some(source) = view.source(&key).filter(|source| !source.removed) else {
            return Err(format!(
                "{base} is not tracked: 'pacmesh build' its directory first"
            ));
        };
        let held = SourceV1 {
            version: source.version + 1,
            hold,
            ..source.clone()
        };
        planned
            .entries
            .push(held.entry(&key).map_err(|error| error.to_string())?);
    }
    Ok(planned)
}

fn signer(view: &View, certificate: &[u8], distrusted: bool) -> Result<Planned, String> {
    let parsed =
        Certificate::parse(certificate).map_err(|error| format!("not an OpenPGP certificate: {error}"))?;
    let fingerprint = parsed.fingerprint();
    let seen = view.signer(&fingerprint);
    let value = SignerV1 {
        generation: seen.map_or(0, |seen| seen.generation + 1),
        distrusted,
        certificate: parsed.as_bytes().to_vec(),
        node: seen.and_then(|seen| seen.node),
    };
    value.entry(&fingerprint).map(one).map_err(|error| {
        format!("the certificate cannot be recorded ({error}): export it minimal, 'gpg --export-options export-minimal'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv6_only_a_senior_says_something_about_a_master() {
        assert!(is_senior(Some(0), 1));
        assert!(!is_senior(Some(1), 0));
        assert!(!is_senior(Some(1), 1));
        assert!(!is_senior(None, 0));
    }
}
