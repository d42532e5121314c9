//! From a directory to a source tree, with the caller's own rights.
//!
//! Two passes: the first hashes, the second writes and checks that every file is still what the first pass saw. Equal
//! directories give equal bytes on every machine, whatever their times and owners.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::SystemTime,
};

use pacmesh_protocol::ids::Digest;
use tempfile::NamedTempFile;

use super::{
    SourceError,
    epoch::source_date_epoch,
    select::{Selected, Selection, select},
    tree::{Content, CopyError, Entry, Node, Table, TreeError, TreeLimits, copy_verified},
};

/// More than this is packed only with `force`, in bytes (FORMATS, "Numbers": 64 MiB asks).
const ASKS: u64 = 64 << 20;

/// Longest PKGBUILD that is read for its downloads, in bytes; the longest in Arch's repositories have some 50 KiB.
const PKGBUILD_LIMIT: u64 = 1 << 20;

/// How to pack.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackOptions {
    /// Take more than 64 MiB without asking.
    pub force: bool,
}

/// A packed source tree.
#[derive(Debug)]
pub struct Packed {
    /// The blob; removed when dropped.
    pub file: NamedTempFile,
    /// BLAKE3 of the blob.
    pub digest: Digest,
    /// Length of the blob, in bytes.
    pub size: u64,
    /// SOURCE_DATE_EPOCH, in seconds.
    pub epoch: u64,
    /// What was left out and could surprise, one line each.
    pub warnings: Vec<String>,
}

/// Packs what the PKGBUILD in `directory` names.
pub fn pack(directory: &Path, options: PackOptions) -> Result<Packed, SourceError> {
    let pkgbuild = read_pkgbuild(directory)?;
    let limits = TreeLimits::default();
    let selection = select(directory, &pkgbuild, limits)?;
    check_size(directory, &selection, options)?;
    let epoch = source_date_epoch(directory, selection.newest, SystemTime::now());
    let table = table(&selection.files, limits)?;
    let (file, digest, size) = write(directory, &table)?;
    Ok(Packed {
        file,
        digest,
        size,
        epoch,
        warnings: selection.warnings,
    })
}

fn read_pkgbuild(directory: &Path) -> Result<String, SourceError> {
    let path = directory.join("PKGBUILD");
    match path.symlink_metadata() {
        Err(_) => return Err(SourceError::NoPkgbuild(directory.to_owned())),
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => {
            return Err(SourceError::Unpackable {
                path,
                reason: "it is no plain file: put the file itself in its place".to_owned(),
            });
        }
    }
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(PKGBUILD_LIMIT).read_to_end(&mut bytes))
        .map_err(SourceError::io("read", &path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn check_size(directory: &Path, selection: &Selection, options: PackOptions) -> Result<(), SourceError> {
    let total: u64 = selection
        .files
        .iter()
        .filter(|file| file.metadata.is_file())
        .map(|file| file.metadata.len())
        .sum();
    if total > ASKS && !options.force {
        return Err(SourceError::Large {
            directory: directory.to_owned(),
            mebibytes: total.div_ceil(1 << 20),
            limit: ASKS >> 20,
        });
    }
    Ok(())
}

fn table(files: &[Selected], limits: TreeLimits) -> Result<Table, SourceError> {
    let entries = files.iter().map(entry).collect::<Result<_, _>>()?;
    Table::new(entries, limits).map_err(|error| match error {
        TreeError::Path { path, reason } => SourceError::Unpackable {
            path: path.into(),
            reason: format!("{reason}: move it away, or put a copy in its place"),
        },
        other => SourceError::Tree(other),
    })
}

fn entry(file: &Selected) -> Result<Entry, SourceError> {
    let node = if file.metadata.is_symlink() {
        let target = std::fs::read_link(&file.location).map_err(SourceError::io("read", &file.location))?;
        let target = target.to_str().ok_or_else(|| SourceError::Unpackable {
            path: file.location.clone(),
            reason: "its target is not UTF-8: rename it".to_owned(),
        })?;
        Node::Symlink(target.to_owned())
    } else {
        let content = hash(&file.location)?;
        match file.metadata.mode() & 0o100 {
            0 => Node::Plain(content),
            _ => Node::Executable(content),
        }
    };
    Ok(Entry {
        path: file.path.clone(),
        node,
    })
}

fn hash(path: &Path) -> Result<Content, SourceError> {
    let file = File::open(path).map_err(SourceError::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file)
        .map_err(SourceError::io("read", path))?;
    Ok(Content {
        size: hasher.count(),
        digest: Digest(*hasher.finalize().as_bytes()),
    })
}

fn write(directory: &Path, table: &Table) -> Result<(NamedTempFile, Digest, u64), SourceError> {
    let scratch = std::env::temp_dir();
    let file = NamedTempFile::new().map_err(SourceError::io("create a file in", &scratch))?;
    let mut out = HashingWriter {
        inner: BufWriter::new(file),
        hasher: blake3::Hasher::new(),
    };
    out.write_all(&table.head()?)
        .map_err(SourceError::io("write to", &scratch))?;
    for entry in table.entries() {
        let Some(content) = entry.node.content() else {
            continue;
        };
        let path = directory.join(&entry.path);
        let source = File::open(&path).map_err(SourceError::io("read", &path))?;
        copy_verified(source, &mut out, &entry.path, content).map_err(|error| match error {
            CopyError::Read(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                SourceError::io("read", &path)(error)
            }
            CopyError::Read(_) | CopyError::Tree(_) => SourceError::Changed(path.clone()),
            CopyError::Write(error) => SourceError::io("write to", &scratch)(error),
        })?;
    }
    let size = out.hasher.count();
    let digest = Digest(*out.hasher.finalize().as_bytes());
    let file = out
        .inner
        .into_inner()
        .map_err(|error| SourceError::io("write to", &scratch)(error.into_error()))?;
    Ok((file, digest, size))
}

struct HashingWriter<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
