//! The form of a source tree blob (FORMATS, "Jobs and attempts"), and what every tree promises before it is believed.
//!
//! `MAGIC`, the table's length as u32 little endian, the table in bincode, then the files' bytes in the table's order.
//! The table is sorted by path bytes without duplicates; no entry lies below another entry, so every parent is a plain
//! directory that the unpacker makes itself; symbolic links stay inside. There are no times and no owners in it.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
};

use pacmesh_protocol::{
    codec::{self, CodecError},
    ids::Digest,
};
use serde::{Deserialize, Serialize};

/// First bytes of every source tree; the last one is the version of the form.
const MAGIC: [u8; 8] = *b"pmtree\0\x01";

/// Longest table, in bytes: 10,000 paths of 300 bytes; the codec's memory limit lies beyond it.
const TABLE_LIMIT: usize = 3 << 20;

/// Longest path, in bytes (PATH_MAX of limits.h less room for the folder that it is unpacked in).
const PATH_LIMIT: usize = 1024;

/// Longest component of a path, in bytes (NAME_MAX of limits.h).
const NAME_LIMIT: usize = 255;

/// What a tree may hold (FORMATS, "Numbers": 1 GiB or 10,000 files refuse).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// All files together, in bytes.
    pub bytes: u64,
    /// Files and symbolic links.
    pub entries: usize,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            entries: 10_000,
        }
    }
}

/// Why bytes are not a source tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It begins with something else.
    #[error("it does not begin like one, or is of a newer form")]
    Magic,
    /// It ends too early or cannot be read.
    #[error("it ends too early")]
    Truncated(#[source] std::io::Error),
    /// Bytes follow the last file.
    #[error("bytes follow its last file")]
    Trailing,
    /// The table is too long or malformed.
    #[error("its table cannot be read")]
    Table(#[source] CodecError),
    /// More files or bytes than a tree may hold.
    #[error("it holds {what}, more than {limit}")]
    TooLarge {
        /// How much of what.
        what: String,
        /// What is allowed.
        limit: u64,
    },
    /// A path or link that could reach outside, or stands in the wrong place.
    #[error("'{}' is refused: {reason}", .path.escape_debug())]
    Path {
        /// The entry's path.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A file's bytes are not those that the table names.
    #[error("the bytes of '{}' differ from their hash", .0.escape_debug())]
    Hash(String),
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Relative, `/` between components.
    pub(super) path: String,
    /// What is there.
    pub(super) node: Node,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    /// A file of mode 0644.
    Plain(Content),
    /// A file of mode 0755.
    Executable(Content),
    /// A symbolic link and its target.
    Symlink(String),
}

/// The bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    /// Length, in bytes.
    pub(super) size: u64,
    /// BLAKE3 of the bytes.
    pub(super) digest: Digest,
}

impl Node {
    /// The content, unless it is a link.
    pub(super) const fn content(&self) -> Option<Content> {
        match self {
            Self::Plain(content) | Self::Executable(content) => Some(*content),
            Self::Symlink(_) => None,
        }
    }
}

/// The table of a tree, known to keep every promise of this module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table(Vec<Entry>);

impl Table {
    /// Sorts `entries` and checks them.
    pub(super) fn new(mut entries: Vec<Entry>, limits: TreeLimits) -> Result<Self, TreeError> {
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        check(&entries, limits)?;
        Ok(Self(entries))
    }

    /// Reads the head of a blob; nothing is believed that was not checked.
    pub(super) fn read(mut blob: impl Read, limits: TreeLimits) -> Result<Self, TreeError> {
        let mut head = [0; 12];
        blob.read_exact(&mut head).map_err(TreeError::Truncated)?;
        let (magic, length) = head.split_at(8);
        if magic != MAGIC {
            return Err(TreeError::Magic);
        }
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length > TABLE_LIMIT {
            let limit = TABLE_LIMIT;
            return Err(TreeError::Table(CodecError::TooLong { length, limit }));
        }
        let mut bytes = vec![0; length];
        blob.read_exact(&mut bytes).map_err(TreeError::Truncated)?;
        let entries: Vec<Entry> = codec::decode(&bytes, TABLE_LIMIT).map_err(TreeError::Table)?;
        check(&entries, limits)?;
        Ok(Self(entries))
    }

    /// The head of a blob; the files' bytes follow it in the table's order.
    pub(super) fn head(&self) -> Result<Vec<u8>, TreeError> {
        let bytes = codec::encode(&self.0, TABLE_LIMIT).map_err(TreeError::Table)?;
        let mut head = Vec::with_capacity(MAGIC.len() + 4 + bytes.len());
        head.extend(MAGIC);
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend(bytes);
        Ok(head)
    }

    /// The entries, sorted by path bytes.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }
}

/// Copies exactly `content.size` bytes and compares them with their hash.
pub(super) fn copy_verified(
    mut from: impl Read,
    mut to: impl Write,
    path: &str,
    content: Content,
) -> Result<(), CopyError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    let mut left = content.size;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let got = from.read(&mut buffer[..want]).map_err(CopyError::Read)?;
        if got == 0 {
            return Err(CopyError::Read(std::io::ErrorKind::UnexpectedEof.into()));
        }
        hasher.update(&buffer[..got]);
        to.write_all(&buffer[..got]).map_err(CopyError::Write)?;
        left -= got as u64;
    }
    if hasher.finalize().as_bytes() == content.digest.as_bytes() {
        Ok(())
    } else {
        Err(CopyError::Tree(TreeError::Hash(path.to_owned())))
    }
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(super) enum CopyError {
    Read(std::io::Error),
    Write(std::io::Error),
    Tree(TreeError),
}

