//! What the service is asked to do: each is a process that was begun when the answer goes out.

use pacmesh_protocol::{ledger::kinds::GenerationKey, names::PackageName, wire::Change};
use serde_json::{Value, json};

use super::{
    Door,
    answer::{Answer, Failure, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::{
    clock,
    compat::{
        event::{Event, EventKind},
        facts,
        patch::Patch,
        worker::{AddRequest, PackagesRequest},
    },
    master::carry,
};

/// Most packages of one request.
const MANY: usize = 1000;
/// Words in the names of settings whose values are nobody's business.
const SECRETS: [&str; 6] = [
    "api_key",
    "client_secret",
    "cookie_secret_key",
    "password",
    "salt",
    "secret_key",
];

impl Call {
    /// The place that it is about; an unknown one fails only the process.
    pub(super) fn place_or_nowhere(&self) -> Option<GenerationKey> {
        self.place().ok()
    }
}

fn started(id: &str) -> Answer {
    Answer::json(&json!({"process_id": id}))
}

fn bounded(packages: Vec<String>) -> Result<Vec<String>, Failure> {
    let packages: Vec<String> = packages.into_iter().filter(|name| !name.is_empty()).collect();
    if packages.len() > MANY {
        return Err(Failure::bad(format!("more than {MANY} packages at once")));
    }
    Ok(packages)
}

/// An empty list is what masters of this kind send after each run; it does nothing, and is no mistake.
pub(super) async fn add(mut call: Call) -> Outcome {
    let place = call.place_or_nowhere();
    let body: Value = call.body().await?;
    let request: AddRequest = serde_json::from_value(body).map_err(|_| missing())?;
    let patches = request.patches.unwrap_or_default().into_iter().map(Patch::read);
    let patches = patches.collect::<Result<Vec<_>, _>>().map_err(Failure::bad)?;
    let names = bounded(request.packages)?;
    let door = call.door.clone();
    let id = call.door.processes.start(|_| async move {
        if let Some(place) = place {
            door.build(&place, &names, &patches).await;
        }
    })?;
    Ok(started(&id))
}

/// As [`add`], for those who may only ask.
pub(super) async fn request(call: Call) -> Outcome {
    add(call).await
}

fn missing() -> Failure {
    Failure::bad("'Key packages is missing or empty'")
}

fn named(request: PackagesRequest) -> Result<Vec<String>, Failure> {
    let names = bounded(request.packages)?;
    if names.is_empty() {
        return Err(missing());
    }
    Ok(names)
}

pub(super) async fn rebuild(mut call: Call) -> Outcome {
    let place = call.place_or_nowhere();
    let request: PackagesRequest = call.body().await.map_err(|_| missing())?;
    let names = named(request)?;
    let door = call.door.clone();
    let id = call.door.processes.start(|_| async move {
        if let (Some(place), Some(name)) = (place, names.first()) {
            let dependents = door.dependents(&place, name).await;
            door.build(&place, &dependents, &[]).await;
        }
    })?;
    Ok(started(&id))
}

pub(super) async fn remove(mut call: Call) -> Outcome {
    let place = call.place_or_nowhere();
    let request: PackagesRequest = call.body().await.map_err(|_| missing())?;
    let names = named(request)?;
    let door = call.door.clone();
    let id = call.door.processes.start(|_| async move {
        if let Some(place) = place {
            door.remove_all(&place, &names).await;
        }
    })?;
    Ok(started(&id))
}

pub(super) fn process(call: Call) -> Outcome {
    let id = call.parts.first().map_or("", String::as_str);
    if call.door.processes.is_alive(id) {
        return Ok(Answer::json(&json!({"is_alive": true})));
    }
    let shown: String = id.chars().take(80).collect();
    Err(Failure::unknown(format!("No process {shown} found")))
}

pub(super) fn config(call: Call) -> Outcome {
    let view = call.view();
    let shown = view
        .settings()
        .filter(|(name, value)| !value.is_empty() && !SECRETS.iter().any(|secret| name.contains(secret)));
    let settings: Vec<Value> = shown
        .map(|(name, value)| {
            let (section, key) = name.split_once('.').unwrap_or(("", name));
            json!({"section": section, "key": key, "value": value})
        })
        .collect();
    Ok(Answer::json(&settings))
}

pub(super) fn reload_config(_: Call) -> Outcome {
    // Settings are in force wherever they are known.
    Ok(Answer::nothing())
}

impl Door {
    /// Builds bases that are tracked here again; of others it is said that nobody here can.
    async fn build(&self, place: &GenerationKey, names: &[String], patches: &[Patch]) {
        let view = self.rooms.ledger.view();
        let mut notebook = Notebook::default();
        for name in names {
            let base: Result<PackageName, _> = name.parse();
            let known = base
                .ok()
                .filter(|base| !view.last_jobs_of(base, Some(&place.repository)).is_empty());
            let Some(base) = known else {
                let reason = format!("{name} is not tracked here: 'pacmesh build' its directory first");
                self.tell_failure(place, name, reason).await;
                continue;
            };
            for patch in patches {
                let key = facts::of_patch(&base, patch.key.as_deref());
                if let Err(failure) = notebook.set(self, key, patch).await {
                    tracing::warn!(%base, error = failure.reason, "a patch is not kept");
                }
            }
            let change = Change::Rebuild {
                repository: Some(place.repository.clone()),
                bases: vec![base],
            };
            match carry(&self.rooms, change).await {
                Ok((jobs, _)) if jobs.is_empty() => {
                    let reason = format!("{name} was not built here: upload it again");
                    self.tell_failure(place, name, reason).await;
                }
                Ok(_) => {}
                Err(reason) => self.tell_failure(place, name, reason).await,
            }
        }
        if let Err(failure) = self.record(notebook).await {
            tracing::warn!(error = failure.reason, "patches are not kept");
        }
    }

    async fn tell_failure(&self, place: &GenerationKey, name: &str, reason: String) {
        let event = Event {
            event: EventKind::PackageUpdateFailed.name().to_owned(),
            object_id: name.chars().take(128).collect(),
            created: (clock::wall_ms() / 1000).cast_signed(),
            message: Some(reason.clone()),
            data: None,
        };
        if let Err(failure) = self.note_event(place, event).await {
            tracing::warn!(
                name,
                reason,
                error = failure.reason,
                "a failure is told in the log only"
            );
        }
    }

    /// The bases that need a package to run, to build or to check.
    async fn dependents(&self, place: &GenerationKey, name: &str) -> Vec<String> {
        let shelf = self.shelf(place).await;
        let needs = shelf.bases.values().filter(|package| {
            package.package.packages.values().any(|member| {
                let lists = [&member.depends, &member.make_depends, &member.check_depends];
                lists.into_iter().flatten().any(|needed| needed == name)
            })
        });
        needs.map(|package| package.package.base.clone()).collect()
    }

    async fn remove_all(&self, place: &GenerationKey, names: &[String]) {
        for name in names {
            let Ok(base) = name.parse::<PackageName>() else {
                self.tell_failure(place, name, format!("'{name}' is not a package name"))
                    .await;
                continue;
            };
            let view = self.rooms.ledger.view();
            let member = view
                .releases(&place.repository, &place.arch)
                .any(|(key, release)| key.name == base && release.base != base);
            let removed = if member {
                // One member of a base goes alone.
                let change = Change::Remove {
                    repository: Some(place.repository.clone()),
                    names: vec![base.clone()],
                };
                self.change(change).await
            } else {
                self.forget(place, &base).await
            };
            if let Err(failure) = removed {
                self.tell_failure(place, name, failure.reason).await;
            }
        }
    }
}
