//! The build root and the walls around it: bubblewrap over the host's own `/usr`.
//!
//! # What a build sees
//!
//! `/usr` and `/opt` of the host, read-only; a small `/etc` of ours (see [`super::etc`]); its attempt's folders as
//! `/startdir`, `/build`, `/pkgdest`, `/srcdest`, `/logdest`, `/home/builder` and `/tmp`; a fresh `/proc` and a minimal
//! `/dev`. No other path of the host exists inside, so neither homes nor the node's keys can be named. Process, IPC and
//! host-name namespaces are private, and the network too except while sources are fetched. The environment is empty but
//! for what is set here, also that of bwrap itself, which the build could read in `/proc/1/environ`.
//!
//! # Packages of the mesh in it
//!
//! What the archives of dependencies hold lies in `layer/` and is joined with the host by a read-only overlay without an
//! upper folder (`lowerdir=layer/usr:/usr`): nothing can be written, so there are no work folders, and an unprivileged user
//! may mount it in a user namespace (kernel ≥ 5.11). It is mounted in a private mount namespace that dies with the build.
//! The host's ld.so.cache does not know the layer's libraries; they are found in `/usr/lib`, which ld.so(8) trusts anyway.
//! Where no overlay can be mounted there is no substitute: the stage fails as a fault of the worker.
//! Install scriptlets are not run: a scriptlet is for a running system, and what it would change cannot be written here.
//!
//! # Who a build is
//!
//! makepkg refuses root, and nothing of a build should be root outside either. An ordinary user's build runs in a user
//! namespace as uid 1000 mapped to that user. Root's build runs without a user namespace, as a uid from
//! 0x7fe00000–0x7fefffff: systemd's list of uid ranges leaves 0x70000000–0x7ffffffe unused, and neither distributions nor
//! subuid(5) defaults reach there, so no account and no other service is ever this uid. It is drawn per attempt,
//! so that two builds on one machine cannot reach each other. `no_new_privs` keeps setuid programs of the host
//! without effect.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    etc,
    layout::{Layout, is_plain_folder},
};

/// Where programs of the host are looked up, also inside.
pub(super) const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/bin/site_perl:/usr/bin/vendor_perl:/usr/bin/core_perl:/sbin:/bin";

/// Uid inside a user namespace: what makepkg, tar and fakeroot see of an ordinary user.
const MAPPED_UID: u32 = 1000;

/// First uid of the range for builds of a daemon that is root.
const UID_BASE: u32 = 0x7fe0_0000;

/// Mounts the overlays that are named before `--`, in a private mount namespace, then becomes what follows it.
const OUTER_SCRIPT: &str = r#"
set -eu
cd "$1"
shift
while [ "$1" != -- ]; do
    mkdir -p "mnt/$1"
    mount -t overlay overlay -o "ro,lowerdir=$2" "mnt/$1"
    shift 2
done
shift
exec "$@" 3>sandbox
"#;

/// As whom a build runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// In a user namespace of the ordinary user that the daemon is.
    Mapped,
    /// As this uid and gid, outside and inside; the daemon is root.
    Dropped(u32),
}

impl Identity {
    /// For an attempt of this process; `seed` names the attempt.
    pub(super) fn for_attempt(seed: &Path) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Mapped;
        }
        let hash = blake3::hash(seed.as_os_str().as_bytes());
        let [a, b, c, ..] = *hash.as_bytes();
        Self::Dropped(UID_BASE | (u32::from_le_bytes([a, b, c, 0]) & 0x000f_ffff))
    }

    /// The uid that a build sees as its own.
    pub(super) const fn uid_inside(self) -> u32 {
        match self {
            Self::Mapped => MAPPED_UID,
            Self::Dropped(uid) => uid,
        }
    }

    /// Gives a folder's whole content to the build; links themselves, never what they point to.
    pub(super) fn hand_over(self, path: &Path) -> io::Result<()> {
        let Self::Dropped(uid) = self else {
            return Ok(());
        };
        std::os::unix::fs::lchown(path, Some(uid), Some(uid))?;
        if is_plain_folder(path) {
            for item in fs::read_dir(path)? {
                self.hand_over(&item?.path())?;
            }
        }
        Ok(())
    }
}

