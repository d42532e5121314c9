//! What changed in the source of a base: the commit, the difference, the PKGBUILD.

use pacmesh_protocol::ledger::door::Topic;
use serde::{Deserialize, Serialize};

use super::{
    answer::{Answer, Failure, Outcome},
    call::Call,
    notes::Notebook,
};
use crate::compat::facts;

/// All of it may be missing, which clears it.
#[derive(Debug, Serialize, Deserialize)]
struct Changes {
    #[serde(default)]
    last_commit_sha: Option<String>,
    #[serde(default)]
    changes: Option<String>,
    #[serde(default)]
    pkgbuild: Option<String>,
}

pub(super) async fn get(call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let key = facts::of_base(Topic::Changes, &place, &base);
    match call.door.document(&key).await? {
        Some(changes) => Ok(Answer::json(&changes)),
        None if call.door.knows(&place, &base).await => Ok(Answer::json(&serde_json::json!({}))),
        None => Err(Failure::unknown_package(base.as_str())),
    }
}

pub(super) async fn post(mut call: Call) -> Outcome {
    let (place, base) = (call.place()?, call.base()?);
    let changes: Changes = call.body().await?;
    let mut notebook = Notebook::default();
    let key = facts::of_base(Topic::Changes, &place, &base);
    notebook.set(&call.door, key, &changes).await?;
    call.door.record(notebook).await?;
    Ok(Answer::nothing())
}
