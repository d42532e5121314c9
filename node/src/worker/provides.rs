//! Which dependencies the environment itself satisfies, without any package of the mesh.
//!
//! With a pacman database, what is installed and provided counts. Without one (Debian) a list of
//! names stands in: by default the members of Arch's `base` and `base-devel` and what they are known to provide. A name of
//! the list satisfies any bound: nobody knows the host's version in Arch's numbering, refusing `glibc>=2.36`
//! would refuse nearly everything, and a bound that truly matters is found out by the compiler.

use std::{collections::BTreeSet, fs, io::Read, path::Path};

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

/// What a build root has before anything is installed: names, each of which satisfies any bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostProvides {
    names: BTreeSet<String>,
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
        }
    }

    fn from_database(folder: &Path) -> Option<Self> {
        let mut names = BTreeSet::new();
        for item in fs::read_dir(folder).ok()?.flatten() {
            let mut text = String::new();
            let read = fs::File::open(item.path().join("desc"))
                .and_then(|file| file.take(DESC_LIMIT).read_to_string(&mut text));
            if read.is_ok() {
                names.extend(section(&text, "%NAME%").map(str::to_owned));
                let provisions = section(&text, "%PROVIDES%");
                names.extend(
                    provisions
                        .filter_map(|text| text.split('=').next())
                        .map(str::to_owned),
                );
            }
        }
        (!names.is_empty()).then_some(Self { names })
    }

    /// Every name that it has.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
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
    fn a_database_with_content_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(HostProvides::from_database(folder.path()).is_none(), "empty");
        let package = folder.path().join("bash-5.2-1");
        fs::create_dir(&package).unwrap();
        let desc = "%NAME%\nbash\n\n%VERSION%\n5.2-1\n\n%PROVIDES%\nsh\nlibx.so=2-64\n\n";
        fs::write(package.join("desc"), desc).unwrap();
        let host = HostProvides::from_database(folder.path()).unwrap();
        assert_eq!(host.names().collect::<Vec<_>>(), ["bash", "libx.so", "sh"]);
    }
}