fn check(entries: &[Entry], limits: TreeLimits) -> Result<(), TreeError> {
    if entries.len() > limits.entries {
        return Err(TreeError::TooLarge {
            what: format!("{} files", entries.len()),
            limit: limits.entries as u64,
        });
    }
    let total = entries
        .iter()
        .filter_map(|entry| entry.node.content())
        .try_fold(0_u64, |sum, content| sum.checked_add(content.size));
    if total.is_none_or(|total| total > limits.bytes) {
        return Err(TreeError::TooLarge {
            what: total.map_or("too many bytes".to_owned(), |total| format!("{total} bytes")),
            limit: limits.bytes,
        });
    }
    check_order(entries)?;
    let paths: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    for entry in entries {
        check_entry(entry, &paths).map_err(|reason| TreeError::Path {
            path: entry.path.clone(),
            reason,
        })?;
    }
    Ok(())
}

fn check_order(entries: &[Entry]) -> Result<(), TreeError> {
    for pair in entries.windows(2) {
        if pair[0].path.as_bytes() >= pair[1].path.as_bytes() {
            return Err(TreeError::Path {
                path: pair[1].path.clone(),
                reason: "it is listed twice or out of order",
            });
        }
    }
    Ok(())
}

fn check_entry(entry: &Entry, paths: &BTreeSet<&str>) -> Result<(), &'static str> {
    check_path(&entry.path)?;
    let mut parent = entry.path.as_str();
    while let Some((above, _)) = parent.rsplit_once('/') {
        if paths.contains(above) {
            return Err("it lies below a file or a link");
        }
        parent = above;
    }
    match &entry.node {
        Node::Symlink(target) => check_target(&entry.path, target),
        Node::Plain(_) | Node::Executable(_) => Ok(()),
    }
}

/// Relative, plain components, bounded.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_LIMIT {
        return Err("its path is too long");
    }
    if path.contains('\0') {
        return Err("its name holds a zero byte");
    }
    for name in path.split('/') {
        match name {
            "" => return Err("its path is absolute or has an empty part"),
            "." | ".." => return Err("its path has a '.' or '..' part"),
            _ if name.len() > NAME_LIMIT => return Err("a part of its path is too long"),
            _ => {}
        }
    }
    Ok(())
}

/// A target may climb only at its beginning, and not above the tree.
///
/// Behind a name that is itself a link, `..` means something else than the text says; at the beginning it cannot,
/// because every folder above an entry is a plain one.
fn check_target(path: &str, target: &str) -> Result<(), &'static str> {
    const OUTSIDE: &str = "it is a link out of the source directory";
    if target.is_empty() || target.len() > PATH_LIMIT || target.contains('\0') {
        return Err("it is a link to nothing");
    }
    if target.starts_with('/') {
        return Err(OUTSIDE);
    }
    let depth = path.matches('/').count();
    let climbs = target.split('/').take_while(|name| *name == "..").count();
    if climbs > depth {
        return Err(OUTSIDE);
    }
    if target.split('/').skip(climbs).any(|name| name == "..") {
        return Err("it is a link that climbs behind a name");
    }
    Ok(())
}
