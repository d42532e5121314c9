//! What this machine's build roots are made of, and what is missing to make one.
//!
//! An environment is a promise about binary compatibility, so it is read from os-release(5) and from nothing that a
//! user could set by accident: `host:debian-12`, `host:arch-rolling`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use pacmesh_protocol::names::{Architecture, EnvironmentName};

/// Programs that a build needs on the host, with the package that holds each on Debian and on Arch.
const PROGRAMS: [(&str, &str, &str); 10] = [
    ("bwrap", "bubblewrap", "bubblewrap"),
    ("makepkg", "makepkg", "pacman"),
    ("fakeroot", "fakeroot", "fakeroot"),
    ("bsdtar", "libarchive-tools", "libarchive"),
    ("unshare", "util-linux", "util-linux"),
    ("mount", "mount", "util-linux"),
    ("setpriv", "util-linux", "util-linux"),
    ("bash", "bash", "bash"),
    ("file", "file", "file"),
    ("strip", "binutils", "binutils"),
];

/// Why this machine cannot build.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Nothing tells which system this is.
    #[error("/etc/os-release is missing or names no ID: this machine can lead and store, but not build")]
    Unknown,
    /// A processor for which pacman has no word.
    #[error("no architecture name is known for '{0}': set worker.arches in config.toml")]
    Architecture(&'static str),
    /// Programs are missing.
    #[error("cannot build here, missing: {programs}; install them: {hint}")]
    Missing {
        /// Their names.
        programs: String,
        /// The command that installs them.
        hint: String,
    },
}

/// What build roots of the kind `host:` are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEnvironment {
    /// `host:<id>-<version>`.
    pub name: EnvironmentName,
    /// What this processor builds for.
    pub arch: Architecture,
}

impl HostEnvironment {
    /// Reads it from this machine.
    pub fn detect() -> Result<Self, EnvironmentError> {
        let text = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .ok_or(EnvironmentError::Unknown)?;
        Ok(Self {
            name: environment_name(&text).ok_or(EnvironmentError::Unknown)?,
            arch: machine_architecture()?,
        })
    }

    /// Refuses, with the command that helps, where a program is missing.
    pub fn check_programs() -> Result<(), EnvironmentError> {
        let missing: Vec<_> = PROGRAMS
            .iter()
            .filter(|(program, ..)| find(program).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut programs = String::new();
        let mut packages = std::collections::BTreeSet::new();
        let is_arch = Path::new("/etc/arch-release").exists();
        for (program, debian, arch) in missing {
            let comma = if programs.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(programs, "{comma}{program}");
            packages.insert(if is_arch { *arch } else { *debian });
        }
        let packages: Vec<_> = packages.into_iter().collect();
        let installer = if is_arch { "pacman -S" } else { "apt install" };
        Err(EnvironmentError::Missing {
            programs,
            hint: format!("{installer} {}", packages.join(" ")),
        })
    }
}

/// `ID` and `VERSION_ID`; a rolling system has a `BUILD_ID` or nothing.
fn environment_name(os_release: &str) -> Option<EnvironmentName> {
    let field = |wanted: &str| {
        os_release.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key == wanted).then(|| plain_word(value.trim().trim_matches(['"', '\''])))
        })
    };
    let id = field("ID").filter(|id| !id.is_empty())?;
    let version = field("VERSION_ID")
        .or_else(|| field("BUILD_ID"))
        .filter(|version| !version.is_empty())
        .unwrap_or_else(|| "rolling".to_owned());
    format!("host:{id}-{version}").parse().ok()
}

fn plain_word(value: &str) -> String {
    value
        .to_ascii_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
        .take(24)
        .collect()
}

/// pacman's word for the processor that this program was compiled for (`CARCH` of makepkg.conf(5)).
fn machine_architecture() -> Result<Architecture, EnvironmentError> {
    let name = match std::env::consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7h",
        other => other,
    };
    name.parse()
        .map_err(|_| EnvironmentError::Architecture(std::env::consts::ARCH))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| super::sandbox::HOST_PATH.into());
    std::env::split_paths(&path)
        .chain(std::env::split_paths(super::sandbox::HOST_PATH))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_named_after_the_system_and_its_version() {
        let name = |text| environment_name(text).map(String::from);
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(name(debian).as_deref(), Some("host:debian-12"));
        assert_eq!(
            name("ID=arch\nBUILD_ID=rolling\n").as_deref(),
            Some("host:arch-rolling")
        );
        assert_eq!(
            name("ID=\"Odd Name!\"\n").as_deref(),
            Some("host:oddname-rolling")
        );
        assert_eq!(name("NAME=nothing\n"), None);
    }
}
