//! `build` and what is done to jobs and packages.
//!
//! The files of a source are read here, with the caller's own rights, and streamed to the node.

use std::path::Path;

use pacmesh_protocol::{
    ledger::kinds::{BuildOptions, Origin},
    names::PackageName,
};
use serde_json::json;

use super::{BuildArgs, Failure, Wait, print, show};
use crate::{
    home::Home,
    local::{Client, LocalReply, LocalRequest, request::BuildSource, views::BuildEvent},
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
    };
    follow(Client::ask(home, &request).await?, args.wait).await
}

pub(super) async fn rebuild(home: &Home, bases: Vec<PackageName>, wait: Wait) -> Result<(), Failure> {
    let request = LocalRequest::Rebuild {
        bases,
        wait: !wait.detach,
    };
    follow(Client::ask(home, &request).await?, wait).await
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
        eprintln(warning);
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

fn eprintln(text: &str) {
    use std::io::Write;
    // A warning that nobody can read any more is not worth a failure.
    let _ = writeln!(std::io::stderr(), "pacmesh: {text}");
}

/// Shows events until the build is finished; fails when any job did.
async fn follow(mut client: Client, wait: Wait) -> Result<(), Failure> {
    loop {
        match client.next().await? {
            LocalReply::Event(event) if event.event == "finished" => {
                if wait.json {
                    let (published, failed) = (event.published, event.failed);
                    print::json(&json!({"event": "finished", "published": published, "failed": failed}))?;
                } else if !wait.detach {
                    print::line(format!("{} published, {} failed", event.published, event.failed))?;
                }
                return if event.failed == 0 {
                    Ok(())
                } else {
                    Err(Failure::Said)
                };
            }
            LocalReply::Event(event) if wait.json => print::json(&json!({
                "event": event.event, "job": event.job, "base": event.base,
                "worker": event.worker, "attempt": event.attempt,
                "version": event.version, "copies": event.copies, "error": event.error,
            }))?,
            LocalReply::Event(event) => print::line(sentence(&event))?,
            LocalReply::Bytes(bytes) if !wait.json && print::on_terminal() => print::raw(&bytes)?,
            LocalReply::Bytes(_) => {}
            LocalReply::Note(text) => eprintln(&text),
            LocalReply::Done(_) => return Ok(()),
            other => return Err(show::unexpected(other)),
        }
    }
}

fn sentence(event: &BuildEvent) -> String {
    let head = format!("{} ({})", event.base, print::short(&event.job));
    let worker = event
        .worker_name
        .as_deref()
        .or(event.worker.as_deref())
        .unwrap_or("nobody");
    let version = event.version.as_deref().unwrap_or_default();
    match event.event.as_str() {
        "started" => format!("{head} started on {worker}, attempt {}", event.attempt),
        "published" => format!(
            "{head} published {version}, {} copies, built on {worker}",
            event.copies
        ),
        "failed" => format!(
            "{head} failed: {}\n  see 'pacmesh logs {}'",
            event.error.as_deref().unwrap_or("no reason was given"),
            print::short(&event.job)
        ),
        other => format!("{head} {other}"),
    }
}
