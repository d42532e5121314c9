//! What a stage left behind, read as hostile: nothing is followed, nothing blocks, everything is bounded.
//!
//! Call these when the stage has ended: only then is the sandbox dead and nothing changes under the reader's hands.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use pacmesh_protocol::names::PackageFileName;
use rustix::{fs::OFlags, io::Errno};

use super::{
    layout::{is_plain_folder, write_atomically},
    spec::{AttemptError, io_error},
};

/// Longest archive that is taken from a build, in bytes (FORMATS, "Numbers": 16 GiB).
const ARCHIVE_LIMIT: u64 = 16 << 30;

/// Most files that are looked at behind a build.
const ARCHIVES_LIMIT: usize = 1024;

/// Longest PKGBUILD that is rewritten, in bytes; the longest in Arch's repositories have some 50 KiB.
const PKGBUILD_LIMIT: u64 = 1 << 20;

/// One archive behind a build, opened so that its name cannot be exchanged any more.
#[derive(Debug)]
pub struct BuiltArchive {
    /// Its name, parsed.
    pub file: PackageFileName,
    /// Length, in bytes.
    pub size: u64,
    /// The bytes.
    pub bytes: File,
}

/// The archives in `folder`, sorted by name.
pub(super) fn archives(folder: &Path) -> Result<Vec<BuiltArchive>, AttemptError> {
    if !is_plain_folder(folder) {
        return Ok(Vec::new());
    }
    let mut archives = Vec::new();
    let items = fs::read_dir(folder).map_err(io_error("list", folder))?;
    for item in items.take(ARCHIVES_LIMIT) {
        let item = item.map_err(io_error("list", folder))?;
        let Some(file) = item.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(archive) = open_archive(&item.path(), file)? {
            archives.push(archive);
        }
    }
    archives.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(archives)
}

/// Replaces every line that begins with `pkgrel=`, as makepkg itself does for `pkgver()`.
pub(super) fn replace_pkgrel(path: &Path, pkgrel: &str) -> Result<(), AttemptError> {
    let text = read_pkgbuild(path)?;
    let mut found = false;
    let lines: Vec<_> = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            if line.starts_with(b"pkgrel=") {
                found = true;
                format!("pkgrel={pkgrel}\n").into_bytes()
            } else {
                line.to_owned()
            }
        })
        .collect();
    if !found {
        return Err(AttemptError::Pkgrel(
            "the PKGBUILD has no line that begins with pkgrel=",
        ));
    }
    // The folder was writable for the build: only its name is safe, so the file is replaced, never followed.
    write_atomically(path, &lines.concat(), 0o644).map_err(io_error("write", path))
}

/// Removes an attempt's folder, whatever modes a build gave to what is in it.
pub(super) fn remove(root: &Path) -> Result<(), AttemptError> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // makepkg takes away the right to read `pkg/`, and builds may do so anywhere.
            open_up(root).map_err(io_error("open", root))?;
            fs::remove_dir_all(root).map_err(io_error("remove", root))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(io_error("remove", root)),
    }
}

fn read_pkgbuild(path: &Path) -> Result<Vec<u8>, AttemptError> {
    let file = open_plain(path)
        .map_err(io_error("read", path))?
        .ok_or(AttemptError::Pkgrel("the PKGBUILD is no plain file any more"))?;
    let mut bytes = Vec::new();
    file.take(PKGBUILD_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    if bytes.len() as u64 > PKGBUILD_LIMIT {
        return Err(AttemptError::Pkgrel("the PKGBUILD is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Opens a file that a build left; `None` if it is anything but a plain file. Never follows and never blocks.
fn open_plain(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path);
    match opened {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
    }
}

fn open_archive(path: &Path, file: PackageFileName) -> Result<Option<BuiltArchive>, AttemptError> {
    // Sockets cannot be opened at all; they are no more a package than a link is.
    let Ok(Some(bytes)) = open_plain(path) else {
        return Ok(None);
    };
    let size = bytes.metadata().map_err(io_error("look at", path))?.len();
    if size > ARCHIVE_LIMIT {
        return Err(io_error("take", path)(io::Error::other(
            "it is larger than 16 GiB",
        )));
    }
    Ok(Some(BuiltArchive { file, size, bytes }))
}

/// Gives the owner all rights on folders below `path`, without following links.
fn open_up(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for item in fs::read_dir(path)? {
        let path = item?.path();
        if is_plain_folder(&path) {
            open_up(&path)?;
        }
    }
    Ok(())
}