/// What one run may see and do beyond the common ground.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Leave it the host's network.
    pub(super) network: bool,
    /// Lay `layer/` over the host.
    pub(super) layered: bool,
    /// Mount the source tree read-only.
    pub(super) frozen_tree: bool,
    /// Mount the PKGBUILD read-only, so that makepkg keeps its version.
    pub(super) frozen_pkgbuild: bool,
    /// Mount `layer/` itself, writable, to extract archives into it.
    pub(super) opened_layer: bool,
    /// Environment variables beyond the common ones.
    pub(super) environment: Vec<(String, String)>,
}

/// Why no sandbox can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// The attempt's folder holds something that must not be mounted.
    #[error("'{0}' in the attempt's folder is not what it was: refusing to mount it")]
    Replaced(&'static str),
    /// A file of the root cannot be written.
    #[error("cannot write the sandbox's {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The command that runs `script` with bash inside a sandbox, in `/startdir`.
pub(super) fn command(
    layout: &Layout,
    identity: Identity,
    options: &Options,
    script: &str,
    arguments: &[String],
) -> Result<Command, SandboxError> {
    check(layout)?;
    etc::write(layout, identity, options.network)?;
    let overlays = overlays(layout, options)?;
    let mut words: Vec<OsString> = Vec::new();
    if !overlays.is_empty() {
        words.push("unshare".into());
        if identity == Identity::Mapped {
            words.extend(["--user", "--map-root-user"].map(Into::into));
        }
        words.extend(["--mount", "--propagation", "private"].map(Into::into));
    }
    words.extend(["/bin/sh", "-c", OUTER_SCRIPT, "pacmesh-sandbox"].map(Into::into));
    words.push(layout.root().into());
    for overlay in &overlays {
        words.push(overlay.target.into());
        words.push(overlay.lower.clone().into());
    }
    words.push("--".into());
    words.extend(bwrap(layout, identity, options, &overlays)?);
    words.extend(["/bin/bash", "-c", script, "pacmesh-stage"].map(Into::into));
    words.extend(arguments.iter().map(Into::into));

    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command
        .args(words)
        .env_clear()
        .env("PATH", HOST_PATH)
        .env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// Hostile stages ran in these folders; what is mounted or layered must still be plain.
fn check(layout: &Layout) -> Result<(), SandboxError> {
    for name in Layout::writable() {
        if !is_plain_folder(&layout.root().join(name)) {
            return Err(SandboxError::Replaced(name));
        }
    }
    let pkgbuild = layout.tree().join("PKGBUILD");
    if pkgbuild.symlink_metadata().is_ok_and(|m| m.is_file()) {
        Ok(())
    } else {
        Err(SandboxError::Replaced("tree/PKGBUILD"))
    }
}

struct Overlay {
    /// Relative to `mnt/` outside and to `/` inside.
    target: &'static str,
    /// The option `lowerdir` of mount, topmost first; relative to the attempt's folder.
    lower: String,
}

fn overlays(layout: &Layout, options: &Options) -> Result<Vec<Overlay>, SandboxError> {
    let mut overlays = Vec::new();
    if !options.layered {
        return Ok(overlays);
    }
    for target in ["usr", "opt"] {
        let host = Path::new("/").join(target);
        match layout.layer().join(target).symlink_metadata() {
            Ok(found) if found.is_dir() && host.is_dir() => overlays.push(Overlay {
                target,
                lower: format!("layer/{target}:/{target}"),
            }),
            Ok(found) if !found.is_dir() => return Err(SandboxError::Replaced("layer")),
            _ => {}
        }
    }
    if is_plain_folder(&layout.layer().join("etc")) {
        overlays.push(Overlay {
            target: "etc",
            lower: "etc:layer/etc".to_owned(),
        });
    }
    Ok(overlays)
}

fn bwrap(
    layout: &Layout,
    identity: Identity,
    options: &Options,
    overlays: &[Overlay],
) -> Result<Vec<OsString>, SandboxError> {
    let mut bwrap = Bwrap::default();
    bwrap.words("bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try");
    // No session of its own: that of the runner has no terminal either, and its place behind all others.
    bwrap.words("--die-with-parent --hostname pacmesh --json-status-fd 3 --cap-drop ALL");
    if !options.network {
        bwrap.words("--unshare-net");
    }
    match identity {
        Identity::Mapped => {
            let uid = MAPPED_UID.to_string();
            bwrap.words("--unshare-user");
            bwrap.all(["--uid", uid.as_str(), "--gid", uid.as_str()]);
        }
        Identity::Dropped(_) => bwrap.words("--cap-add CAP_SETUID --cap-add CAP_SETGID"),
    }
    // Folders that bwrap makes on the way to a mount point are closed to others, and root's build is another user.
    bwrap.words("--dir /home --dir /run --dir /var --dir /var/lib");
    host_folders(&mut bwrap, overlays);
    own_folders(&mut bwrap, layout, options);
    bwrap.words("--proc /proc --dev /dev --symlink ../tmp /var/tmp --remount-ro /");
    bwrap.words("--chdir /startdir --clearenv");
    for (name, value) in common_environment() {
        bwrap.all(["--setenv", name, value]);
    }
    for (name, value) in &options.environment {
        bwrap.all(["--setenv", name, value]);
    }
    bwrap.word("--");
    if let Identity::Dropped(uid) = identity {
        let uid = uid.to_string();
        bwrap.words("setpriv --clear-groups --inh-caps=-all --no-new-privs");
        bwrap.all(["--reuid", uid.as_str(), "--regid", uid.as_str(), "--"]);
    }
    Ok(bwrap.0)
}

/// `/usr`, `/opt`, and the names beside them that a merged system links into `/usr`.
fn host_folders(bwrap: &mut Bwrap, overlays: &[Overlay]) {
    for target in ["usr", "opt", "etc"] {
        let inside = format!("/{target}");
        if overlays.iter().any(|overlay| overlay.target == target) {
            bwrap.all(["--ro-bind", &format!("mnt/{target}"), &inside]);
        } else if target == "etc" {
            bwrap.words("--ro-bind etc /etc");
        } else {
            bwrap.all(["--ro-bind-try", &inside, &inside]);
        }
    }
    for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        match fs::read_link(name) {
            Ok(target) => {
                bwrap.word("--symlink");
                bwrap.word(target);
                bwrap.word(name);
            }
            Err(_) => bwrap.all(["--ro-bind-try", name, name]),
        }
    }
    for name in etc::from_host() {
        let path = format!("/etc/{name}");
        bwrap.all(["--ro-bind", &path, &path]);
    }
}

fn own_folders(bwrap: &mut Bwrap, layout: &Layout, options: &Options) {
    let tree = if options.frozen_tree {
        "--ro-bind"
    } else {
        "--bind"
    };
    bwrap.all([tree, "tree", "/startdir"]);
    if options.frozen_pkgbuild && !options.frozen_tree {
        bwrap.words("--ro-bind tree/PKGBUILD /startdir/PKGBUILD");
    }
    for folder in ["build", "pkgdest", "srcdest", "logdest", "tmp"] {
        bwrap.all(["--bind", folder, &format!("/{folder}")]);
    }
    bwrap.words("--bind home /home/builder");
    if options.opened_layer {
        bwrap.words("--bind layer /layer");
    }
    if is_plain_folder(&layout.db()) {
        bwrap.words("--ro-bind db /var/lib/pacman");
    }
}

/// Fixed values: what is built must not depend on who builds it.
fn common_environment() -> [(&'static str, &'static str); 14] {
    [
        ("PATH", HOST_PATH),
        ("HOME", "/home/builder"),
        ("USER", "builder"),
        ("LOGNAME", "builder"),
        ("SHELL", "/bin/bash"),
        // makepkg's messages are read, and messages are translated.
        ("LC_ALL", "C.UTF-8"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("TERM", "dumb"),
        ("BUILDDIR", "/build"),
        ("PKGDEST", "/pkgdest"),
        ("SRCDEST", "/srcdest"),
        ("LOGDEST", "/logdest"),
        ("GNUPGHOME", "/home/builder/.gnupg"),
    ]
}

/// The growing command line.
#[derive(Debug, Default)]
struct Bwrap(Vec<OsString>);

impl Bwrap {
    fn word(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    /// Words that are separated by spaces.
    fn words(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(Into::into));
    }

    fn all<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(Into::into));
    }
}
