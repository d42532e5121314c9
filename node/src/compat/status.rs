//! Statuses of packages and of the service, and which of several statements is the last one.

use serde::{Deserialize, Serialize};

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStatus {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It is to be built.
    Pending,
    /// It is being built.
    Building,
    /// It could not be built, or not be published.
    Failed,
    /// It is there.
    Success,
}

impl BuildStatus {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Building => "building",
            Self::Failed => "failed",
            Self::Success => "success",
        }
    }
}

/// A status and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// How it stands.
    pub status: BuildStatus,
    /// Since when, in seconds since 1970.
    #[serde(default)]
    pub timestamp: u64,
    /// Whether it is left alone; absent until somebody said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub is_held: Option<bool>,
}

impl Status {
    /// A status since `timestamp`.
    pub const fn since(status: BuildStatus, timestamp: u64) -> Self {
        Self {
            status,
            timestamp,
            is_held: None,
        }
    }
}

/// What somebody said of something, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// How it stands.
    pub status: BuildStatus,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

impl Said {
    /// The later of what a client and the mesh itself said; of two at once the mesh's.
    pub fn latest(reported: Option<Self>, own: Option<Self>) -> Status {
        let last = match (reported, own) {
            (Some(reported), Some(own)) if reported.at_ms > own.at_ms => Some(reported),
            (_, Some(own)) => Some(own),
            (reported, None) => reported,
        };
        last.map_or_else(Status::default, |said| {
            Status::since(said.status, said.at_ms / 1000)
        })
    }
}

/// How many packages stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    total: u64,
    unknown: u64,
    pending: u64,
    building: u64,
    failed: u64,
    success: u64,
}

impl FromIterator<BuildStatus> for Counters {
    fn from_iter<T: IntoIterator<Item = BuildStatus>>(statuses: T) -> Self {
        let mut counters = Self::default();
        for status in statuses {
            counters.total += 1;
            *match status {
                BuildStatus::Unknown => &mut counters.unknown,
                BuildStatus::Pending => &mut counters.pending,
                BuildStatus::Building => &mut counters.building,
                BuildStatus::Failed => &mut counters.failed,
                BuildStatus::Success => &mut counters.success,
            } += 1;
        }
        counters
    }
}

/// How large a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RepositoryStats {
    /// Package bases.
    pub bases: u64,
    /// Packages.
    pub packages: u64,
    /// Bytes of all archives.
    pub archive_size: u64,
    /// Bytes of all that they install.
    pub installed_size: u64,
}

/// The answer to a question for the service's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InternalStatus {
    /// Of the service.
    pub status: Status,
    /// Of which architecture.
    pub architecture: String,
    /// Of which repository.
    pub repository: String,
    /// How its packages stand.
    pub packages: Counters,
    /// How large it is.
    pub stats: RepositoryStats,
    /// Of the software.
    pub version: String,
}

/// What sets a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct StatusUpdate {
    /// To what.
    pub status: BuildStatus,
}

/// What holds a package, or releases it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldUpdate {
    /// Whether it is left alone.
    pub is_held: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statement_counts_and_of_two_at_once_the_meshs_own() {
        let said = |status, at_ms| Some(Said { status, at_ms });
        let status = |reported, own| {
            let reported = said(BuildStatus::Success, reported);
            Said::latest(reported, said(BuildStatus::Failed, own)).status
        };
        assert_eq!(status(5, 4), BuildStatus::Success);
        assert_eq!(status(5, 5), BuildStatus::Failed);
        assert_eq!(status(5, 6), BuildStatus::Failed);
        let reported = Said::latest(said(BuildStatus::Success, 5999), None);
        assert_eq!(reported, Status::since(BuildStatus::Success, 5));
        assert_eq!(Said::latest(None, None), Status::default());
    }

    #[test]
    fn an_unknown_word_is_no_status_and_held_is_absent_until_said() {
        assert!(serde_json::from_str::<StatusUpdate>(r#"{"status": "done"}"#).is_err());
        assert!(serde_json::from_str::<StatusUpdate>("{}").is_err());
        let text = serde_json::to_string(&Status::since(BuildStatus::Pending, 7)).unwrap();
        assert_eq!(text, r#"{"status":"pending","timestamp":7}"#);
    }

    #[test]
    fn counters_add_up() {
        let counters: Counters = [BuildStatus::Failed, BuildStatus::Success, BuildStatus::Success]
            .into_iter()
            .collect();
        assert_eq!((counters.total, counters.failed, counters.success), (3, 1, 2));
    }
}
