//! `why`: where a job stands, in sentences, and what to do next.

use std::sync::Arc;

use pacmesh_protocol::{
    ids::JobId,
    ledger::{
        kinds::{JobState, JobV1, SourceKey},
        view::View,
    },
    wire::LiveJob,
};

use super::{
    caller::{Caller, End},
    healing,
    jobs::{find, live_one},
    mesh::counted,
    past,
};
use crate::{clock, rooms::Rooms};

pub(super) async fn why(rooms: &Arc<Rooms>, caller: &mut Caller, text: &str) -> Result<(), End> {
    let view = rooms.ledger.view();
    let (id, job) = match find(rooms, &view, text) {
        Ok(found) => found,
        Err(unknown) => {
            let release = past::Release::find(&view, text);
            let said = past::overtaken(rooms, text).or_else(|| Some(release?.story(&view)));
            return match said {
                Some(said) => caller.done(said).await,
                None => Err(unknown.into()),
            };
        }
    };
    let live = if job.state == JobState::Queued {
        live_one(rooms, id).await
    } else {
        None
    };
    let sentences = match &job.state {
        JobState::Queued => open(rooms, &id, &job, live.as_ref()),
        JobState::Published => published(rooms, &id, &job),
        JobState::Failed { class, error } => {
            let short = id.short();
            let mut said = vec![format!(
                "{} ({short}) failed in {}: {error}",
                job.base,
                class.name()
            )];
            said.extend(attempts(rooms, &job));
            said.push(format!(
                "See 'pacmesh logs {short}'; 'pacmesh retry {short}' tries the same source again."
            ));
            said
        }
        JobState::Cancelled => {
            let short = id.short();
            vec![
                format!("{} ({short}) was cancelled.", job.base),
                format!("'pacmesh retry {short}' queues it again."),
            ]
        }
    };
    let view = rooms.ledger.view();
    let found = healing::about(rooms, &view, job.base.as_str()).await;
    let found = found
        .into_iter()
        .map(|text| format!("What a merge left behind: {text}."));
    let mut sentences: Vec<String> = sentences.into_iter().chain(found).collect();
    sentences.extend(held(&view, &job));
    caller.done(sentences.join("\n")).await
}

/// A source that was told to stay as it is.
fn held(view: &View, job: &JobV1) -> Option<String> {
    let key = SourceKey {
        repository: job.repository.clone(),
        base: job.base.clone(),
    };
    let source = view
        .source(&key)
        .filter(|source| source.hold && !source.removed)?;
    let is_this = source.tree == job.tree;
    let what = if is_this {
        "this source"
    } else {
        "another source of it"
    };
    Some(format!(
        "{} is held at {what}: automatic updates pass it by.",
        job.base
    ))
}

fn open(rooms: &Rooms, id: &JobId, job: &JobV1, live: Option<&LiveJob>) -> Vec<String> {
    let head = format!("{} ({}) for {}", job.base, id.short(), job.arch);
    let since = clock::rfc3339(job.submitted_ms);
    let Some(live) = live else {
        let text = match rooms.master.leadership().master() {
            Some(master) => format!(
                "{}, which leads, does not know it yet: ask again in a moment.",
                rooms.name_of(&master)
            ),
            None => "No master is in reach to plan it: start a machine that may lead ('pacmesh nodes')."
                .to_owned(),
        };
        return vec![format!("{head} is queued since {since}."), text];
    };
    let Some(worker) = live.worker else {
        let mut said = vec![format!("{head} is queued since {since}.")];
        said.extend(
            live.waiting_for
                .as_ref()
                .map(|what| format!("It waits for {what}.")),
        );
        if live.attempts > 0 {
            said.push(format!(
                "It was begun {}: 'pacmesh logs {}' shows what came of it.",
                counted(live.attempts as usize, "time", "times"),
                id.short()
            ));
        }
        return said;
    };
    let begun = live
        .started_ms
        .map_or_else(String::new, |ms| format!(", since {}", clock::rfc3339(ms)));
    vec![
        format!(
            "{head} runs on {}, attempt {}{begun}.",
            rooms.name_of(&worker),
            live.attempts
        ),
        format!("'pacmesh logs -f {}' shows it.", id.short()),
    ]
}

fn published(rooms: &Rooms, id: &JobId, job: &JobV1) -> Vec<String> {
    let version = job
        .end
        .as_ref()
        .and_then(|end| end.version.as_ref())
        .unwrap_or(&job.version);
    let mut said = vec![format!(
        "{} ({}) is published as {version} in {}.",
        job.base,
        id.short(),
        job.repository
    )];
    said.extend(attempts(rooms, job));
    said.push(format!(
        "'pacmesh rebuild {}' makes a new release of the same source.",
        job.base
    ));
    said
}

fn attempts(rooms: &Rooms, job: &JobV1) -> Option<String> {
    let end = job.end.as_ref()?;
    let by = end.worker.map_or_else(String::new, |worker| {
        format!(", the last on {}", rooms.name_of(&worker))
    });
    Some(format!(
        "It took {}{by}.",
        counted(end.attempts as usize, "attempt", "attempts")
    ))
}
