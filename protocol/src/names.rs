//! Names from outside: each is a type that cannot hold a wrong value, and only such a value becomes part of a path.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}: {rule}")]
pub struct NameError {
    text: String,
    what: &'static str,
    rule: &'static str,
}

impl NameError {
    fn new(text: &str, what: &'static str, rule: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            what,
            rule,
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError::new(text, $what, $rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(
    /// The display name of a node, unique in its mesh: `desktop-2`.
    NodeName, "a node name", "1 to 63 of a-z A-Z 0-9 . _ -, starting with a letter or digit", is_label
);
name!(
    /// The display name of a mesh.
    MeshName, "a mesh name", "1 to 63 of a-z A-Z 0-9 . _ -, starting with a letter or digit", is_label
);
name!(
    /// A pacman repository: the section name in pacman.conf and a folder name.
    RepositoryName, "a repository name", "1 to 63 of a-z A-Z 0-9 . _ -, starting with a letter or digit", is_repository
);
name!(
    /// A CPU architecture in pacman's words: `x86_64`, `aarch64`, `any`.
    Architecture, "an architecture", "1 to 32 of a-z A-Z 0-9 _", is_architecture
);
name!(
    /// A package name or package base (PKGBUILD(5), pkgname).
    PackageName, "a package name", "1 to 128 of a-z A-Z 0-9 @ . _ + -, not starting with - or .", is_package
);
name!(
    /// A build environment: `arch:clean`, `host:debian-12`.
    EnvironmentName, "an environment", "two words of a-z 0-9 . _ - with a colon between, 64 characters at most", is_environment
);

impl Architecture {
    /// The architecture of packages that run on all.
    pub fn any() -> Self {
        Self("any".to_owned())
    }

    /// Whether this is `any`.
    pub fn is_any(&self) -> bool {
        self.0 == "any"
    }
}

fn starts_alphanumeric(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn is_label(text: &str) -> bool {
    text.len() <= 63
        && starts_alphanumeric(text)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_repository(text: &str) -> bool {
    is_label(text) && text != "local"
}

fn is_architecture(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_package(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b))
}

fn is_environment(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    text.len() <= 64
        && text
            .split_once(':')
            .is_some_and(|(kind, rest)| word(kind) && word(rest))
}

/// A full version, `[epoch:]pkgver-pkgrel`, in the grammar on which alpm's comparison is a total order.
///
/// `pkgver` is alphanumeric groups joined by single separators of `.`, `_` and `+`; `pkgrel` is `N` or `N.M`.
/// vercmp(8) is not transitive on everything that makepkg accepts, so anything else is refused (FORMATS, "Kinds").
/// `Ord` is alpm's comparison and then the bytes, so that equal means the same text.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageVersion(String);

impl PackageVersion {
    const RULE: &'static str = "expected [epoch:]pkgver-pkgrel, where pkgver is letters and digits joined by single \
                                '.', '_' or '+' and pkgrel is N or N.M (change pkgver in the PKGBUILD)";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the last `-`: `[epoch:]pkgver`.
    pub fn upstream(&self) -> &str {
        self.0
            .rsplit_once('-')
            .map_or(self.0.as_str(), |(upstream, _)| upstream)
    }

    /// The part behind the last `-`.
    pub fn pkgrel(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(_, pkgrel)| pkgrel)
    }

    /// The same version at another pkgrel.
    pub fn with_pkgrel(&self, pkgrel: &str) -> Result<Self, NameError> {
        format!("{}-{pkgrel}", self.upstream()).parse()
    }

    /// The next pkgrel to try when this one is taken: `N` → `N.1`, `N.m` → `N.(m+1)` (FORMATS, "Jobs and attempts").
    pub fn next_pkgrel(&self) -> Result<Self, NameError> {
        let pkgrel = self.pkgrel();
        let next = match pkgrel.split_once('.') {
            None => format!("{pkgrel}.1"),
            Some((major, minor)) => {
                let minor: u32 = minor
                    .parse()
                    .map_err(|_| NameError::new(&self.0, "a package version", Self::RULE))?;
                format!("{major}.{}", minor.saturating_add(1))
            }
        };
        self.with_pkgrel(&next)
    }

    fn is_valid(text: &str) -> bool {
        let Some((upstream, pkgrel)) = text.rsplit_once('-') else {
            return false;
        };
        let (epoch, pkgver) = upstream.split_once(':').unwrap_or(("0", upstream));
        text.len() <= 128
            && is_number(epoch)
            && pkgver.split(['.', '_', '+']).all(is_group)
            && pkgrel.split('.').count() <= 2
            && pkgrel.split('.').all(is_number)
    }
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_group(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl FromStr for PackageVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let version = Self::is_valid(text) && alpm_types::FullVersion::from_str(text).is_ok();
        if version {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, "a version that can be ordered", Self::RULE))
        }
    }
}

impl TryFrom<String> for PackageVersion {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PackageVersion> for String {
    fn from(version: PackageVersion) -> Self {
        version.0
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Ord for PackageVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let parsed = |text: &str| alpm_types::FullVersion::from_str(text).ok();
        let by_alpm = match (parsed(&self.0), parsed(&other.0)) {
            (Some(ours), Some(theirs)) => ours.cmp(&theirs),
            _ => Ordering::Equal,
        };
        by_alpm.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for PackageVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The file name of a package archive, `name-[epoch:]pkgver-pkgrel-arch.pkg.tar[.ext]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageFileName {
    name: PackageName,
    version: PackageVersion,
    arch: Architecture,
    extension: String,
}

impl PackageFileName {
    const EXTENSIONS: [&'static str; 5] = [
        "pkg.tar.zst",
        "pkg.tar.gz",
        "pkg.tar.xz",
        "pkg.tar.bz2",
        "pkg.tar",
    ];

    /// The package.
    pub const fn name(&self) -> &PackageName {
        &self.name
    }

    /// The full version.
    pub const fn version(&self) -> &PackageVersion {
        &self.version
    }

    /// The architecture.
    pub const fn arch(&self) -> &Architecture {
        &self.arch
    }

    /// The name of its detached signature.
    pub fn signature(&self) -> String {
        format!("{self}.sig")
    }
}

impl fmt::Display for PackageFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}.{}",
            self.name, self.version, self.arch, self.extension
        )
    }
}

impl From<PackageFileName> for String {
    fn from(name: PackageFileName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for PackageFileName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl FromStr for PackageFileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || {
            NameError::new(
                text,
                "a package file name",
                "expected name-[epoch:]pkgver-pkgrel-arch.pkg.tar.*",
            )
        };
        let extension = Self::EXTENSIONS
            .into_iter()
            .find(|e| text.ends_with(&format!(".{e}")))
            .filter(|_| text.len() <= 255)
            .ok_or_else(wrong)?;
        let stem = &text[..text.len() - extension.len() - 1];
        let parts: Vec<_> = stem.rsplitn(4, '-').collect();
        let [arch, pkgrel, pkgver, name] = parts[..] else {
            return Err(wrong());
        };
        Ok(Self {
            name: name.parse()?,
            version: format!("{pkgver}-{pkgrel}").parse()?,
            arch: arch.parse()?,
            extension: extension.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_outside_the_grammar_are_refused_in_plain_words() {
        for wrong in [
            "1.0",
            "1..0-1",
            "1.-1",
            ".1-1",
            "1.0-1.2.3",
            "1.0-a",
            "a:1-1",
            "1 0-1",
            "1~rc-1",
            "-1",
            "1.0-",
        ] {
            let error = wrong.parse::<PackageVersion>().unwrap_err().to_string();
            assert!(error.contains("pkgver"), "{wrong}: {error}");
        }
        for right in ["1.0-1", "2:1.0.r5.gabc-1.1", "1_2+3-10", "20240101-1"] {
            assert!(right.parse::<PackageVersion>().is_ok(), "{right}");
        }
    }

    #[test]
    fn a_taken_pkgrel_is_followed_by_the_next_minor() {
        let version: PackageVersion = "1:2.0-3".parse().unwrap();
        let next = version.next_pkgrel().unwrap();
        assert_eq!(next.as_str(), "1:2.0-3.1");
        assert_eq!(next.next_pkgrel().unwrap().as_str(), "1:2.0-3.2");
        assert!(version < next);
    }

    #[test]
    fn inv7_only_a_package_file_name_becomes_a_path() {
        for wrong in [
            "../a-1-1-any.pkg.tar.zst",
            "a/b-1-1-any.pkg.tar.zst",
            "a-1-1-any.tar.zst",
            "-a-1-1-any.pkg.tar.zst",
            "a-1-1-any.pkg.tar.zst\0",
            "a-1-any.pkg.tar.zst",
            ".pkg.tar.zst",
        ] {
            assert!(wrong.parse::<PackageFileName>().is_err(), "{wrong}");
        }
        let name: PackageFileName = "lib-x-2:1.0-1.1-x86_64.pkg.tar.zst".parse().unwrap();
        assert_eq!(
            (name.name().as_str(), name.version().as_str()),
            ("lib-x", "2:1.0-1.1")
        );
        assert_eq!(name.to_string(), "lib-x-2:1.0-1.1-x86_64.pkg.tar.zst");
    }
}
