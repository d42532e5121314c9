//! Secret files: a secret is written once, whole, for its owner only, or not at all.
//!
//! A [`SecretsDir`] is a 0700 directory of 0600 files that belong to the user who runs the node. A looser mode or a
//! foreign owner is refused when a secret is loaded, never repaired in silence: who could read it may have done so.
//! Contents are wiped from memory when they are dropped and show in no `Debug`.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Greatest size of a secret file in bytes: a key with a long user id needs 500.
const MAX_FILE: usize = 4096;
/// The mode of a secret file.
const FILE_MODE: u32 = 0o600;
/// The mode of the directory around secret files.
const DIR_MODE: u32 = 0o700;
/// The bits that would let anybody but the owner in.
const LOOSE: u32 = 0o077;

/// Why a secret could not be read or written. Nothing was changed, except where a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Others may read or write the file or directory.
    #[error("{} has mode {mode:04o}, so others can reach the key: chmod {want:o} {}", path.display(), shell(path))]
    LooseMode {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits that it should have.
        want: u32,
    },
    /// The file or directory belongs to another user.
    #[error("{} belongs to uid {owner}, but this is uid {us}: run as that user, or chown {us} {}", path.display(), shell(path))]
    ForeignOwner {
        /// The file or directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        us: u32,
    },
    /// A link, device or directory stands where a secret file (or a file where the directory) is expected.
    #[error("{} is not a {expected}: move it away", path.display())]
    WrongType {
        /// What was found.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// The content is not a key of the expected kind and version, or was damaged.
    #[error("{} is no {kind} key of this version ({reason}): restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The kind of key that belongs there.
        kind: &'static str,
        /// What does not fit.
        reason: &'static str,
    },
    /// A file that was named holds nothing, because it is not there.
    #[error("there is no {kind} key at {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The kind of key that was looked for.
        kind: &'static str,
    },
    /// A secret of this name exists; it was not overwritten.
    #[error("{} exists already and is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The kernel gave no random bytes.
    #[error("the kernel gives no random bytes ({0}): no key was made")]
    NoRandom(getrandom::Error),
}

impl SecretError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| SecretError::Io { doing, path, source }
    }
}

/// The directory that holds a node's private keys (`secrets/` in its home).
#[derive(Debug, Clone)]
pub struct SecretsDir {
    path: PathBuf,
}

impl SecretsDir {
    /// Opens the directory, making it (0700, also missing parents of it) when it is not there.
    ///
    /// # Errors
    /// When it is open to others, belongs to someone else, is no directory or cannot be made.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self, SecretError> {
        let path = path.into();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(SecretError::io("make the directory", parent))?;
        }
        match DirBuilder::new().mode(DIR_MODE).create(&path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                Err(SecretError::io("make the directory", &path)(e))
            }
            _ => Self::open(path),
        }
    }

    /// Opens a directory that must exist.
    ///
    /// # Errors
    /// When it is missing, open to others, belongs to someone else or is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SecretError> {
        let path = path.into();
        let meta = fs::symlink_metadata(&path).map_err(SecretError::io("look at", &path))?;
        if !meta.is_dir() {
            return Err(SecretError::WrongType {
                path,
                expected: "directory",
            });
        }
        check_owner_and_mode(&path, &meta, DIR_MODE)?;
        Ok(SecretsDir { path })
    }

    /// Where a secret of this name is kept.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a secret under a name that must be free: synced first, then linked into place, so that a crash leaves
    /// the whole file or none.
    ///
    /// # Errors
    /// [`SecretError::Exists`] when the name is taken (nothing changed), else when the file system refuses.
    pub(crate) fn create(&self, name: &str, content: &[u8]) -> Result<(), SecretError> {
        let path = self.path_of(name);
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(SecretError::NoRandom)?;
        let temporary = self.path.join(format!(".{name}.{}", hex::encode(suffix)));
        let linked =
            write_synced(&temporary, content).and_then(|()| match fs::hard_link(&temporary, &path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    Err(SecretError::Exists { path: path.clone() })
                }
                linked => linked.map_err(SecretError::io("write", &path)),
            });
        let removed = fs::remove_file(&temporary).map_err(SecretError::io("remove", &temporary));
        linked?;
        removed?;
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .map_err(SecretError::io("sync", &self.path))
    }
}

