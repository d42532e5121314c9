//! Which packages the files of a base come from.

use std::collections::BTreeMap;

use pacmesh_protocol::ledger::door::Topic;
use serde::{Deserialize, Serialize};

use super::{
    answer::{Answer, Failure, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::compat::facts;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Dependencies {
    #[serde(default)]
    paths: BTreeMap<String, Vec<String>>,
}

pub(super) async fn get(call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    if !call.door.knows(&place, &base).await {
        return Err(Failure::unknown_package(base.as_str()));
    }
    let key = facts::of_base(Topic::Dependencies, &place, &base);
    match call.door.document(&key).await? {
        Some(dependencies) => Ok(Answer::json(&dependencies)),
        None => Ok(Answer::json(&Dependencies::default())),
    }
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let mut dependencies: Dependencies = call.body().await?;
    if !call.door.knows(&place, &base).await {
        return Err(Failure::unknown_package(base.as_str()));
    }
    dependencies.paths.retain(|_, packages| !packages.is_empty());
    let mut notebook = Notebook::default();
    let key = facts::of_base(Topic::Dependencies, &place, &base);
    notebook.set(&call.door, key, &dependencies).await?;
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}
