//! Reading .SRCINFO: leniently, because real ones break the grammar in harmless places, then checked.
//!
//! Only what the mesh acts on must be right: names, version and architectures become newtypes or the whole is
//! refused. For the rest the alpm crates are asked and their complaint is passed on as a warning.

use std::{collections::BTreeMap, str::FromStr};

use alpm_srcinfo::SourceInfoV1;
use pacmesh_protocol::{
    names::{Architecture, NameError},
    work::{Probe, ProbedPackage},
};

use super::makepkg::PKGVER_MARK;

/// Why a .SRCINFO says nothing that can be built.
#[derive(Debug, thiserror::Error)]
pub enum SrcinfoError {
    /// A field that every .SRCINFO has is not there.
    #[error("the PKGBUILD names no {0}")]
    Missing(&'static str),
    /// A name or version outside the grammar.
    #[error("the PKGBUILD's {field} cannot be used")]
    Name {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
}

/// What a .SRCINFO says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What the mesh acts on.
    pub probe: Probe,
    /// What pacman's own grammar finds wrong; building goes on.
    pub warning: Option<String>,
}

/// Reads the metadata of a PKGBUILD for one architecture.
pub fn parse(text: &str, arch: &Architecture) -> Result<Parsed, SrcinfoError> {
    let sections = Sections::read(text);
    let base = &sections.base;
    let packages = sections
        .packages
        .iter()
        .map(|(name, package)| probed_package(name, package, base, arch))
        .collect::<Result<Vec<_>, _>>()?;
    if packages.is_empty() {
        return Err(SrcinfoError::Missing("pkgname"));
    }
    let probe = Probe {
        base: name("pkgbase", sections.base_name.as_deref())?,
        version: version(base)?,
        arches: arches(&sections)?,
        has_pkgver: text.lines().any(|line| line == PKGVER_MARK),
        makedepends: makedepends(base, &packages, arch),
        checkdepends: base.all("checkdepends", arch),
        packages,
    };
    let warning = SourceInfoV1::from_string(text)
        .err()
        .map(|error| error.to_string());
    Ok(Parsed { probe, warning })
}

fn probed_package(
    package: &str,
    fields: &Fields,
    base: &Fields,
    arch: &Architecture,
) -> Result<ProbedPackage, SrcinfoError> {
    let is_any = fields.or(base, "arch").iter().any(|arch| arch == "any");
    Ok(ProbedPackage {
        name: name("pkgname", Some(package))?,
        arch: if is_any { Architecture::any() } else { arch.clone() },
        depends: fields.all_or(base, "depends", arch),
        provides: fields.all_or(base, "provides", arch),
    })
}

/// What makepkg would want before building: `makedepends`, and the `depends` of the base that its packages replace.
fn makedepends(base: &Fields, packages: &[ProbedPackage], arch: &Architecture) -> Vec<String> {
    let mut wanted = base.all("makedepends", arch);
    for depend in base.all("depends", arch) {
        let is_known = packages.iter().any(|package| package.depends.contains(&depend));
        if !is_known && !wanted.contains(&depend) {
            wanted.push(depend);
        }
    }
    wanted
}

fn arches(sections: &Sections) -> Result<Vec<Architecture>, SrcinfoError> {
    let mut arches: Vec<Architecture> = Vec::new();
    let of_packages = sections.packages.iter().map(|(_, fields)| fields);
    for text in std::iter::once(&sections.base)
        .chain(of_packages)
        .flat_map(|fields| fields.get("arch"))
    {
        let arch = name("arch", Some(text))?;
        if !arches.contains(&arch) {
            arches.push(arch);
        }
    }
    match arches.is_empty() {
        true => Err(SrcinfoError::Missing("arch")),
        false => Ok(arches),
    }
}

fn version(base: &Fields) -> Result<pacmesh_protocol::names::PackageVersion, SrcinfoError> {
    let one = |key| base.get(key).first();
    let pkgver = one("pkgver").ok_or(SrcinfoError::Missing("pkgver"))?;
    let pkgrel = one("pkgrel").ok_or(SrcinfoError::Missing("pkgrel"))?;
    let epoch = one("epoch").filter(|epoch| *epoch != "0");
    let epoch = epoch.map_or(String::new(), |epoch| format!("{epoch}:"));
    name("version", Some(&format!("{epoch}{pkgver}-{pkgrel}")))
}

fn name<T: FromStr<Err = NameError>>(field: &'static str, text: Option<&str>) -> Result<T, SrcinfoError> {
    text.ok_or(SrcinfoError::Missing(field))?
        .parse()
        .map_err(|source| SrcinfoError::Name { field, source })
}

/// The fields of one section; a key may stand several times, and once with nothing behind it to clear it.
#[derive(Debug, Default)]
struct Fields(BTreeMap<String, Vec<String>>);

impl Fields {
    fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn or<'a>(&'a self, base: &'a Self, key: &str) -> &'a [String] {
        self.0.get(key).map_or_else(|| base.get(key), Vec::as_slice)
    }

