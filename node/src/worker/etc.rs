//! The sandbox's `/etc`: as little as a compiler needs, and nothing that tells who the host's users are.

use std::{fs, path::Path};

use super::{
    layout::{Layout, create_folder},
    sandbox::{Identity, SandboxError},
};

/// What is taken from the host's `/etc` where it exists: tables and search paths of tools, certificates.
const FROM_HOST: [&str; 20] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "java-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "os-release",
    "perl",
    "pki",
    "protocols",
    "services",
    "sgml",
    "ssl",
    "texmf",
    "xml",
];

/// pacman is only asked what is installed, for .BUILDINFO.
const PACMAN_CONF: &str = "[options]\nArchitecture = auto\n";

/// The names in [`FROM_HOST`] that this host has.
pub(super) fn from_host() -> impl Iterator<Item = &'static str> {
    FROM_HOST
        .into_iter()
        .filter(|name| Path::new("/etc").join(name).exists())
}

/// Writes our files and a mount point for each of the host's.
pub(super) fn write(layout: &Layout, identity: Identity, network: bool) -> Result<(), SandboxError> {
    let etc = layout.etc();
    create_folder(&etc).map_err(failed(&etc))?;
    let uid = identity.uid_inside();
    let conf = fs::read_to_string(layout.makepkg_conf()).map_err(failed(&layout.makepkg_conf()))?;
    let resolver = if network {
        fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
    } else {
        String::new()
    };
    let files = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/usr/sbin/nologin\nbuilder:x:{uid}:{uid}:builder:/home/builder:/bin/bash\n\
                 nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
            ),
        ),
        (
            "group",
            format!("root:x:0:\ntty:x:5:\nbuilder:x:{uid}:\nnobody:x:65534:\nnogroup:x:65534:\n"),
        ),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n".to_owned(),
        ),
        ("resolv.conf", resolver),
        ("makepkg.conf", conf),
        ("pacman.conf", PACMAN_CONF.to_owned()),
    ];
    for (name, text) in files {
        let path = etc.join(name);
        fs::write(&path, text).map_err(failed(&path))?;
        set_readable(&path)?;
    }
    for name in from_host() {
        mount_point(&etc.join(name), &Path::new("/etc").join(name))?;
    }
    Ok(())
}

fn mount_point(inside: &Path, host: &Path) -> Result<(), SandboxError> {
    if inside.exists() {
        return Ok(());
    }
    if host.is_dir() {
        create_folder(inside).map_err(failed(inside))
    } else {
        fs::write(inside, "").map_err(failed(inside))
    }
}

/// The daemon's umask may be strict; the build is another user.
fn set_readable(path: &Path) -> Result<(), SandboxError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> SandboxError {
    let path = path.to_owned();
    move |source| SandboxError::Write { path, source }
}
