//! What this machine's build roots are made of, and what is missing to make one.
//!
//! An environment is a promise about binary compatibility, so it is read from os-release(5) and from nothing that a
//! user could set by accident: `host:debian-12`, `host:arch-rolling`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use pacmesh_protocol::names::{Architecture, EnvironmentName};

use super::{
    layout::{Layout, create_folder},
    makepkg::one_line,
    sandbox::{self, Identity, Options},
};

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
    /// The walls cannot be built.
    #[error(
        "cannot build here, the sandbox does not start: {said}; allow user namespaces (sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or run the daemon as root"
    )]
    Sandbox {
        /// The first line that bwrap, unshare or mount said.
        said: String,
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

/// Runs `true` in a sandbox with a layer over the host, in a new folder below `scratch`; blocks for a moment.
pub fn try_sandbox(scratch: &Path) -> Result<(), EnvironmentError> {
    let failed = |error: &dyn std::fmt::Display| EnvironmentError::Sandbox {
        said: error.to_string(),
    };
    let folder = tempfile::tempdir_in(scratch).map_err(|error| failed(&error))?;
    let layout = Layout::new(folder.path().to_owned());
    furnish(&layout).map_err(|error| failed(&error))?;
    let options = Options {
        layered: true,
        ..Options::default()
    };
    let identity = Identity::for_attempt(folder.path());
    let mut command = sandbox::command(&layout, identity, &options, "exit 0", &[]).map_err(|e| failed(&e))?;
    let output = command.output().map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(&one_line(
        said.lines().next().unwrap_or("it said nothing"),
    )))
}

/// The least that a sandbox is made of.
fn furnish(layout: &Layout) -> std::io::Result<()> {
    for name in Layout::writable() {
        create_folder(&layout.root().join(name))?;
    }
    create_folder(&layout.layer().join("usr"))?;
    std::fs::write(layout.tree().join("PKGBUILD"), "")?;
    std::fs::write(layout.makepkg_conf(), "")
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
    let path = std::env::var_os("PATH").unwrap_or_else(|| sandbox::HOST_PATH.into());
    std::env::split_paths(&path)
        .chain(std::env::split_paths(sandbox::HOST_PATH))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_stands_on_this_machine() {
        let scratch = tempfile::tempdir().unwrap();
        HostEnvironment::check_programs().unwrap();
        try_sandbox(scratch.path()).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

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
