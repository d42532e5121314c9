//! Reads a package archive in one streaming pass: what it is, what it holds and what its bytes hash to.
//!
//! The file name is never believed: all that is said here comes from the archive's own `.PKGINFO` and bytes,
//! and [`PackageMeta::matches`] compares a name with it. Every length is bounded by [`Limits`] before memory
//! is taken, so that a hostile archive costs a bounded amount of memory and time and gives an error.

mod digesting;
mod label;
mod pkginfo;
mod tarball;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use pacmesh_protocol::names::NameError;

use self::digesting::{Bounded, Digesting, Overflow, Sums};
use self::pkginfo::{PkgInfo, PkgInfoFault};
use self::tarball::{Kind, TarFault, Tarball};
use super::meta::PackageMeta;

pub use self::label::{Label, label};

/// Bytes read from the disk at once; large enough that hashing, not system calls, is what takes time.
const READ_AT_ONCE: usize = 256 * 1024;

/// Bounds on one archive. The defaults are those of FORMATS and of this module's doc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive as it lies on disk (FORMATS: 16 GiB).
    pub archive: u64,
    /// Bytes of `.PKGINFO`; real ones have a few KiB.
    pub pkginfo: u64,
    /// Number of files and directories; the largest packages of Arch have about 100,000.
    pub files: usize,
    /// Bytes of all their names together.
    pub names: usize,
    /// Bytes that any archive may unpack to, however small it is.
    pub unpacked_floor: u64,
    /// How many times its own size a larger archive may unpack to.
    pub unpacked_ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive: 16 << 30,
            pkginfo: 1 << 20,
            files: 500_000,
            names: 64 << 20,
            unpacked_floor: 1 << 30,
            unpacked_ratio: 256,
        }
    }
}

/// An archive was refused; nothing was written anywhere.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a package that can be published", path.display())]
pub struct ArchiveError {
    /// The file that was read.
    pub path: PathBuf,
    /// Why it was refused.
    #[source]
    pub fault: ArchiveFault,
}

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is larger than [`Limits::archive`].
    #[error("it has more than {0} bytes, the most that an archive may have")]
    TooLarge(u64),
    /// It unpacks to more than the limits allow.
    #[error("it unpacks to more than {0} bytes, which for its size is not believable")]
    Bomb(u64),
    /// Its first bytes are those of no compression that is read here.
    #[error("it is compressed with {0}; set PKGEXT to .pkg.tar.zst or .pkg.tar.gz and build it again")]
    Compression(&'static str),
    /// It is no archive, or a damaged one. The text says what is wrong with it.
    #[error("it is no sound tar archive: {0}")]
    Tar(String, #[source] Option<io::Error>),
    /// It has no `.PKGINFO`.
    #[error("it has no .PKGINFO, so makepkg did not make it")]
    NoPkgInfo,
    /// It has two files named `.PKGINFO`, and readers would disagree about which counts.
    #[error("it has two .PKGINFO")]
    TwoPkgInfos,
    /// `.PKGINFO` is there and says what no package may say. The text says what.
    #[error("{0}")]
    PkgInfo(String, #[source] Option<NameError>),
    /// It has more files than [`Limits::files`] or longer names than [`Limits::names`].
    #[error("it has too many files ({files} with {names} bytes of names)")]
    TooManyFiles {
        /// Files and directories seen before it was refused.
        files: usize,
        /// Bytes of their names.
        names: usize,
    },
}

/// Reads the archive at `path` with the default [`Limits`]. Blocks; takes about a second per GiB.
///
/// # Errors
///
/// [`ArchiveError`] names the file; its source says why it is refused.
pub fn read(path: &Path) -> Result<PackageMeta, ArchiveError> {
    read_within(path, &Limits::default())
}

/// [`read`] with other limits.
///
/// # Errors
///
/// As [`read`].
pub fn read_within(path: &Path, limits: &Limits) -> Result<PackageMeta, ArchiveError> {
    let refuse = |fault| ArchiveError {
        path: path.to_owned(),
        fault,
    };
    let file = File::open(path).map_err(|error| refuse(ArchiveFault::Read(error)))?;
    let size = file
        .metadata()
        .map_err(|error| refuse(ArchiveFault::Read(error)))?
        .len();
    if size > limits.archive {
        return Err(refuse(ArchiveFault::TooLarge(limits.archive)));
    }
    read_stream(file, size, limits).map_err(refuse)
}

fn read_stream(file: impl Read, size: u64, limits: &Limits) -> Result<PackageMeta, ArchiveFault> {
    // The file may still grow while it is read, so the stream itself carries the limit as well.
    let bounded = Bounded::new(file, Overflow::Archive(limits.archive));
    let mut bytes = BufReader::with_capacity(READ_AT_ONCE, Digesting::new(bounded));
    let most = limits
        .unpacked_floor
        .max(size.saturating_mul(limits.unpacked_ratio));
    let most = Overflow::Unpacked(most);
    let contents = match Compression::detect(bytes.fill_buf().map_err(read_fault)?)? {
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(&mut bytes).map_err(ArchiveFault::Read)?;
            Contents::collect(Bounded::new(decoder, most), limits)?
        }
        Compression::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(&mut bytes);
            Contents::collect(Bounded::new(decoder, most), limits)?
        }
        Compression::None => Contents::collect(Bounded::new(&mut bytes, most), limits)?,
    };
    io::copy(&mut bytes, &mut io::sink()).map_err(read_fault)?;
    Ok(contents.into_meta(bytes.into_inner().finish()))
}

