//! What this server is.

use super::{
    answer::{Answer, Outcome},
    call::Call,
};
use crate::{
    compat::{
        info::{AuthInfo, InfoV1, InfoV2},
        place::RepositoryId,
    },
    settings::Settings,
};

/// The version of ahriman whose contract is kept: workers of another one warn.
pub(super) const VERSION: &str = "2.22.1";

pub(super) fn v1(call: Call) -> Outcome {
    Ok(Answer::json(&InfoV1 {
        auth: true,
        repositories: all(&call),
        version: VERSION.to_owned(),
    }))
}

pub(super) fn v2(call: Call) -> Outcome {
    Ok(Answer::json(&InfoV2 {
        auth: AuthInfo {
            control: String::new(),
            enabled: true,
            external: false,
            username: call.who.name().map(str::to_owned),
        },
        autorefresh_intervals: Vec::new(),
        docs_enabled: true,
        repositories: all(&call),
        version: VERSION.to_owned(),
    }))
}

fn all(call: &Call) -> Vec<RepositoryId> {
    let mut places = Settings(&call.view()).places();
    places.sort();
    places.iter().map(RepositoryId::with_id).collect()
}

pub(super) fn repositories(call: Call) -> Outcome {
    let mut places = Settings(&call.view()).places();
    places.sort();
    let repositories: Vec<_> = places.iter().map(RepositoryId::of).collect();
    Ok(Answer::json(&repositories))
}
