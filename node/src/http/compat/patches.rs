//! Patches of a base; they are of no repository.

use pacmesh_protocol::{
    ledger::door::{COMPAT_NAME_LIMIT, CompatKey, Topic},
    names::PackageName,
};
use serde_json::Value;

use super::{
    Door,
    answer::{Answer, Failure, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::compat::{facts, patch::Patch};

pub(super) async fn list(call: Call) -> Outcome {
    // What is no name has no patches.
    let Ok(base) = call.base() else {
        return Ok(Answer::json(&[(); 0]));
    };
    let mut patches = Vec::new();
    for key in call.door.patches_of(&base) {
        patches.extend(call.door.document(&key).await?);
    }
    Ok(Answer::json(&patches))
}

impl Door {
    /// The keys of all patches of a base.
    fn patches_of(&self, base: &PackageName) -> Vec<CompatKey> {
        let view = self.rooms.ledger.view();
        let all = view.compat_of(Topic::Patch, None);
        let of_base = all.filter_map(|(name, value)| {
            let (patched, key) = name.split_once('/')?;
            let is_there = patched == base.as_str() && value.document.is_some();
            is_there.then(|| facts::of_patch(base, Some(key)))
        });
        of_base.collect()
    }
}

pub(super) async fn get(call: Call) -> Outcome {
    let key = call.parts.get(1).cloned().unwrap_or_default();
    let found = match call.base() {
        Ok(base) => call.door.document(&facts::of_patch(&base, Some(&key))).await?,
        Err(_) => None,
    };
    let patch = found.ok_or_else(|| {
        let shown: String = key.chars().take(128).collect();
        Failure::unknown(format!("Patch {shown} is unknown"))
    })?;
    Ok(Answer::json(&patch))
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let base = call.base()?;
    let body: Value = call.body().await?;
    let patch = Patch::read(body).map_err(Failure::bad)?;
    let key = facts::of_patch(&base, patch.key.as_deref());
    if key.name.len() > COMPAT_NAME_LIMIT {
        return Err(Failure::bad("the key of a patch is too long"));
    }
    let mut notebook = Notebook::default();
    notebook.set(&call.door, key, &patch).await?;
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}

pub(super) async fn delete(call: Call) -> Outcome {
    let Ok(base) = call.base() else {
        return Ok(Answer::nothing());
    };
    let key = facts::of_patch(&base, call.parts.get(1).map(String::as_str));
    let is_there = call
        .view()
        .compat(&key)
        .is_some_and(|value| value.document.is_some());
    let mut notebook = Notebook::default();
    if is_there {
        notebook.remove(key);
    }
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}
