//! Commands that only look.

use super::{ConfigCommand, Failure, print};
use crate::{
    home::Home,
    local::{
        Client, ClientError, LocalReply, LocalRequest,
        views::{JobView, NodeView, PackageView, StatusView},
    },
};

pub(super) async fn status(home: &Home, json: bool) -> Result<(), Failure> {
    let mut client = Client::ask(home, &LocalRequest::Status).await?;
    match client.next().await? {
        LocalReply::Status(view) if json => print::json(&view),
        LocalReply::Status(view) => show_status(&view),
        other => Err(unexpected(other)),
    }
}

fn show_status(view: &StatusView) -> Result<(), Failure> {
    print::line(format!(
        "node     {} ({})",
        view.node.name,
        print::short(&view.node.id)
    ))?;
    let Some(mesh) = &view.mesh else {
        return print::line(
            "mesh     none yet: type 'pacmesh init' to found one, or 'pacmesh join' to enter one",
        );
    };
    print::line(format!("mesh     {} ({})", mesh.name, print::short(&mesh.id)))?;
    let master = view
        .master
        .as_ref()
        .map_or("nobody in reach", |master| master.name.as_str());
    print::line(format!(
        "role     {}; {master} leads, term {}",
        view.role, view.term
    ))?;
    print::line(format!("members  {}, {} alive", view.members, view.alive))?;
    let jobs = &view.jobs;
    print::line(format!(
        "jobs     {} queued, {} running, {} published, {} failed, {} cancelled",
        jobs.queued, jobs.running, jobs.published, jobs.failed, jobs.cancelled
    ))?;
    print::line(format!("packages {}", view.packages))?;
    let copies = &view.copies;
    print::line(match copies.short {
        0 => format!("copies   {} of everything", copies.wanted),
        short => format!(
            "copies   {short} blobs with fewer than {}, {} being copied",
            copies.wanted, copies.coming
        ),
    })?;
    for (repository, number) in &view.generation {
        print::line(format!("serving  {repository}, generation {number}"))?;
    }
    for problem in &view.problems {
        print::line(format!("problem  {problem}"))?;
    }
    Ok(())
}

pub(super) async fn nodes(home: &Home, json: bool) -> Result<(), Failure> {
    let mut client = Client::ask(home, &LocalRequest::Nodes).await?;
    match client.next().await? {
        LocalReply::Nodes(nodes) if json => print::json(&nodes),
        LocalReply::Nodes(nodes) => {
            let row = |node: NodeView| {
                let seen = if node.last_seen_ms == 0 {
                    "-".to_owned()
                } else {
                    format!("{:.1} s ago", node.last_seen_ms as f64 / 1e3)
                };
                let builds = format!("{}/{}", node.running, node.slots);
                let id = print::short(&node.id).to_owned();
                let state = match node.relayed {
                    true => format!("{} to others", node.state),
                    false => node.state,
                };
                vec![
                    node.name,
                    state,
                    node.roles.join(","),
                    builds,
                    node.environment,
                    seen,
                    id,
                ]
            };
            print::table(
                &["NAME", "STATE", "ROLES", "BUILDS", "ENVIRONMENT", "SEEN", "ID"],
                nodes.into_iter().map(row).collect(),
            )
        }
        other => Err(unexpected(other)),
    }
}

pub(super) async fn jobs(home: &Home, all: bool, failed: bool, json: bool) -> Result<(), Failure> {
    let mut client = Client::ask(home, &LocalRequest::Jobs { all, failed }).await?;
    let mut jobs: Vec<JobView> = Vec::new();
    loop {
        match client.next().await? {
            LocalReply::Jobs(some) => jobs.extend(some),
            LocalReply::Done(_) => break,
            other => return Err(unexpected(other)),
        }
    }
    if json {
        return print::json(&jobs);
    }
    let row = |job: JobView| {
        let note = job.error.or(job.waiting_for).unwrap_or_default();
        let note = note.lines().next().unwrap_or_default().chars().take(80).collect();
        let worker = job.worker.as_deref().map(print::short).unwrap_or("-").to_owned();
        vec![
            print::short(&job.id).to_owned(),
            job.base,
            job.version,
            job.arch,
            job.state,
            worker,
            note,
        ]
    };
    print::table(
        &["JOB", "BASE", "VERSION", "ARCH", "STATE", "WORKER", "NOTE"],
        jobs.into_iter().map(row).collect(),
    )
}

pub(super) async fn packages(home: &Home, json: bool) -> Result<(), Failure> {
    let mut client = Client::ask(home, &LocalRequest::Packages).await?;
    let mut packages: Vec<PackageView> = Vec::new();
    loop {
        match client.next().await? {
            LocalReply::Packages(some) => packages.extend(some),
            LocalReply::Done(_) => break,
            other => return Err(unexpected(other)),
        }
    }
    if json {
        return print::json(&packages);
    }
    let row = |package: PackageView| {
        vec![
            package.repository,
            package.name,
            package.version,
            package.arch,
            package.size.to_string(),
            print::short(&package.worker).to_owned(),
        ]
    };
    print::table(
        &["REPO", "NAME", "VERSION", "ARCH", "BYTES", "BUILT BY"],
        packages.into_iter().map(row).collect(),
    )
}

pub(super) async fn why(home: &Home, job: String) -> Result<(), Failure> {
    done(Client::ask(home, &LocalRequest::Why { job }).await?).await
}

pub(super) async fn config(home: &Home, command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Set { name, value } => {
            done(Client::ask(home, &LocalRequest::SetSetting { name, value }).await?).await
        }
        ConfigCommand::Get { name } => {
            let request = LocalRequest::GetSetting {
                name: name.unwrap_or_default(),
            };
            match Client::ask(home, &request).await?.next().await? {
                LocalReply::Settings(settings) => settings
                    .iter()
                    .try_for_each(|(name, value)| print::line(format!("{name} = {value}"))),
                other => Err(unexpected(other)),
            }
        }
    }
}

/// Waits for the end of a request of which only success matters, and says what the node says.
pub(super) async fn done(mut client: Client) -> Result<(), Failure> {
    loop {
        match client.next().await? {
            LocalReply::Done(text) if text.is_empty() => return Ok(()),
            LocalReply::Done(text) => return print::line(text),
            LocalReply::Note(text) => print::line(text)?,
            other => return Err(unexpected(other)),
        }
    }
}

/// A failure that the node reports, or an answer that belongs to another question.
pub(super) fn unexpected(reply: LocalReply) -> Failure {
    match reply {
        LocalReply::Failed(reason) => Failure::Failed(reason),
        _ => ClientError::Unexpected.into(),
    }
}
