//! Dependency strings, and what satisfies them (PKGBUILD(5), `depends` and `provides`).
//!
//! Versions are compared as libalpm does: by alpm's order, a missing epoch is 0, and pkgrel counts only if both sides
//! have one. `libfoo.so=2-64` is a name and a version like any other.

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::names::{PackageName, PackageVersion};

/// Greatest length of a dependency or provision, in bytes: twice what a name and a version may have.
const LENGTH_LIMIT: usize = 512;

/// A text that is no dependency or provision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}: expected {form}")]
pub struct DependencyError {
    text: String,
    what: &'static str,
    form: &'static str,
}

/// How a dependency bounds the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Longer signs first, so that `<=` is not read as `<`.
    const SIGNS: [(&'static str, Self); 5] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        ("=", Self::Equal),
        (">", Self::Greater),
    ];

    const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
        }
    }

    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// What a package needs: `name[<|<=|=|>=|>version]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    name: String,
    bound: Option<(Comparison, String)>,
}

impl Dependency {
    /// The name that must be provided.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Dependency {
    type Err = DependencyError;

    fn from_str(text: &str) -> Result<Self, DependencyError> {
        let wrong = || refused(text, "a dependency", "name[<|<=|=|>=|>version]");
        let (name, bound) = match text.find(['<', '=', '>']) {
            None => (text, None),
            Some(at) => {
                let (name, rest) = text.split_at(at);
                let (comparison, version) = Comparison::SIGNS
                    .into_iter()
                    .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?)))
                    .ok_or_else(wrong)?;
                (name, Some((comparison, version)))
            }
        };
        let version_fits = bound.is_none_or(|(_, version)| is_word(version));
        if text.len() > LENGTH_LIMIT || !is_word(name) || !version_fits {
            return Err(wrong());
        }
        Ok(Self {
            name: name.to_owned(),
            bound: bound.map(|(comparison, version)| (comparison, version.to_owned())),
        })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.bound {
            Some((comparison, version)) => write!(f, "{}{version}", comparison.sign()),
            None => Ok(()),
        }
    }
}

/// What a package is good for: `name[=version]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Provide {
    name: String,
    version: Version,
}

/// How much is known of a provided version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    /// A provision without one satisfies only dependencies without one.
    None,
    /// This one.
    Known(String),
    /// Whatever is asked for: the host's names, and a package whose `pkgver()` has yet to run.
    Any,
}

impl Provide {
    /// A package provides its own name at its version.
    pub fn package(name: &PackageName, version: &PackageVersion) -> Self {
        Self {
            name: name.to_string(),
            version: Version::Known(version.to_string()),
        }
    }

    /// A name at whatever version is asked for.
    pub fn any_version(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: Version::Any,
        }
    }

    /// The name that is provided.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Provide {
    type Err = DependencyError;

    fn from_str(text: &str) -> Result<Self, DependencyError> {
        let (name, version) = match text.split_once('=') {
            None => (text, None),
            Some((name, version)) => (name, Some(version)),
        };
        if text.len() > LENGTH_LIMIT || !is_word(name) || !version.is_none_or(is_word) {
            return Err(refused(text, "a provision", "name[=version]"));
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.map_or(Version::None, |version| Version::Known(version.to_owned())),
        })
    }
}

/// Whether `provide` is what `dependency` asks for.
pub fn satisfies(provide: &Provide, dependency: &Dependency) -> bool {
    if provide.name != dependency.name {
        return false;
    }
    match (&provide.version, &dependency.bound) {
        (_, None) | (Version::Any, _) => true,
        (Version::None, Some(_)) => false,
        (Version::Known(version), Some((comparison, wanted))) => {
            compare(version, wanted).is_some_and(|order| comparison.allows(order))
        }
    }
}

/// `None` if the versions differ and one of them cannot be ordered: then nothing is promised about them.
fn compare(version: &str, wanted: &str) -> Option<Ordering> {
    if version == wanted {
        return Some(Ordering::Equal);
    }
    let version: alpm_types::Version = version.parse().ok()?;
    let wanted: alpm_types::Version = wanted.parse().ok()?;
    let epoch = |version: &alpm_types::Version| version.epoch.map_or(0, |epoch| epoch.0);
    let release = match (&version.pkgrel, &wanted.pkgrel) {
        (Some(ours), Some(theirs)) => ours.cmp(theirs),
        _ => Ordering::Equal,
    };
    Some(
        epoch(&version)
            .cmp(&epoch(&wanted))
            .then_with(|| version.pkgver.cmp(&wanted.pkgver))
            .then(release),
    )
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'=' | b'>' | b'\'' | b'/'))
}

fn refused(text: &str, what: &'static str, form: &'static str) -> DependencyError {
    DependencyError {
        text: text.chars().take(80).flat_map(char::escape_debug).collect(),
        what,
        form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(provide: &str, dependency: &str) -> bool {
        satisfies(&provide.parse().unwrap(), &dependency.parse().unwrap())
    }

    #[test]
    fn a_bound_is_judged_by_alpms_order() {
        for (provide, dependency) in [
            ("foo", "foo"),
            ("foo=1.10-1", "foo>1.9"),
            ("foo=1-3", "foo=1"),
            ("foo=1-3", "foo<=1-3"),
            ("foo=1-3", "foo>1-2"),
            ("foo=0:1-1", "foo=1"),
            ("foo=1:0.1-1", "foo>=9"),
            ("foo=1", "foo=1-7"),
            ("libfoo.so=2-64", "libfoo.so=2-64"),
            ("libfoo.so=2-64", "libfoo.so"),
        ] {
            assert!(meets(provide, dependency), "{provide} for {dependency}");
        }
        for (provide, dependency) in [
            ("foo", "foo>=1"),
            ("foo", "bar"),
            ("foo=1.9-1", "foo>1.9"),
            ("foo=1-3", "foo<1"),
            ("libfoo.so=2-64", "libfoo.so=2-32"),
            ("libfoo.so=2-64", "libfoo.so=3-64"),
        ] {
            assert!(!meets(provide, dependency), "{provide} for {dependency}");
        }
    }

    #[test]
    fn a_name_of_the_host_satisfies_any_bound() {
        assert!(satisfies(
            &Provide::any_version("gcc"),
            &"gcc>=99".parse().unwrap()
        ));
        assert!(!satisfies(&Provide::any_version("gcc"), &"g++".parse().unwrap()));
    }

    #[test]
    fn what_is_no_dependency_is_refused() {
        for wrong in [
            "", "=1", "foo>>1", "foo=", "foo<=", "a b", "foo=1=2", "a\nb", "é", "a/b",
        ] {
            assert!(wrong.parse::<Dependency>().is_err(), "{wrong:?}");
        }
        for wrong in ["", "foo>1", "=1", "foo=", "foo=1=2"] {
            assert!(wrong.parse::<Provide>().is_err(), "{wrong:?}");
        }
        assert!("x".repeat(600).parse::<Dependency>().is_err());
    }

    #[test]
    fn a_dependency_prints_as_written() {
        for text in [
            "foo",
            "foo<1",
            "foo<=1",
            "foo=1:2-3",
            "foo>=1",
            "foo>1",
            "lib:libfoo.so.1",
        ] {
            assert_eq!(text.parse::<Dependency>().unwrap().to_string(), text);
        }
    }
}
