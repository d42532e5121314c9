//! What is provided: the packages in force of one (repository, architecture), and the names of the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::Digest,
    names::{PackageFileName, PackageName, PackageVersion},
    schedule::depends::{Dependency, Provide, satisfies},
};

/// A package in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPackage {
    /// Its name.
    pub name: PackageName,
    /// Its full version.
    pub version: PackageVersion,
    /// Its base.
    pub base: PackageName,
    /// `provides` of its metadata, as written; what is no provision provides nothing.
    pub provides: Vec<String>,
    /// `depends` of its metadata, as written.
    pub depends: Vec<String>,
    /// Its archive's name.
    pub file: PackageFileName,
    /// Its archive.
    pub archive: Digest,
}

/// All that is provided for one (repository, architecture) in its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    packages: BTreeMap<PackageName, CatalogPackage>,
    provided: BTreeMap<String, Vec<(Provide, PackageName)>>,
    host: BTreeSet<String>,
}

impl Catalog {
    /// Indexes the packages in force. The names of `host` carry no version and satisfy any bound: a host without a
    /// pacman database cannot say which versions it has, and its makepkg checks none.
    pub fn new(packages: impl IntoIterator<Item = CatalogPackage>, host: BTreeSet<String>) -> Self {
        let packages: BTreeMap<_, _> = packages
            .into_iter()
            .map(|package| (package.name.clone(), package))
            .collect();
        let mut provided: BTreeMap<String, Vec<(Provide, PackageName)>> = BTreeMap::new();
        for package in packages.values() {
            for provide in provisions(&package.name, &package.version, &package.provides) {
                provided
                    .entry(provide.name().to_owned())
                    .or_default()
                    .push((provide, package.name.clone()));
            }
        }
        Self {
            packages,
            provided,
            host,
        }
    }

    /// The package in force with this name.
    pub fn package(&self, name: &PackageName) -> Option<&CatalogPackage> {
        self.packages.get(name)
    }

    /// The package that satisfies `dependency`: the one of that name, else the first by name that provides it.
    pub fn provider(&self, dependency: &Dependency) -> Option<&CatalogPackage> {
        let fitting = || {
            self.provided
                .get(dependency.name())
                .into_iter()
                .flatten()
                .filter(|(provide, _)| satisfies(provide, dependency))
                .map(|(_, package)| package)
        };
        fitting()
            .find(|package| package.as_str() == dependency.name())
            .or_else(|| fitting().next())
            .and_then(|package| self.packages.get(package))
    }

    /// Whether the host satisfies `dependency`.
    pub fn host_provides(&self, dependency: &Dependency) -> bool {
        self.host.contains(dependency.name())
    }

    /// Whether anything here satisfies `dependency`.
    pub fn provides(&self, dependency: &Dependency) -> bool {
        self.host_provides(dependency) || self.provider(dependency).is_some()
    }

    /// The packages that a build root needs for these dependencies: with all that they need themselves at run time.
    /// What the host satisfies alone, or nobody does, brings nothing.
    pub fn closure<'a>(
        &self,
        dependencies: impl IntoIterator<Item = &'a Dependency>,
    ) -> BTreeMap<PackageName, &CatalogPackage> {
        let mut closure = BTreeMap::new();
        let mut open: Vec<&CatalogPackage> = dependencies
            .into_iter()
            .filter_map(|dependency| self.provider(dependency))
            .collect();
        while let Some(package) = open.pop() {
            if closure.insert(package.name.clone(), package).is_some() {
                continue;
            }
            let needs = package.depends.iter().filter_map(|text| text.parse().ok());
            open.extend(needs.filter_map(|dependency: Dependency| self.provider(&dependency)));
        }
        closure
    }
}

/// All that a package provides: its own name at its version, and what it says.
pub(crate) fn provisions(
    name: &PackageName,
    version: &PackageVersion,
    provides: &[String],
) -> impl Iterator<Item = Provide> {
    std::iter::once(Provide::package(name, version))
        .chain(provides.iter().filter_map(|text| text.parse().ok()))
}
