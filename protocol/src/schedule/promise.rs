//! Whether a result is what was promised: exactly the probed names and architectures, and `-debug` (invariant 6).

use std::collections::BTreeSet;

use crate::{
    ledger::kinds::JobV1,
    names::{Architecture, PackageName},
    work::{BuiltPackage, Probe, Report},
};

/// The name of the package with the debug symbols of a base (makepkg.conf(5), `debug`).
pub(crate) fn debug_name(probe: &Probe) -> Option<PackageName> {
    format!("{}-debug", probe.base).parse().ok()
}

/// All names that a build may bring, with their architectures: those of the probe, and `-debug` unless all is `any`.
pub(crate) fn names(probe: &Probe, arch: &Architecture) -> Vec<(PackageName, Architecture)> {
    let debug = debug_name(probe)
        .filter(|_| !arch.is_any())
        .map(|name| (name, arch.clone()));
    let packages = probe
        .packages
        .iter()
        .map(|package| (package.name.clone(), package.arch.clone()));
    packages.chain(debug).collect()
}

/// Compares what came out with what was promised; the error is for people.
pub(crate) fn check(
    job: &JobV1,
    probe: &Probe,
    report: &Report,
    built: &[BuiltPackage],
) -> Result<(), String> {
    if report.environment != job.environment {
        return Err(format!(
            "it was built in {}, not in {}",
            report.environment, job.environment
        ));
    }
    let Some(version) = &report.version else {
        return Err("it does not say which version was built".to_owned());
    };
    if !probe.has_pkgver && version.upstream() != probe.version.upstream() {
        return Err(format!(
            "it is version {version}, and the PKGBUILD says {}",
            probe.version
        ));
    }
    if let Some(wrong) = built.iter().find(|package| package.file.version() != version) {
        return Err(format!("{} is not of version {version}", wrong.file));
    }
    let allowed: BTreeSet<_> = names(probe, &job.arch).into_iter().collect();
    let mut seen = BTreeSet::new();
    for package in built {
        let name = (package.file.name().clone(), package.file.arch().clone());
        if !allowed.contains(&name) {
            return Err(format!("{} is not a package of {}", package.file, probe.base));
        }
        if !seen.insert(name) {
            return Err(format!("{} came out twice", package.file.name()));
        }
    }
    let missing =
        |package: &&crate::work::ProbedPackage| !seen.contains(&(package.name.clone(), package.arch.clone()));
    match probe.packages.iter().find(missing) {
        Some(package) => Err(format!("{} did not come out", package.name)),
        None => Ok(()),
    }
}