impl SecretsDir {
    /// Moves a secret out of the way, to a name that is free; `None` when there is none. Nothing is ever deleted.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put_aside(&self, name: &str) -> Result<Option<PathBuf>, SecretError> {
        let path = self.path_of(name);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let aside = (1..)
            .map(|number| self.path_of(&format!("{name}.left-{number}")))
            .find(|aside| fs::symlink_metadata(aside).is_err())
            .expect("some number is free");
        fs::rename(&path, &aside).map_err(SecretError::io("move", &path))?;
        Ok(Some(aside))
    }
}

/// Reads a secret file; `None` when there is none. Its mode and owner are checked wherever it lies.
///
/// # Errors
/// When the file is open to others, belongs to someone else, is longer than any key or cannot be read.
pub(crate) fn load_file(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
    let wrong_type = || SecretError::WrongType {
        path: path.to_owned(),
        expected: "regular file",
    };
    // NOFOLLOW and NONBLOCK: neither a link nor a pipe that someone left there is followed or waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
    {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(wrong_type());
        }
        Err(e) => return Err(SecretError::io("open", path)(e)),
    };
    let meta = file.metadata().map_err(SecretError::io("look at", path))?;
    if !meta.is_file() {
        return Err(wrong_type());
    }
    check_owner_and_mode(path, &meta, FILE_MODE)?;
    read_bounded(file, path).map(Some)
}

fn write_synced(path: &Path, content: &[u8]) -> Result<(), SecretError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(SecretError::io("make", path))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(SecretError::io("write", path))
}

/// Reads at most [`MAX_FILE`] bytes into memory that is reserved once, so that no copy is left by growing.
fn read_bounded(mut file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut buffer = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut used = 0;
    loop {
        match file.read(&mut buffer[used..]) {
            Ok(0) => break,
            Ok(n) => used += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(SecretError::io("read", path)(e)),
        }
    }
    if used > MAX_FILE {
        return Err(SecretError::Damaged {
            path: path.to_owned(),
            kind: "pacmesh",
            reason: "too long",
        });
    }
    buffer.truncate(used);
    Ok(buffer)
}

fn check_owner_and_mode(path: &Path, meta: &Metadata, want: u32) -> Result<(), SecretError> {
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us {
        return Err(SecretError::ForeignOwner {
            path: path.to_owned(),
            owner: meta.uid(),
            us,
        });
    }
    let mode = meta.mode() & 0o7777;
    if mode & LOOSE != 0 {
        return Err(SecretError::LooseMode {
            path: path.to_owned(),
            mode,
            want,
        });
    }
    Ok(())
}

/// The path as a person can paste it into a shell.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// 32 secret bytes from which an ed25519 key is made. Wiped when dropped; shows as `Seed(..)`.
#[derive(Clone)]
pub(crate) struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// A new seed from the kernel's random numbers.
    pub(crate) fn generate() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(SecretError::NoRandom)?;
        Ok(Seed(bytes))
    }

    /// The seed as bytes: for writing it down and for making keys of it.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that this seed stands for.
    pub(crate) fn signing_key(&self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&self.0)
    }
}

