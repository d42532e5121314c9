//! Answers that last: shown to their end, also when the node that gives them is restarted meanwhile.
//!
//! The node says from time to time how far it has come; another life of it is given that mark and goes on from there.

use std::{io::Write, time::Duration};

use serde_json::json;

use super::{Failure, Wait, print, show};
use crate::{
    home::Home,
    local::{
        Client, ClientError, LocalReply, LocalRequest,
        marks::{BuildMark, LogMark},
        views::BuildEvent,
    },
};

/// How long a node that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer that lasts.
struct Lasting<'a> {
    home: &'a Home,
    client: Client,
    /// What is asked again as long as there is no mark.
    request: LocalRequest,
    build: Option<BuildMark>,
    log: Option<LogMark>,
}

impl<'a> Lasting<'a> {
    async fn of(home: &'a Home, request: LocalRequest) -> Result<Self, Failure> {
        Ok(Self {
            home,
            client: Client::ask(home, &request).await?,
            request,
            build: None,
            log: None,
        })
    }

    /// The next answer that is for people, from whichever life of the node.
    async fn next(&mut self) -> Result<LocalReply, Failure> {
        loop {
            match self.client.next().await {
                Ok(LocalReply::BuildMark(mark)) => self.build = Some(*mark),
                Ok(LocalReply::LogMark(mark)) => self.log = Some(mark),
                Ok(reply) => return Ok(reply),
                Err(ClientError::Broken(_)) => self.go_on().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn go_on(&mut self) -> Result<(), Failure> {
        say(&format!(
            "the node stopped answering: waiting up to {} s for it to come back, what it builds goes on",
            PATIENCE.as_secs()
        ));
        let request = match (&self.build, self.log) {
            (Some(mark), log) => LocalRequest::ResumeBuild {
                mark: mark.clone(),
                log,
            },
            (None, Some(log)) => LocalRequest::ResumeLogs { log },
            (None, None) => self.request.clone(),
        };
        match Client::ask_again(self.home, &request, PATIENCE).await {
            Ok(client) => {
                self.client = client;
                Ok(())
            }
            Err(ClientError::NoNode { .. }) => Err(Failure::NoNode(format!(
                "the node is not back after {} s: its jobs go on without it, see 'pacmesh jobs' once it runs",
                PATIENCE.as_secs()
            ))),
            Err(error) => Err(error.into()),
        }
    }
}

/// Shows events until the build is finished; fails when any job did.
pub(super) async fn build(home: &Home, request: LocalRequest, wait: Wait) -> Result<(), Failure> {
    let mut answers = Lasting::of(home, request).await?;
    loop {
        match answers.next().await? {
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
            LocalReply::Note(text) => say(&text),
            LocalReply::Done(_) => return Ok(()),
            other => return Err(show::unexpected(other)),
        }
    }
}

/// Shows a log; with `follow` until its job ends.
pub(super) async fn logs(home: &Home, job: String, follow: bool) -> Result<(), Failure> {
    let mut answers = Lasting::of(home, LocalRequest::Logs { job, follow }).await?;
    loop {
        match answers.next().await? {
            LocalReply::Bytes(bytes) => print::raw(&bytes)?,
            LocalReply::Done(_) => return Ok(()),
            other => return Err(show::unexpected(other)),
        }
    }
}

/// Says something on the way.
pub(super) fn say(text: &str) {
    // A warning that nobody can read any more is not worth a failure.
    let _ = writeln!(std::io::stderr(), "pacmesh: {text}");
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
