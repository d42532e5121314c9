//! Packages and how they stand.

use pacmesh_protocol::{
    ledger::{
        door::Topic,
        kinds::{GenerationKey, SourceKey},
        view::View,
    },
    names::PackageName,
    wire::Change,
};

use super::{
    Door,
    answer::{Answer, Failure, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::{
    clock,
    compat::{
        facts,
        package::PackageUpdate,
        status::{BuildStatus, HoldUpdate, Said},
        window::Window,
    },
};

/// What is said of a base of a place, and goes with it.
const OF_BASE: [Topic; 5] = [
    Topic::Package,
    Topic::Status,
    Topic::Hold,
    Topic::Changes,
    Topic::Dependencies,
];

pub(super) async fn list(call: Call) -> Outcome {
    let (place, window) = (call.place()?, call.window()?);
    let shelf = call.door.shelf(&place).await;
    if window == Window::parse(None, None)? {
        return Ok(Answer::json_bytes(shelf.list.clone()));
    }
    Ok(Answer::json(&window.of(shelf.bases.values())))
}

pub(super) fn reload(call: Call) -> Outcome {
    // There is no cache that could be behind the ledger.
    call.place()?;
    Ok(Answer::nothing())
}

pub(super) async fn get(call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let shelf = call.door.shelf(&place).await;
    match shelf.bases.get(base.as_str()) {
        Some(package) => Ok(Answer::json(&[package])),
        None => Err(Failure::unknown_package(base.as_str())),
    }
}

/// The version in force; older ones are kept by the mesh, and not offered here.
pub(super) async fn archives(call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let shelf = call.door.shelf(&place).await;
    match shelf.bases.get(base.as_str()) {
        Some(package) if package.package.packages.is_empty() => Ok(Answer::json(&[(); 0])),
        Some(package) => Ok(Answer::json(&[&package.package])),
        None => Err(Failure::unknown_package(base.as_str())),
    }
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let update: PackageUpdate = call.body().await?;
    let mut notebook = Notebook::default();
    match &update.package {
        Some(package) if package.base != base.as_str() => {
            return Err(Failure::bad(format!(
                "the body is about {}, not about {base}",
                package.base
            )));
        }
        Some(package) => {
            let key = facts::of_base(Topic::Package, &place, &base);
            notebook.set(&call.door, key, package).await?;
        }
        None if !call.door.knows(&place, &base).await => {
            return Err(Failure::bad(format!("Package {base} is unknown")));
        }
        None => {}
    }
    note_status(&call.door, &mut notebook, &place, &base, update.status).await?;
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}

/// Notes how a base stands from now on.
pub(super) async fn note_status(
    door: &Door,
    notebook: &mut Notebook,
    place: &GenerationKey,
    base: &PackageName,
    status: BuildStatus,
) -> Result<(), Failure> {
    let said = Said {
        status,
        at_ms: clock::wall_ms(),
    };
    notebook
        .set(door, facts::of_base(Topic::Status, place, base), &said)
        .await
}

impl Door {
    /// Whether a base is known at a place.
    pub(super) async fn knows(&self, place: &GenerationKey, base: &PackageName) -> bool {
        self.shelf(place).await.bases.contains_key(base.as_str())
    }
}

pub(super) async fn hold(mut call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let update: HoldUpdate = call.body().await?;
    if !call.door.knows(&place, &base).await {
        return Err(Failure::unknown_package(base.as_str()));
    }
    let key = SourceKey {
        repository: place.repository.clone(),
        base: base.clone(),
    };
    if call.view().source(&key).is_some_and(|source| !source.removed) {
        let change = Change::Hold {
            repository: Some(place.repository.clone()),
            bases: vec![base.clone()],
            hold: update.is_held,
        };
        call.door.change(change).await?;
    }
    let mut notebook = Notebook::default();
    notebook
        .set(&call.door, facts::of_base(Topic::Hold, &place, &base), &update)
        .await?;
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}

pub(super) async fn delete(call: Call) -> Outcome {
    let place = call.place()?;
    // What is no name was never here.
    if let Ok(base) = call.base() {
        call.door.forget(&place, &base).await?;
    }
    Ok(Answer::nothing())
}

impl Door {
    /// Removes a base with all that was said of it.
    pub(super) async fn forget(&self, place: &GenerationKey, base: &PackageName) -> Result<(), Failure> {
        let view = self.rooms.ledger.view();
        if is_published(&view, place, base) {
            let change = Change::Remove {
                repository: Some(place.repository.clone()),
                names: vec![base.clone()],
            };
            self.change(change).await?;
        }
        let mut notebook = Notebook::default();
        let has_jobs = !view.last_jobs_of(base, Some(&place.repository)).is_empty();
        for topic in OF_BASE
            .into_iter()
            .filter(|topic| !(has_jobs && *topic == Topic::Status))
        {
            let key = facts::of_base(topic, place, base);
            if view.compat(&key).is_some_and(|value| value.document.is_some()) {
                notebook.remove(key);
            }
        }
        // A job of it stays known; that nothing is known of it any more is said after that.
        if has_jobs {
            note_status(self, &mut notebook, place, base, BuildStatus::Unknown).await?;
        }
        for (name, value) in view.compat_of(Topic::Patch, None) {
            let patched = name
                .split_once('/')
                .filter(|(patched, _)| *patched == base.as_str());
            if let (Some((_, key)), Some(_)) = (patched, &value.document) {
                notebook.remove(facts::of_patch(base, Some(key)));
            }
        }
        self.incoming.forget(&self.rooms, place, base).await;
        self.journal.forget(place, base, None);
        self.record(notebook).await
    }
}

/// Whether the repository has a package of the base or of that name.
pub(super) fn is_published(view: &View, place: &GenerationKey, name: &PackageName) -> bool {
    view.releases(&place.repository, &place.arch)
        .any(|(key, release)| release.base == *name || key.name == *name)
}
