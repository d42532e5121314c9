//! `build` and what is done to jobs and packages.
//!
//! The files of a source are read here, with the caller's own rights, and streamed to the node.

use std::path::Path;

use pacmesh_protocol::{
    ids::RequestId,
    ledger::kinds::{BuildOptions, Origin},
    names::PackageName,
};

use super::{BuildArgs, Failure, Wait, follow, show};
use crate::{
    home::Home,
    local::{Client, LocalReply, LocalRequest, request::BuildSource},
    source::{self, PackOptions},
};

pub(super) async fn build(home: &Home, args: BuildArgs) -> Result<(), Failure> {
    let _ = args.noconfirm;
    for label in &args.sources {
        is_directory(label)?;
    }
    if !Client::is_running(home).await {
        // Packing may take a while; whoever has no node should hear it first.
        Client::ask(home, &LocalRequest::Status).await?;
    }
    let mut sources = Vec::new();
    for label in args.sources {
        sources.push(store(home, label, args.force).await?);
    }
    let request = LocalRequest::Build {
        sources,
        repository: args.repo,
        arches: args.arch,
        options: BuildOptions {
            nocheck: args.nocheck,
            ignorearch: args.ignorearch,
        },
        track: !args.once,
        wait: !args.wait.detach,
        request: drawn()?,
    };
    follow::build(home, request, args.wait).await
}

pub(super) async fn rebuild(home: &Home, bases: Vec<PackageName>, wait: Wait) -> Result<(), Failure> {
    let request = LocalRequest::Rebuild {
        bases,
        wait: !wait.detach,
        request: drawn()?,
    };
    follow::build(home, request, wait).await
}

/// A name for a request, under which it may be asked again.
fn drawn() -> Result<RequestId, Failure> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| Failure::Failed(format!("no randomness for a request: {error}")))?;
    Ok(RequestId(id))
}

pub(super) async fn cancel(home: &Home, job: String) -> Result<(), Failure> {
    show::done(Client::ask(home, &LocalRequest::Cancel { job }).await?).await
}

pub(super) async fn retry(home: &Home, job: String) -> Result<(), Failure> {
    show::done(Client::ask(home, &LocalRequest::Retry { job }).await?).await
}

pub(super) async fn remove(home: &Home, names: Vec<PackageName>) -> Result<(), Failure> {
    show::done(Client::ask(home, &LocalRequest::Remove { names }).await?).await
}

pub(super) async fn hold(home: &Home, bases: Vec<PackageName>, hold: bool) -> Result<(), Failure> {
    show::done(Client::ask(home, &LocalRequest::Hold { bases, hold }).await?).await
}

/// A SOURCE with a `/` or equal to `.` is a path, with a scheme a URL, else an AUR name (DESIGN).
fn is_directory(label: &str) -> Result<(), Failure> {
    if label.contains("://") {
        return Err(Failure::Failed(format!(
            "{label}: git URLs cannot be built yet: clone it, and build the directory"
        )));
    }
    let is_path = label.contains('/') || label == "." || label == "..";
    if is_path {
        return Ok(());
    }
    let hint = if Path::new(label).is_dir() {
        format!("type './{label}' for the directory of that name")
    } else {
        "fetch its sources, and build the directory".to_owned()
    };
    Err(Failure::Failed(format!(
        "{label}: names are looked up in the AUR, which cannot be done yet: {hint}"
    )))
}

async fn store(home: &Home, label: String, force: bool) -> Result<BuildSource, Failure> {
    let path = std::path::PathBuf::from(&label);
    let packed = tokio::task::spawn_blocking(move || source::pack(&path, PackOptions { force }))
        .await
        .map_err(|error| Failure::of(&error))?
        .map_err(|error| Failure::of(&error))?;
    for warning in &packed.warnings {
        follow::say(warning);
    }
    let mut client = Client::ask(home, &LocalRequest::Store).await?;
    let mut file = packed.file.into_file();
    // It was written to its end just now.
    std::io::Seek::rewind(&mut file)?;
    client.send(tokio::fs::File::from_std(file)).await?;
    match client.next().await? {
        LocalReply::Stored(tree) => Ok(BuildSource {
            label,
            tree,
            origin: Origin::Directory,
            epoch: packed.epoch,
        }),
        other => Err(show::unexpected(other)),
    }
}
