//! The settings of a mesh that this binary reads: their names, their defaults, and what may be set.

use pacmesh_protocol::{
    ledger::{kinds::GenerationKey, view::View},
    names::{Architecture, EnvironmentName, RepositoryName},
};
use pacmesh_signing::policy::Demand;

/// The repositories of the mesh, separated by spaces; the first is the default.
pub const REPOSITORIES: &str = "repositories";
/// The text of the mesh-wide makepkg.conf.
pub const MAKEPKG_CONF: &str = "makepkg.conf";
/// How many replicas shall hold what is in force (DESIGN, "Shared state").
pub const COPIES: &str = "replication.copies";
/// What the master asks of signatures (DESIGN, "Publishing").
pub const VERIFY: &str = "sign.verify";

/// Whether archives may be uploaded over HTTP.
pub const ARCHIVE_UPLOAD: &str = "http.archive_upload";
/// Longest part of an upload, in bytes.
pub const MAX_BODY_SIZE: &str = "http.max_body_size";
/// Whether only what workers are asked for is served, and nothing that is known of packages.
pub const SERVICE_ONLY: &str = "http.service_only";
/// Whether whoever only looks need not log in.
pub const ALLOW_READ_ONLY: &str = "http.allow_read_only";
/// Which web pages of other servers may ask the API, separated by spaces; `*` is all.
pub const CORS_ORIGINS: &str = "http.cors_allow_origins";

/// For how many days ended jobs are remembered (FORMATS, "Numbers": horizon).
pub const HORIZON_DAYS: &str = "ledger.horizon_days";

/// The architectures of a repository, separated by spaces.
pub fn arches_of(repository: &RepositoryName) -> String {
    format!("repository.{repository}.arches")
}

/// The one environment that a repository accepts; set by its first build.
pub fn environment_of(repository: &RepositoryName) -> String {
    format!("repository.{repository}.environment")
}

/// Whether a node takes no new work.
pub fn drain_of(node: &pacmesh_protocol::ids::NodeId) -> String {
    format!("node.{node}.drain")
}

/// Why a setting is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such name.
    #[error(
        "'{0}' is not a setting: known are {COPIES}, {VERIFY}, {HORIZON_DAYS}, {MAKEPKG_CONF}, {REPOSITORIES}, repository.NAME.arches, {ARCHIVE_UPLOAD}, {MAX_BODY_SIZE}, {SERVICE_ONLY}, {ALLOW_READ_ONLY}, {CORS_ORIGINS}"
    )]
    Unknown(String),
    /// Not a value of it.
    #[error("'{value}' is not a value of {name}: expected {expected}")]
    Value {
        /// Which setting.
        name: String,
        /// What was given.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
}

/// Whether `value` may be set; empty means "as by default" and always may.
pub fn check(name: &str, value: &str) -> Result<(), SettingError> {
    let wrong = |expected| {
        Err(SettingError::Value {
            name: name.to_owned(),
            value: value.chars().take(80).collect(),
            expected,
        })
    };
    let words = |valid: fn(&str) -> bool| !value.trim().is_empty() && value.split_whitespace().all(valid);
    let known = match name {
        COPIES | VERIFY | HORIZON_DAYS | MAKEPKG_CONF | REPOSITORIES => true,
        ARCHIVE_UPLOAD | MAX_BODY_SIZE | SERVICE_ONLY | ALLOW_READ_ONLY | CORS_ORIGINS => true,
        _ => {
            let part = name
                .strip_prefix("repository.")
                .and_then(|rest| rest.rsplit_once('.'));
            let drain = name
                .strip_prefix("node.")
                .and_then(|rest| rest.strip_suffix(".drain"));
            matches!(part, Some((repository, "arches" | "environment")) if repository.parse::<RepositoryName>().is_ok())
                || drain.is_some_and(|node| node.parse::<pacmesh_protocol::ids::NodeId>().is_ok())
        }
    };
    if !known {
        return Err(SettingError::Unknown(name.chars().take(80).collect()));
    }
    if value.is_empty() {
        return Ok(());
    }
    match name {
        COPIES if !value.parse::<u32>().is_ok_and(|n| (1..=16).contains(&n)) => {
            wrong("a number from 1 to 16")
        }
        HORIZON_DAYS if !value.parse::<u32>().is_ok_and(|n| (1..=36_500).contains(&n)) => {
            wrong("a number of days from 1 to 36500")
        }
        ARCHIVE_UPLOAD | SERVICE_ONLY | ALLOW_READ_ONLY if value.parse::<bool>().is_err() => {
            wrong("true or false")
        }
        MAX_BODY_SIZE if value.parse::<u64>().is_err() => wrong("a number of bytes"),
        VERIFY if value.parse::<Demand>().is_err() => wrong("required, present or copy"),
        REPOSITORIES if !words(|word| word.parse::<RepositoryName>().is_ok()) => wrong("repository names"),
        _ if name.ends_with(".arches") && !words(|word| word.parse::<Architecture>().is_ok()) => {
            wrong("architectures such as x86_64 aarch64")
        }
        _ if name.ends_with(".environment") && value.parse::<EnvironmentName>().is_err() => {
            wrong("an environment such as host:debian-12")
        }
        _ => Ok(()),
    }
}

