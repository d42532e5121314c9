//! From a blob back to a directory, without believing the blob.
//!
//! The directory is new and only ours; files come first and symbolic links last, so that no link exists while anything
//! is written (invariants 5 and 7).

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::Path,
};

use super::{
    SourceError,
    tree::{CopyError, Entry, Node, Table, TreeError, TreeLimits, copy_verified},
};

/// What came out of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Files and links.
    pub entries: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes the tree in `blob` to `directory`, which must not exist yet.
///
/// On an error what was written so far is still there; the caller removes the directory.
pub fn unpack(blob: impl Read, directory: &Path, limits: TreeLimits) -> Result<Unpacked, SourceError> {
    let mut blob = std::io::BufReader::with_capacity(64 << 10, blob);
    let table = Table::read(&mut blob, limits)?;
    DirBuilder::new()
        .mode(0o755)
        .create(directory)
        .map_err(SourceError::io("create", directory))?;
    let mut bytes = 0;
    for entry in table.entries() {
        bytes += write_file(&mut blob, directory, entry)?;
    }
    if blob.read(&mut [0]).map_err(TreeError::Truncated)? != 0 {
        return Err(TreeError::Trailing.into());
    }
    for entry in table.entries() {
        write_link(directory, entry)?;
    }
    Ok(Unpacked {
        entries: table.entries().len(),
        bytes,
    })
}

fn write_file(blob: &mut impl Read, directory: &Path, entry: &Entry) -> Result<u64, SourceError> {
    let (mode, content) = match &entry.node {
        Node::Plain(content) => (0o644, *content),
        Node::Executable(content) => (0o755, *content),
        Node::Symlink(_) => return Ok(0),
    };
    let path = directory.join(&entry.path);
    create_parent(&path)?;
    let mut file = create(&path, mode)?;
    copy_verified(blob, &mut file, &entry.path, content).map_err(|error| match error {
        CopyError::Read(source) => TreeError::Truncated(source).into(),
        CopyError::Write(source) => SourceError::io("write", &path)(source),
        CopyError::Tree(error) => error.into(),
    })?;
    file.flush().map_err(SourceError::io("write", &path))?;
    Ok(content.size)
}

fn write_link(directory: &Path, entry: &Entry) -> Result<(), SourceError> {
    let Node::Symlink(target) = &entry.node else {
        return Ok(());
    };
    let path = directory.join(&entry.path);
    // Links made before this one lie beside it, never above it: the table has no entry below an entry.
    create_parent(&path)?;
    symlink(target, &path).map_err(SourceError::io("create the link", &path))
}

fn create_parent(path: &Path) -> Result<(), SourceError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
        .map_err(SourceError::io("create", parent))
}

/// The umask of the daemon must not leak into what is built, so the mode is set again after creation.
fn create(path: &Path, mode: u32) -> Result<File, SourceError> {
    use std::os::unix::fs::PermissionsExt;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(SourceError::io("create", path))?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(SourceError::io("set the mode of", path))?;
    Ok(file)
}
