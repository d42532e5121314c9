//! Where things are in an attempt's folder, and to whom each belongs.
//!
//! The folder itself, `etc`, `db` and every plain file in it belong to the daemon and are never writable inside a
//! sandbox. The folders of [`Layout::writable`] are mounted writable; their *contents* are hostile once a stage ran,
//! their own names are not, because a mount point cannot be renamed from inside.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::spec::RunStage;

/// The paths of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the folder `root`; absolute, because a runner has another working directory.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Folders that a sandbox may write to, by name.
    pub(super) const fn writable() -> [&'static str; 8] {
        [
            "tree", "build", "pkgdest", "srcdest", "logdest", "home", "tmp", "layer",
        ]
    }

    /// The source tree, `startdir` of makepkg.
    pub(super) fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Where makepkg puts archives.
    pub(super) fn pkgdest(&self) -> PathBuf {
        self.root.join("pkgdest")
    }

    /// What the installed archives hold, to be laid over the host.
    pub(super) fn layer(&self) -> PathBuf {
        self.root.join("layer")
    }

    /// The sandbox's `/etc`.
    pub(super) fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }

    /// The sandbox's `/var/lib/pacman`.
    pub(super) fn db(&self) -> PathBuf {
        self.root.join("db")
    }

    /// The mesh-wide makepkg.conf.
    pub(super) fn makepkg_conf(&self) -> PathBuf {
        self.root.join("makepkg.conf")
    }

    /// One log over all stages.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// What the runner itself has to say, for debugging.
    pub(super) fn runner_log(&self) -> PathBuf {
        self.root.join("runner.log")
    }

    pub(super) fn spec(&self) -> PathBuf {
        self.root.join("spec")
    }

    /// Held by the runner while it lives.
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The runner's process id and stage.
    pub(super) fn runner(&self) -> PathBuf {
        self.root.join("runner")
    }

    /// bwrap's report (`--json-status-fd`).
    pub(super) fn sandbox_status(&self) -> PathBuf {
        self.root.join("sandbox")
    }

    /// The .SRCINFO as last read.
    pub(super) fn srcinfo(&self) -> PathBuf {
        self.root.join("srcinfo")
    }

    /// The pkgrel that the PKGBUILD was told to have.
    pub(super) fn pkgrel(&self) -> PathBuf {
        self.root.join("pkgrel")
    }

    /// How a stage ended.
    pub(super) fn status(&self, stage: RunStage) -> PathBuf {
        self.root.join(format!("status-{stage}"))
    }
}

/// Creates a folder into which anyone inside a sandbox may look, whatever the daemon's umask.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Writes a whole file or nothing, synced: a reader never sees half of it.
pub(super) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Whether `path` is a plain folder; a symbolic link to one is not.
pub(super) fn is_plain_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}