/// The settings as typed values, for one view.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a>(pub &'a View);

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.setting(name).filter(|value| !value.is_empty())
    }

    /// All repositories, the default one first.
    pub fn repositories(&self) -> Vec<RepositoryName> {
        let names = self.get(REPOSITORIES).unwrap_or("pacmesh");
        names
            .split_whitespace()
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    /// The architectures of a repository.
    pub fn arches(&self, repository: &RepositoryName) -> Vec<Architecture> {
        let names = self.get(&arches_of(repository)).unwrap_or(std::env::consts::ARCH);
        names
            .split_whitespace()
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    /// The one environment that a repository accepts, once it has one.
    pub fn environment(&self, repository: &RepositoryName) -> Option<EnvironmentName> {
        self.get(&environment_of(repository))?.parse().ok()
    }

    /// How many copies are wanted; 2 by default (FORMATS, "Numbers").
    pub fn copies(&self) -> u32 {
        self.get(COPIES).and_then(|value| value.parse().ok()).unwrap_or(2)
    }

    /// For how many days ended jobs are remembered; 180 by default.
    pub fn horizon_days(&self) -> u32 {
        self.get(HORIZON_DAYS)
            .and_then(|value| value.parse().ok())
            .unwrap_or(180)
    }

    /// What is asked of signatures; `required` by default.
    pub fn verify(&self) -> Demand {
        self.get(VERIFY)
            .and_then(|value| value.parse().ok())
            .unwrap_or(Demand::Required)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    /// Whether archives may be uploaded over HTTP; no by default.
    pub fn archive_upload(&self) -> bool {
        self.flag(ARCHIVE_UPLOAD, false)
    }

    /// Longest part of an upload, in bytes; that of an archive by default.
    pub fn max_body_size(&self) -> u64 {
        self.get(MAX_BODY_SIZE)
            .and_then(|value| value.parse().ok())
            .unwrap_or(crate::blobs::BLOB_LIMIT)
    }

    /// Whether nothing that is known of packages is served; no by default.
    pub fn service_only(&self) -> bool {
        self.flag(SERVICE_ONLY, false)
    }

    /// Whether whoever only looks need not log in; yes by default.
    pub fn allow_read_only(&self) -> bool {
        self.flag(ALLOW_READ_ONLY, true)
    }

    /// Which web pages of other servers may ask the API; all by default, as with ahriman.
    pub fn cors_origins(&self) -> &str {
        self.get(CORS_ORIGINS).unwrap_or("*")
    }

    /// Every repository with each of its architectures.
    pub fn places(&self) -> Vec<GenerationKey> {
        let places = self.repositories().into_iter().flat_map(|repository| {
            let arches = self.arches(&repository);
            arches.into_iter().map(move |arch| GenerationKey {
                repository: repository.clone(),
                arch,
            })
        });
        places.collect()
    }

    /// The mesh-wide makepkg.conf.
    pub fn makepkg_conf(&self) -> &str {
        self.0
            .setting(MAKEPKG_CONF)
            .filter(|value| !value.is_empty())
            .unwrap_or(crate::worker::DEFAULT_MAKEPKG_CONF)
    }

    /// Whether a node was told to take no new work.
    pub fn is_draining(&self, node: &pacmesh_protocol::ids::NodeId) -> bool {
        self.get(&drain_of(node)) == Some("1")
    }
}

/// What goes into pacman.conf.
pub fn stanza(repository: &RepositoryName, servers: &[String]) -> String {
    let mut text = format!("[{repository}]\nSigLevel = Required DatabaseOptional\n");
    for server in servers {
        text.push_str(&format!("Server = {server}/$repo/$arch\n"));
    }
    text
}