/// A failed read: of the archive itself, of a limit, or of what the decoder made of it.
fn read_fault(error: io::Error) -> ArchiveFault {
    match Overflow::behind(&error) {
        Some(Overflow::Archive(limit)) => ArchiveFault::TooLarge(limit),
        Some(Overflow::Unpacked(limit)) => ArchiveFault::Bomb(limit),
        None => ArchiveFault::Read(error),
    }
}

#[derive(Debug, Clone, Copy)]
enum Compression {
    Zstd,
    Gzip,
    None,
}

impl Compression {
    /// By the magic bytes of RFC 8878, RFC 1952 and POSIX `ustar`; a name's ending proves nothing.
    fn detect(start: &[u8]) -> Result<Self, ArchiveFault> {
        match start {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(ArchiveFault::Compression("xz")),
            [b'B', b'Z', b'h', ..] => Err(ArchiveFault::Compression("bzip2")),
            [b'L', b'Z', b'I', b'P', ..] => Err(ArchiveFault::Compression("lzip")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(ArchiveFault::Compression("lz4")),
            _ if start.get(257..262) == Some(b"ustar") => Ok(Self::None),
            _ => Err(ArchiveFault::Compression("something unknown")),
        }
    }
}

/// What one walk over the members gathers.
#[derive(Debug)]
struct Contents {
    info: PkgInfo,
    files: BTreeSet<String>,
}

impl Contents {
    fn collect(unpacked: impl Read, limits: &Limits) -> Result<Self, ArchiveFault> {
        let mut tarball = Tarball::new(unpacked);
        let mut info = None;
        let mut files = BTreeSet::new();
        let (mut count, mut names) = (0, 0);
        while let Some(member) = tarball.next_member().map_err(tar_fault)? {
            if member.path == b".PKGINFO" && member.kind == Kind::File {
                if info.is_some() {
                    return Err(ArchiveFault::TwoPkgInfos);
                }
                let content = tarball.read_content(limits.pkginfo).map_err(tar_fault)?;
                info = Some(PkgInfo::parse(&content)?);
            }
            let line = listed(&member.path, member.kind);
            count += 1;
            names += line.len();
            if count > limits.files || names > limits.names {
                return Err(ArchiveFault::TooManyFiles { files: count, names });
            }
            if !member.path.is_empty() && !member.path.starts_with(b".") {
                files.insert(line);
            }
        }
        // Reading on to the end makes the decoder check the frame's own checksum.
        io::copy(&mut tarball.into_inner(), &mut io::sink())
            .map_err(|error| tar_fault(TarFault::Read(error)))?;
        Ok(Self {
            info: info.ok_or(ArchiveFault::NoPkgInfo)?,
            files,
        })
    }

    fn into_meta(self, sums: Sums) -> PackageMeta {
        let PkgInfo {
            name,
            base,
            version,
            arch,
            fields,
        } = self.info;
        PackageMeta {
            name,
            base,
            version,
            description: fields.description,
            groups: fields.groups,
            compressed_size: sums.length,
            installed_size: fields.installed_size,
            sha256: sums.sha256,
            blake3: sums.blake3,
            url: fields.url,
            licenses: fields.licenses,
            arch,
            build_date: fields.build_date,
            packager: fields.packager,
            replaces: fields.replaces,
            conflicts: fields.conflicts,
            provides: fields.provides,
            depends: fields.depends,
            optdepends: fields.optdepends,
            makedepends: fields.makedepends,
            checkdepends: fields.checkdepends,
            files: self.files.into_iter().collect(),
        }
    }
}

fn tar_fault(fault: TarFault) -> ArchiveFault {
    match fault {
        TarFault::Read(error) => match read_fault(error) {
            ArchiveFault::Read(error) => ArchiveFault::Tar("it cannot be unpacked".into(), Some(error)),
            limit => limit,
        },
        other => ArchiveFault::Tar(other.to_string(), None),
    }
}

impl From<PkgInfoFault> for ArchiveFault {
    fn from(fault: PkgInfoFault) -> Self {
        let text = fault.to_string();
        match fault {
            PkgInfoFault::Name(_, error) => Self::PkgInfo(text, Some(error)),
            _ => Self::PkgInfo(text, None),
        }
    }
}

/// A path as `bsdtar -t` prints it, which is what repo-add writes: directories end in `/`; backslashes,
/// control characters and bytes that are no UTF-8 are escaped. So no name can break the lines of a files
/// list.
fn listed(path: &[u8], kind: Kind) -> String {
    let mut line = String::with_capacity(path.len() + 1);
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut line, character);
        }
        for byte in chunk.invalid() {
            line.push_str(&format!("\\{byte:03o}"));
        }
    }
    if kind == Kind::Directory {
        line.push('/');
    }
    line
}

fn push_escaped(line: &mut String, character: char) {
    match character {
        '\\' => line.push_str("\\\\"),
        '\x07' => line.push_str("\\a"),
        '\x08' => line.push_str("\\b"),
        '\x0b' => line.push_str("\\v"),
        '\x0c' => line.push_str("\\f"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        other if other.is_control() => {
            let mut bytes = [0; 4];
            for byte in other.encode_utf8(&mut bytes).bytes() {
                line.push_str(&format!("\\{byte:03o}"));
            }
        }
        other => line.push(other),
    }
}

#[cfg(test)]
mod tests;
