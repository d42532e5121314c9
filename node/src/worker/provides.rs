//! Which dependencies the environment itself satisfies, without any package of the mesh.
//!
//! With a pacman database, what is installed and provided counts, with its versions. Without one (Debian) a list of
//! names stands in: by default the members of Arch's `base` and `base-devel` and what they are known to provide. A name of
//! the list satisfies any bound: nobody knows the host's version in Arch's numbering, refusing `glibc>=2.36`
//! would refuse nearly everything, and a bound that truly matters is found out by the compiler.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
};

use super::srcinfo::Dependency;

/// Members of `base` and `base-devel`, and names that they provide (state of Arch, 2026).
pub const BASE: [&str; 83] = [
    "archlinux-keyring",
    "autoconf",
    "automake",
    "awk",
    "base",
    "base-devel",
    "bash",
    "binutils",
    "bison",
    "bzip2",
    "coreutils",
    "debugedit",
    "fakeroot",
    "file",
    "filesystem",
    "findutils",
    "flex",
    "gawk",
    "gcc",
    "gcc-libs",
    "gcc-multilib",
    "gettext",
    "glibc",
    "grep",
    "groff",
    "gzip",
    "hardlink",
    "iproute",
    "iproute2",
    "iputils",
    "libasprintf.so",
    "libatomic",
    "libbz2.so",
    "libc++abi",
    "libgcc",
    "libgomp",
    "libgomp.so",
    "liblzma.so",
    "libmagic.so",
    "libpkgconf.so",
    "libstdc++",
    "libstdc++.so",
    "libtool",
    "libudev.so",
    "licenses",
    "linux-api-headers",
    "m4",
    "make",
    "nss-myhostname",
    "pacman",
    "patch",
    "pciutils",
    "perl",
    "pkg-config",
    "pkgconf",
    "pkgconfig",
    "procps",
    "procps-ng",
    "psmisc",
    "python",
    "readline",
    "rfkill",
    "sed",
    "sh",
    "shadow",
    "sudo",
    "systemd",
    "systemd-libs",
    "systemd-sysvcompat",
    "systemd-tools",
    "sysvinit-tools",
    "tar",
    "texinfo",
    "tzdata",
    "udev",
    "util-linux",
    "util-linux-libs",
    "which",
    "xz",
    "zlib",
    "zlib-ng-compat",
    "zstd",
    "libzstd.so",
];

/// Longest `desc` of a local database that is read, in bytes.
const DESC_LIMIT: u64 = 256 << 10;

/// What a build root has before anything is installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostProvides {
    /// Satisfy any bound.
    names: BTreeSet<String>,
    /// Satisfy bounds by these versions; `None` is a provision without one.
    versions: BTreeMap<String, BTreeSet<Option<String>>>,
}

impl HostProvides {
    /// From the host's pacman database if it has content, else [`BASE`].
    pub fn detect() -> Self {
        Self::from_database(Path::new("/var/lib/pacman/local"))
            .unwrap_or_else(|| Self::from_names(BASE.map(str::to_owned)))
    }

    /// From the setting `build.provides`.
    pub fn from_names(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names.into_iter().collect(),
            versions: BTreeMap::new(),
        }
    }

    fn from_database(folder: &Path) -> Option<Self> {
        let mut provides = Self::default();
        for item in fs::read_dir(folder).ok()?.flatten() {
            let mut text = String::new();
            let read = fs::File::open(item.path().join("desc"))
                .and_then(|file| file.take(DESC_LIMIT).read_to_string(&mut text));
            if read.is_ok() {
                provides.add_installed(&text);
            }
        }
        (!provides.versions.is_empty()).then_some(provides)
    }

    fn add_installed(&mut self, desc: &str) {
        let version = section(desc, "%VERSION%").next();
        if let Some(name) = section(desc, "%NAME%").next() {
            self.add(name, version);
        }
        for provision in section(desc, "%PROVIDES%") {
            match provision.split_once('=') {
                Some((name, version)) => self.add(name, Some(version)),
                None => self.add(provision, None),
            }
        }
    }

    fn add(&mut self, name: &str, version: Option<&str>) {
        self.versions
            .entry(name.to_owned())
            .or_default()
            .insert(version.map(str::to_owned));
    }

    /// Whether a build root has this without the mesh's help.
    pub fn satisfies(&self, dependency: &Dependency) -> bool {
        let name = dependency.name();
        self.names.contains(name)
            || self.versions.get(name).is_some_and(|versions| {
                versions
                    .iter()
                    .any(|version| dependency.satisfied_by(name, version.as_deref()))
            })
    }

    /// Every name that it has, for messages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(self.versions.keys()).map(String::as_str)
    }
}

/// The lines below `key` in a `desc`, up to the next empty one.
fn section<'a>(desc: &'a str, key: &'static str) -> impl Iterator<Item = &'a str> {
    desc.lines()
        .skip_while(move |line| *line != key)
        .skip(1)
        .take_while(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_database_stands_for_base_and_base_devel() {
        let host = HostProvides::from_names(BASE.map(str::to_owned));
        for wanted in ["glibc>=2.38", "sh", "gcc", "pkgconf"] {
            assert!(host.satisfies(&Dependency::parse(wanted)), "{wanted}");
        }
        assert!(!host.satisfies(&Dependency::parse("qt6-base")));
    }

    #[test]
    fn a_database_with_content_is_believed_with_its_versions() {
        let folder = tempfile::tempdir().unwrap();
        assert!(HostProvides::from_database(folder.path()).is_none(), "empty");
        let package = folder.path().join("bash-5.2-1");
        fs::create_dir(&package).unwrap();
        let desc = "%NAME%\nbash\n\n%VERSION%\n5.2-1\n\n%PROVIDES%\nsh\nlibx.so=2-64\n\n";
        fs::write(package.join("desc"), desc).unwrap();
        let host = HostProvides::from_database(folder.path()).unwrap();
        for (wanted, has) in [
            ("bash>=5", true),
            ("bash>=6", false),
            ("sh", true),
            ("libx.so=2-64", true),
            ("gcc", false),
        ] {
            assert_eq!(host.satisfies(&Dependency::parse(wanted)), has, "{wanted}");
        }
    }
}
