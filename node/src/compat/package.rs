//! Packages as the contract describes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    place::RepositoryId,
    status::{BuildStatus, Status},
};

/// What kind of source a package has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageSource {
    /// To be found out.
    Auto,
    /// An archive.
    Archive,
    /// The AUR.
    Aur,
    /// A directory of archives.
    Directory,
    /// A PKGBUILD that somebody has.
    Local,
    /// An archive somewhere.
    Remote,
    /// A repository of the distribution.
    Repository,
}

/// Where the source of a package is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteSource {
    /// What kind.
    pub source: PackageSource,
    /// To clone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub git_url: Option<String>,
    /// To look at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub web_url: Option<String>,
    /// In the clone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// Of the clone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
}

impl RemoteSource {
    /// One of which only the kind is known.
    pub const fn of(source: PackageSource) -> Self {
        Self {
            source,
            git_url: None,
            web_url: None,
            path: None,
            branch: None,
        }
    }

    /// A clone of `url`.
    pub fn git(source: PackageSource, url: String, branch: &str) -> Self {
        Self {
            git_url: Some(url),
            path: Some(".".to_owned()),
            branch: Some(branch.to_owned()),
            ..Self::of(source)
        }
    }
}

/// One member of a base. Lists are always there, the rest as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PackageProperties {
    /// Its architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Bytes of its archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_size: Option<u64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_date: Option<i64>,
    /// Needed to run.
    #[serde(deserialize_with = "trimmed")]
    pub depends: Vec<String>,
    /// Needed to build.
    #[serde(deserialize_with = "trimmed")]
    pub make_depends: Vec<String>,
    /// Useful.
    #[serde(deserialize_with = "trimmed")]
    pub opt_depends: Vec<String>,
    /// Needed to check.
    #[serde(deserialize_with = "trimmed")]
    pub check_depends: Vec<String>,
    /// One line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of its archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Groups.
    #[serde(deserialize_with = "list")]
    pub groups: Vec<String>,
    /// Bytes once installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed_size: Option<u64>,
    /// Licences.
    #[serde(deserialize_with = "list")]
    pub licenses: Vec<String>,
    /// What else it stands for.
    #[serde(deserialize_with = "trimmed")]
    pub provides: Vec<String>,
    /// Home page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Absent and null are an empty list.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

fn trimmed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(list(deserializer)?.iter().map(|text| bare(text)).collect())
}

/// The name in a dependency or provision: `foo>=1`, `foo=1:2` and `foo: desc` are about `foo`.
pub fn bare(text: &str) -> String {
    let end = text.find(['<', '=', '>', ':']).unwrap_or(text.len());
    text[..end].trim().to_owned()
}

/// A package base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub base: String,
    /// `[epoch:]pkgver-pkgrel`.
    pub version: String,
    /// Where its source is.
    pub remote: RemoteSource,
    /// Its members.
    #[serde(default)]
    pub packages: BTreeMap<String, PackageProperties>,
    /// Who packed it, or who asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub packager: Option<String>,
}

/// A package and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageStatus {
    /// Which.
    pub package: Package,
    /// How.
    pub status: Status,
    /// Where.
    pub repository: RepositoryId,
}

/// What is said of a package: how it stands, and perhaps what it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PackageUpdate {
    /// How it stands.
    pub status: BuildStatus,
    /// What it is.
    #[serde(default)]
    pub package: Option<Package>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::json;

    #[test]
    fn dependencies_are_names_only() {
        for (text, name) in [
            ("foo>=1", "foo"),
            ("foo=1:2", "foo"),
            ("foo: desc foo", "foo"),
            ("foo<2", "foo"),
        ] {
            assert_eq!(bare(text), name, "{text}");
        }
    }

    #[test]
    fn a_package_as_a_worker_sends_it_comes_back_as_it_was() {
        let text = r#"{"base": "hello", "version": "1.0-2", "remote": {"source": "local", "git_url": "file:///srv/src/hello", "path": ".", "branch": "master"},
            "packages": {"hello": {"architecture": "x86_64", "archive_size": 2596, "build_date": 1795466205, "depends": ["base>=1"], "description": "test", "extra": 1, "url": null}},
            "packager": "bot <bot@example.invalid>", "web": true}"#;
        let package: Package = json::parse(text.as_bytes()).unwrap();
        let again: serde_json::Value = serde_json::from_slice(&json::bytes(&package)).unwrap();
        let hello = &again["packages"]["hello"];
        assert_eq!(hello["depends"], serde_json::json!(["base"]));
        assert_eq!(hello["make_depends"], serde_json::json!([]));
        assert!(hello.get("url").is_none() && again.get("web").is_none());
        assert_eq!(again["remote"]["git_url"], "file:///srv/src/hello");
    }

    #[test]
    fn a_package_without_a_kind_of_source_is_refused() {
        for text in [
            r#"{"base": "a", "version": "1-1"}"#,
            r#"{"base": "a", "version": "1-1", "remote": {}}"#,
            r#"{"base": "a", "version": "1-1", "remote": {"source": "floppy"}}"#,
            r#"{"version": "1-1", "remote": {"source": "aur"}}"#,
        ] {
            assert!(json::parse::<Package>(text.as_bytes()).is_err(), "{text}");
        }
        let sparse = br#"{"base": "a", "version": "1-1", "remote": {"source": "aur"}}"#;
        assert!(json::parse::<Package>(sparse).unwrap().packages.is_empty());
    }
}
