//! Walks a tar stream member by member and never holds more of it than a stated bound.
//!
//! The `tar` crate's own iterator reads long names and pax attributes to whatever length their header claims;
//! a package comes from outside, so every such length is checked here before memory is taken. Formats:
//! POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header", and GNU's long names.

use std::io::{self, Read};

use tar::{EntryType, Header};

/// Bytes of one tar block (POSIX `pax`).
const BLOCK: usize = 512;
/// Longest path a member may have. Linux refuses longer ones (`PATH_MAX`), so no package can use them.
const PATH_MAX: usize = 4096;
/// Most bytes of pax attributes before one member: paths, times and file capabilities fit many times over.
const PAX_MAX: u64 = 256 * 1024;

/// What a member is, as far as a list of files cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file with bytes of its own.
    File,
    /// A directory.
    Directory,
    /// A link, a device or a pipe: a name without bytes.
    Other,
}

/// One member of the archive.
#[derive(Debug)]
pub(super) struct Member {
    /// The path as packed, without a leading `./` and without a trailing `/`.
    pub(super) path: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
}

/// Why the stream is not a tar archive that a package may be.
#[derive(Debug, thiserror::Error)]
pub(super) enum TarFault {
    /// The stream could not be read; the source says why.
    #[error("cannot read the packed files")]
    Read(#[source] io::Error),
    /// A header does not carry its own checksum, or an attribute not its own length.
    #[error("a tar header in it is damaged")]
    Damaged,
    /// The stream ends inside a member.
    #[error("the packed files end too early")]
    Truncated,
    /// A construct that makepkg never writes and that readers disagree about.
    #[error("it uses {0}, which no package needs")]
    Unsupported(&'static str),
    /// A name or attribute beyond its bound.
    #[error("a file name or attribute in it is longer than {0} bytes")]
    TooLong(u64),
    /// A path that would be placed outside the root.
    #[error("it has a file named '{0}', which is not a path below the root")]
    Escapes(String),
}

/// What the extension headers before a member said about it.
#[derive(Debug, Default)]
struct Pending {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

/// The walk itself. Members come in the order of the archive; the content of one that was not read is
/// skipped.
#[derive(Debug)]
pub(super) struct Tarball<R> {
    inner: R,
    content: u64,
    padding: u64,
}

impl<R: Read> Tarball<R> {
    /// Starts at the first block of `inner`.
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            content: 0,
            padding: 0,
        }
    }

    /// The next member, or `None` at the end-of-archive block or a clean end of the stream.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, TarFault> {
        let mut pending = Pending::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.read_header()? else {
                return Ok(None);
            };
            let size = header.entry_size().map_err(|_| TarFault::Damaged)?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    pending.path = Some(trim_nul(self.read_whole(size, PATH_MAX as u64 + 1)?));
                }
                EntryType::GNULongLink => drop(self.read_whole(size, PATH_MAX as u64 + 1)?),
                EntryType::XHeader => self.read_pax(size, &mut pending)?,
                EntryType::XGlobalHeader => drop(self.read_whole(size, PAX_MAX)?),
                kind => return self.begin(&header, kind, size, pending).map(Some),
            }
        }
    }

    /// The content of the member that [`Self::next_member`] gave last; refused above `limit` bytes.
    pub(super) fn read_content(&mut self, limit: u64) -> Result<Vec<u8>, TarFault> {
        let size = std::mem::take(&mut self.content);
        self.read_exactly(size, limit)
    }

    /// Gives the stream back, placed after the last block that was read.
    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    fn begin(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        pending: Pending,
    ) -> Result<Member, TarFault> {
        let size = pending.size.unwrap_or(size);
        let path = pending.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match kind {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Link | EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo => {
                Kind::Other
            }
            EntryType::GNUSparse => return Err(TarFault::Unsupported("sparse files")),
            _ => return Err(TarFault::Unsupported("an unknown kind of tar member")),
        };
        if kind != Kind::File && size != 0 {
            return Err(TarFault::Unsupported("content behind a link or directory"));
        }
        self.content = size;
        self.padding = padding(size);
        Ok(Member {
            path: checked_path(&path)?,
            kind,
        })
    }

    fn read_pax(&mut self, size: u64, pending: &mut Pending) -> Result<(), TarFault> {
        let body = self.read_whole(size, PAX_MAX)?;
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (key, value, after) = split_attribute(rest).ok_or(TarFault::Damaged)?;
            rest = after;
            match key {
                b"path" if value.len() > PATH_MAX => return Err(TarFault::TooLong(PATH_MAX as u64)),
                b"path" => pending.path = Some(value.to_vec()),
                b"size" => pending.size = Some(parse_size(value).ok_or(TarFault::Damaged)?),
                key if key.starts_with(b"GNU.sparse.") => return Err(TarFault::Unsupported("sparse files")),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_whole(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, TarFault> {
        self.padding = padding(size);
        self.read_exactly(size, limit)
    }

    fn read_exactly(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, TarFault> {
        if size > limit {
            return Err(TarFault::TooLong(limit));
        }
        let mut bytes = Vec::new();
        self.inner
            .by_ref()
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(TarFault::Read)?;
        if bytes.len() as u64 != size {
            return Err(TarFault::Truncated);
        }
        Ok(bytes)
    }

    fn skip_content(&mut self) -> Result<(), TarFault> {
        let rest = std::mem::take(&mut self.content).saturating_add(std::mem::take(&mut self.padding));
        let skipped =
            io::copy(&mut self.inner.by_ref().take(rest), &mut io::sink()).map_err(TarFault::Read)?;
        if skipped == rest {
            Ok(())
        } else {
            Err(TarFault::Truncated)
        }
    }

    fn read_header(&mut self) -> Result<Option<Header>, TarFault> {
        let mut block = Vec::with_capacity(BLOCK);
        self.inner
            .by_ref()
            .take(BLOCK as u64)
            .read_to_end(&mut block)
            .map_err(TarFault::Read)?;
        if block.is_empty() || block.len() == BLOCK && block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if block.len() != BLOCK {
            return Err(TarFault::Truncated);
        }
        let header = Header::from_byte_slice(&block).clone();
        if header.cksum().ok() != Some(checksum(&block)) {
            return Err(TarFault::Damaged);
        }
        Ok(Some(header))
    }
}

/// The sum of all header bytes, those of the checksum field (148..156) counted as spaces.
fn checksum(block: &[u8]) -> u32 {
    let counted = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) {
            32
        } else {
            u32::from(*byte)
        }
    };
    block.iter().enumerate().map(counted).sum()
}

/// Bytes that fill the last block of a content of `size` bytes.
fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// Splits the first `LENGTH KEY=VALUE\n` off; the length counts itself, and values may hold any byte.
fn split_attribute(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(parse_size(&body[..space])?).ok()?;
    let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &body[length..]))
}

fn parse_size(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

fn trim_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn checked_path(path: &[u8]) -> Result<Vec<u8>, TarFault> {
    let escapes = || TarFault::Escapes(String::from_utf8_lossy(path).into_owned());
    if path.starts_with(b"/") || path.contains(&0) || path.len() > PATH_MAX {
        return Err(escapes());
    }
    let parts: Vec<&[u8]> = path
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(escapes());
    }
    Ok(parts.join(&b'/'))
}