impl From<Zeroizing<[u8; 32]>> for Seed {
    fn from(bytes: Zeroizing<[u8; 32]>) -> Self {
        Seed(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn directory() -> (tempfile::TempDir, SecretsDir) {
        let home = tempfile::tempdir().unwrap();
        let secrets = SecretsDir::open_or_create(home.path().join("secrets")).unwrap();
        (home, secrets)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_comes_back_as_written_and_only_its_owner_can_read_it() {
        let (_home, secrets) = directory();
        assert!(load_file(&secrets.path_of("a.key")).unwrap().is_none());
        secrets.create("a.key", b"hidden").unwrap();
        assert_eq!(
            load_file(&secrets.path_of("a.key")).unwrap().unwrap().as_slice(),
            b"hidden"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&secrets.path_of("a.key")), 0o600);
        assert_eq!(mode(&secrets.path), 0o700);
        let names: Vec<_> = fs::read_dir(&secrets.path)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a.key"], "no temporary file stays");
    }

    #[test]
    fn a_secret_is_never_overwritten() {
        let (_home, secrets) = directory();
        secrets.create("a.key", b"first").unwrap();
        assert!(matches!(
            secrets.create("a.key", b"second"),
            Err(SecretError::Exists { .. })
        ));
        assert_eq!(
            load_file(&secrets.path_of("a.key")).unwrap().unwrap().as_slice(),
            b"first"
        );
        assert_eq!(
            fs::read_dir(&secrets.path).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_looser_mode_is_refused_with_the_command_that_repairs_it() {
        let (_home, secrets) = directory();
        secrets.create("a.key", b"hidden").unwrap();
        let path = secrets.path_of("a.key");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            chmod(&path, mode);
            let message = load_file(&secrets.path_of("a.key")).unwrap_err().to_string();
            let expected = format!(
                "{0} has mode {mode:04o}, so others can reach the key: chmod 600 {0}",
                path.display()
            );
            assert_eq!(message, expected);
        }
        chmod(&path, 0o400);
        assert!(
            load_file(&secrets.path_of("a.key")).unwrap().is_some(),
            "a stricter mode is fine"
        );
    }

    #[test]
    fn a_loose_directory_is_refused() {
        let (_home, secrets) = directory();
        chmod(&secrets.path, 0o755);
        let error = SecretsDir::open_or_create(&secrets.path).unwrap_err();
        assert!(error.to_string().contains("has mode 0755"), "{error}");
        assert!(
            error
                .to_string()
                .ends_with(&format!("chmod 700 {}", secrets.path.display())),
            "{error}"
        );
    }

    #[test]
    fn a_foreign_owner_is_refused() {
        let meta = fs::metadata("/proc/self").unwrap();
        let ours = rustix::process::geteuid().as_raw();
        assert_eq!(meta.uid(), ours);
        // The root directory stands for a file of somebody else, unless the tests run as root.
        let (path, meta) = if ours == 0 {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::os::unix::fs::chown(file.path(), Some(12345), None).unwrap();
            (file.path().to_owned(), fs::metadata(file.path()).unwrap())
        } else {
            (PathBuf::from("/"), fs::metadata("/").unwrap())
        };
        let error = check_owner_and_mode(&path, &meta, FILE_MODE).unwrap_err();
        assert!(
            matches!(error, SecretError::ForeignOwner { us, .. } if us == ours),
            "{error}"
        );
    }

    #[test]
    fn links_directories_and_long_files_are_no_secrets() {
        let (_home, secrets) = directory();
        secrets.create("a.key", b"hidden").unwrap();
        symlink(secrets.path_of("a.key"), secrets.path_of("link.key")).unwrap();
        assert!(matches!(
            load_file(&secrets.path_of("link.key")),
            Err(SecretError::WrongType { .. })
        ));
        fs::create_dir(secrets.path_of("dir.key")).unwrap();
        assert!(matches!(
            load_file(&secrets.path_of("dir.key")),
            Err(SecretError::WrongType { .. })
        ));
        secrets.create("long.key", &vec![b'x'; MAX_FILE + 1]).unwrap();
        assert!(matches!(
            load_file(&secrets.path_of("long.key")),
            Err(SecretError::Damaged { .. })
        ));
    }

    #[test]
    fn paths_are_shown_as_a_shell_takes_them() {
        assert_eq!(
            shell(Path::new("/var/lib/pacmesh/a.key")),
            "/var/lib/pacmesh/a.key"
        );
        assert_eq!(
            shell(Path::new("/home/it's me/a.key")),
            r"'/home/it'\''s me/a.key'"
        );
    }

    #[test]
    fn seeds_differ_and_show_nothing() {
        let (a, b) = (Seed::generate().unwrap(), Seed::generate().unwrap());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(format!("{a:?}"), "Seed(..)");
    }
}
