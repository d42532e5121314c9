//! Which repository a request is about.

use pacmesh_protocol::ledger::kinds::GenerationKey;
use serde::{Deserialize, Serialize};

/// A repository and an architecture, as the contract writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepositoryId {
    /// Such as `x86_64`.
    pub architecture: String,
    /// Its name.
    pub repository: String,
    /// `<architecture>-<name>`, where an answer has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
}

impl RepositoryId {
    /// Of a place.
    pub fn of(place: &GenerationKey) -> Self {
        Self {
            architecture: place.arch.to_string(),
            repository: place.repository.to_string(),
            id: None,
        }
    }

    /// The same with its id, as answers about the service have it.
    pub fn with_id(place: &GenerationKey) -> Self {
        Self {
            id: Some(format!("{}-{}", place.arch, place.repository)),
            ..Self::of(place)
        }
    }
}

/// No such repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Repository {architecture}-{repository} is unknown")]
pub struct UnknownPlace {
    architecture: String,
    repository: String,
}

/// The place that a request names; the first by name and architecture where it does not name both.
pub fn named(
    places: &[GenerationKey],
    architecture: Option<&str>,
    repository: Option<&str>,
) -> Result<GenerationKey, UnknownPlace> {
    let named = architecture
        .zip(repository)
        .filter(|(architecture, repository)| !architecture.is_empty() && !repository.is_empty());
    let found = match named {
        None => places.iter().min(),
        Some((architecture, repository)) => places
            .iter()
            .find(|place| place.arch.as_str() == architecture && place.repository.as_str() == repository),
    };
    found.cloned().ok_or_else(|| UnknownPlace {
        architecture: short(architecture.unwrap_or_default()),
        repository: short(repository.unwrap_or_default()),
    })
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(repository: &str, arch: &str) -> GenerationKey {
        GenerationKey {
            repository: repository.parse().unwrap(),
            arch: arch.parse().unwrap(),
        }
    }

    #[test]
    fn a_request_that_does_not_name_both_is_about_the_first() {
        let places = [place("b", "x86_64"), place("a", "x86_64"), place("a", "aarch64")];
        for (architecture, repository) in [
            (None, None),
            (Some("x86_64"), None),
            (None, Some("b")),
            (Some(""), Some("b")),
            (Some("x86_64"), Some("")),
        ] {
            assert_eq!(
                named(&places, architecture, repository),
                Ok(place("a", "aarch64"))
            );
        }
        assert_eq!(named(&places, Some("x86_64"), Some("b")), Ok(places[0].clone()));
    }

    #[test]
    fn an_unknown_pair_is_named_in_the_answer() {
        let error = named(&[place("a", "x86_64")], Some("i686"), Some("../a")).unwrap_err();
        assert_eq!(error.to_string(), "Repository i686-../a is unknown");
    }
}
