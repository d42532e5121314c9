//! What a server says of itself.

use serde::Serialize;

use super::place::RepositoryId;

/// The first version of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InfoV1 {
    /// Whether one has to log in.
    pub auth: bool,
    /// What there is.
    pub repositories: Vec<RepositoryId>,
    /// Of the software.
    pub version: String,
}

/// How one logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthInfo {
    /// A button for a page.
    pub control: String,
    /// Whether one has to.
    pub enabled: bool,
    /// Whether somebody else judges.
    pub external: bool,
    /// Who is logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// The second version of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InfoV2 {
    /// How one logs in.
    pub auth: AuthInfo,
    /// How often a page looks again.
    pub autorefresh_intervals: Vec<u64>,
    /// Whether there is documentation.
    pub docs_enabled: bool,
    /// What there is.
    pub repositories: Vec<RepositoryId>,
    /// Of the software.
    pub version: String,
}
