//! With which pkgrel an attempt is built (FORMATS, "Jobs and attempts").

use crate::names::{Architecture, NameError, PackageName, PackageVersion};

/// The version with the least pkgrel, from that of `version` on, for which `is_bound` holds for none of the packages.
///
/// `is_bound` asks the ledger's bindings, void ones included. For an `any` package of a mixed base it answers `false`
/// if the name is bound by a job of the same base, version and tree: the later job takes the bound bytes.
/// Fails where pkgrel leaves the grammar; ends because bindings are finite.
pub fn free_pkgrel(
    version: &PackageVersion,
    packages: &[(PackageName, Architecture)],
    is_bound: impl Fn(&PackageName, &PackageVersion, &Architecture) -> bool,
) -> Result<PackageVersion, NameError> {
    let mut version = version.clone();
    while packages.iter().any(|(name, arch)| is_bound(name, &version, arch)) {
        version = version.next_pkgrel()?;
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_least_pkgrel_at_which_no_name_is_bound_is_taken() {
        let bound = BTreeSet::from([
            ("foo", "1-2"),
            ("bar", "1-2.1"),
            ("foo", "1-1"),
            ("other", "1-2.2"),
        ]);
        let packages: Vec<(PackageName, Architecture)> = ["foo", "bar"]
            .map(|name| (name.parse().unwrap(), Architecture::any()))
            .to_vec();
        let free = |version: &str| {
            free_pkgrel(&version.parse().unwrap(), &packages, |name, version, _| {
                bound.contains(&(name.as_str(), version.as_str()))
            })
            .unwrap()
            .to_string()
        };
        assert_eq!(free("1-2"), "1-2.2");
        assert_eq!(free("1-1"), "1-1.1");
        assert_eq!(free("1-3"), "1-3");
        assert_eq!(free("2-2"), "2-2");
    }

    #[test]
    fn pkgrels_that_leave_the_grammar_end_the_search() {
        let packages = [("foo".parse().unwrap(), Architecture::any())];
        let version = "1-2.999999999".parse().unwrap();
        assert!(free_pkgrel(&version, &packages, |_, _, _| true).is_err());
    }
}
