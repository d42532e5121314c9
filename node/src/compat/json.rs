//! JSON as the contract wants it: members that are null are left out at every depth, items of lists stay.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A body that is not what is expected; its text goes into the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBody(pub String);

/// Removes every member of an object whose value is null.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name, without_nulls(member)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// The bytes of an answer.
pub fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Models of the contract have string keys and no values that JSON lacks.
    let value = serde_json::to_value(value).unwrap_or_default();
    without_nulls(value).to_string().into_bytes()
}

/// The bytes of a value of which no member is null.
pub fn plain(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads a body; unknown members are ignored, a missing one is named.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadBody> {
    serde_json::from_slice(bytes).map_err(|error| BadBody(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_members_go_at_every_depth_and_null_items_stay() {
        let value = json!({"a": null, "b": {"c": null, "d": [null, {"e": null, "f": 1}]}});
        assert_eq!(without_nulls(value), json!({"b": {"d": [null, {"f": 1}]}}));
    }

    #[test]
    fn a_deep_body_is_refused_and_not_followed() {
        let deep = "[".repeat(100_000);
        assert!(parse::<Value>(deep.as_bytes()).is_err());
    }
}