    /// With what the key adds for one architecture.
    fn all(&self, key: &str, arch: &Architecture) -> Vec<String> {
        self.all_or(&Self::default(), key, arch)
    }

    fn all_or(&self, base: &Self, key: &str, arch: &Architecture) -> Vec<String> {
        let special = format!("{key}_{arch}");
        let mut values = self.or(base, key).to_vec();
        values.extend_from_slice(self.or(base, &special));
        values
    }
}

#[derive(Debug, Default)]
struct Sections {
    base_name: Option<String>,
    base: Fields,
    packages: Vec<(String, Fields)>,
}

impl Sections {
    fn read(text: &str) -> Self {
        let mut sections = Self::default();
        for line in text.lines() {
            let line = line.trim();
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            match key {
                "pkgbase" => sections.base_name = Some(value.to_owned()),
                "pkgname" => sections.packages.push((value.to_owned(), Fields::default())),
                _ => sections.add(key, value),
            }
        }
        sections
    }

    fn add(&mut self, key: &str, value: &str) {
        let fields = match self.packages.last_mut() {
            Some((_, fields)) => fields,
            None => &mut self.base,
        };
        let values = fields.0.entry(key.to_owned()).or_default();
        if !value.is_empty() {
            values.push(value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = "\
pkgbase = tools
\tpkgver = 1.2
\tpkgrel = 3
\tepoch = 1
\turl = not a url
\tarch = x86_64
\tarch = aarch64
\tmakedepends = cmake>=3
\tmakedepends_x86_64 = nasm
\tdepends = glibc
\tdepends = libbase

pkgname = tools-a
\tdepends = glibc
\tdepends_x86_64 = libx
\tprovides = toola=1.2

pkgname = tools-b
\tarch = any
\tdepends =
# pacmesh: the PKGBUILD has a pkgver() function
";

    fn x86() -> Architecture {
        "x86_64".parse().unwrap()
    }

    #[test]
    fn packages_of_a_split_base_keep_or_replace_what_the_base_says() {
        let Parsed { probe, warning } = parse(SPLIT, &x86()).unwrap();
        assert_eq!(probe.version.as_str(), "1:1.2-3");
        assert_eq!(probe.arches.len(), 3);
        assert!(probe.has_pkgver);
        assert_eq!(probe.packages[0].depends, ["glibc", "libx"]);
        assert_eq!(probe.packages[0].provides, ["toola=1.2"]);
        assert!(probe.packages[1].arch.is_any());
        assert!(probe.packages[1].depends.is_empty());
        assert_eq!(probe.makedepends, ["cmake>=3", "nasm", "libbase"]);
        assert!(warning.is_some(), "alpm has words about that url");
    }

    #[test]
    fn versions_outside_the_grammar_are_refused_with_the_field() {
        let text = SPLIT.replace("pkgver = 1.2", "pkgver = 1..2");
        let error = parse(&text, &x86()).unwrap_err();
        assert_eq!(error.to_string(), "the PKGBUILD's version cannot be used");
        assert!(matches!(parse("", &x86()), Err(SrcinfoError::Missing("pkgname"))));
    }
}
