//! What an archive says it is, read no further than to its `.PKGINFO`: enough to refuse at once what is no package.
//! Nothing is verified by it; whoever publishes reads all of it.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use pacmesh_protocol::names::{PackageFileName, PackageName};

use super::{
    ArchiveError, ArchiveFault, Compression, Limits,
    digesting::{Bounded, Overflow},
    pkginfo::PkgInfo,
    read_fault, tar_fault,
    tarball::{Kind, Tarball},
};

/// `.PKGINFO` is among the first members; an archive that hides it behind more than this is none of makepkg's.
const REACH: u64 = 64 << 20;

/// The name of an archive by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The file name that it should have.
    pub file: PackageFileName,
    /// The base that it belongs to.
    pub base: PackageName,
}

/// Reads the label of the archive at `path`. Blocks.
///
/// # Errors
///
/// [`ArchiveError`] names the file; its source says why it is no package.
pub fn label(path: &Path) -> Result<Label, ArchiveError> {
    read(path).map_err(|fault| ArchiveError {
        path: path.to_owned(),
        fault,
    })
}

fn read(path: &Path) -> Result<Label, ArchiveFault> {
    let file = File::open(path).map_err(ArchiveFault::Read)?;
    let mut bytes = BufReader::new(file);
    let compression = Compression::detect(bytes.fill_buf().map_err(read_fault)?)?;
    let most = Overflow::Unpacked(REACH);
    match compression {
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(bytes).map_err(ArchiveFault::Read)?;
            find(Bounded::new(decoder, most), "pkg.tar.zst")
        }
        Compression::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(bytes);
            find(Bounded::new(decoder, most), "pkg.tar.gz")
        }
        Compression::None => find(Bounded::new(bytes, most), "pkg.tar"),
    }
}

fn find(unpacked: impl Read, extension: &str) -> Result<Label, ArchiveFault> {
    let mut tarball = Tarball::new(unpacked);
    while let Some(member) = tarball.next_member().map_err(tar_fault)? {
        if member.path == b".PKGINFO" && member.kind == Kind::File {
            let content = tarball
                .read_content(Limits::default().pkginfo)
                .map_err(tar_fault)?;
            let info = PkgInfo::parse(&content)?;
            let name = format!("{}-{}-{}.{extension}", info.name, info.version, info.arch);
            let file = name.parse().map_err(|error| {
                ArchiveFault::PkgInfo(format!("'{name}' is not a package file name"), Some(error))
            })?;
            return Ok(Label {
                file,
                base: info.base,
            });
        }
    }
    Err(ArchiveFault::NoPkgInfo)
}
