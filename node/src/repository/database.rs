//! Writes the two databases that pacman reads, equal in meaning to what repo-add writes and equal in bytes on
//! every node.
//!
//! Nothing but the entries decides the bytes: they are sorted here, owners are 0, a member's time is its
//! package's build date, and zstd runs on one thread at a fixed level. Unlike repo-add of pacman 6.0 no
//! `%MD5SUM%` is written: pacman uses SHA-256 where it is there, and repo-add 6.1 and later leave MD5 out
//! too.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pacmesh_protocol::names::{PackageFileName, PackageName};
use tar::{EntryType, Header};

use super::meta::PackageMeta;

/// zstd's own default: ten times faster to write than gzip -6 and smaller; pacman reads it since 5.2 (2019).
const LEVEL: i32 = 3;
/// Largest signature that pacman and repo-add take (libalpm `signing.c`: 16 KiB).
pub const SIGNATURE_MAX: usize = 16 * 1024;
/// Start of a signature in ASCII armour, which pacman does not read from a database.
const ARMOUR: &[u8] = b"-----BEGIN";

/// One package as it is to stand in the databases.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What its archive says.
    pub meta: &'a PackageMeta,
    /// The file name under which the repository serves it; it has matched `meta`.
    pub file_name: &'a PackageFileName,
    /// Its detached OpenPGP signature, binary.
    pub signature: Option<&'a [u8]>,
}

/// The bytes of both databases of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Databases {
    /// `NAME.db`: what pacman needs to install.
    pub db: Vec<u8>,
    /// `NAME.files`: the same, and every package's files (`pacman -F`).
    pub files: Vec<u8>,
}

/// The entries cannot become a database; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A database holds a name once.
    #[error("the package {0} is there twice")]
    Repeated(PackageName),
    /// Pacman would not read the signature.
    #[error("the signature of {file_name} is {reason}, so pacman would refuse it; sign the package again")]
    Signature {
        /// File name of the package.
        file_name: Box<PackageFileName>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Compressing failed, which for memory means a bug in the writer.
    #[error("cannot pack the database")]
    Pack(#[from] io::Error),
}

/// Writes both databases. The order of `entries` does not matter.
///
/// # Errors
///
/// [`DatabaseError`] names the package that cannot stand in a database.
pub fn write<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Result<Databases, DatabaseError> {
    let mut sorted = BTreeMap::new();
    for entry in entries {
        check_signature(&entry)?;
        if sorted.insert(&entry.meta.name, entry).is_some() {
            return Err(DatabaseError::Repeated(entry.meta.name.clone()));
        }
    }
    let (mut db, mut files) = (Tarball::new()?, Tarball::new()?);
    for entry in sorted.values() {
        let desc = desc(entry);
        db.add(entry.meta, &[("desc", &desc)])?;
        files.add(entry.meta, &[("desc", &desc), ("files", &files_list(entry.meta))])?;
    }
    Ok(Databases {
        db: db.finish()?,
        files: files.finish()?,
    })
}

fn check_signature(entry: &Entry<'_>) -> Result<(), DatabaseError> {
    let reason = match entry.signature {
        Some([]) => "empty",
        Some(bytes) if bytes.len() > SIGNATURE_MAX => "longer than 16 KiB",
        Some(bytes) if bytes.starts_with(ARMOUR) => "armoured",
        _ => return Ok(()),
    };
    Err(DatabaseError::Signature {
        file_name: Box::new(entry.file_name.clone()),
        reason,
    })
}

/// The fields in the order in which repo-add writes them; one that says nothing is left out.
fn desc(entry: &Entry<'_>) -> String {
    let meta = entry.meta;
    let mut desc = Desc::default();
    desc.one("FILENAME", &entry.file_name.to_string());
    desc.one("NAME", meta.name.as_str());
    desc.one("BASE", meta.base.as_str());
    desc.one("VERSION", meta.version.as_str());
    desc.one("DESC", &meta.description);
    desc.many("GROUPS", &meta.groups);
    desc.one("CSIZE", &meta.compressed_size.to_string());
    desc.one("ISIZE", &meta.installed_size.to_string());
    desc.one("SHA256SUM", &meta.sha256.to_string());
    desc.one(
        "PGPSIG",
        &entry
            .signature
            .map(|bytes| STANDARD.encode(bytes))
            .unwrap_or_default(),
    );
    desc.one("URL", &meta.url);
    desc.many("LICENSE", &meta.licenses);
    desc.one("ARCH", meta.arch.as_str());
    desc.one("BUILDDATE", &meta.build_date.to_string());
    desc.one("PACKAGER", &meta.packager);
    desc.many("REPLACES", &meta.replaces);
    desc.many("CONFLICTS", &meta.conflicts);
    desc.many("PROVIDES", &meta.provides);
    desc.many("DEPENDS", &meta.depends);
    desc.many("OPTDEPENDS", &meta.optdepends);
    desc.many("MAKEDEPENDS", &meta.makedepends);
    desc.many("CHECKDEPENDS", &meta.checkdepends);
    desc.0
}

fn files_list(meta: &PackageMeta) -> String {
    let mut text = String::with_capacity(8 + meta.files.iter().map(|file| file.len() + 1).sum::<usize>());
    text.push_str("%FILES%\n");
    for file in &meta.files {
        text.push_str(file);
        text.push('\n');
    }
    text
}

#[derive(Debug, Default)]
struct Desc(String);

impl Desc {
    fn one(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.block(key, std::iter::once(value));
        }
    }

    fn many(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.block(key, values.iter().map(String::as_str));
        }
    }

    fn block<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        self.0.push('%');
        self.0.push_str(key);
        self.0.push_str("%\n");
        for value in values {
            self.0.push_str(value);
            self.0.push('\n');
        }
        self.0.push('\n');
    }
}

/// A compressed tarball in memory.
struct Tarball(tar::Builder<zstd::Encoder<'static, Vec<u8>>>);

impl Tarball {
    fn new() -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self(tar::Builder::new(encoder)))
    }

    fn add(&mut self, meta: &PackageMeta, members: &[(&str, &str)]) -> io::Result<()> {
        let folder = format!("{}-{}", meta.name, meta.version);
        let time = u64::from(u32::try_from(meta.build_date.max(0)).unwrap_or(u32::MAX));
        self.append(&format!("{folder}/"), EntryType::Directory, 0o755, time, &[])?;
        for (name, content) in members {
            self.append(
                &format!("{folder}/{name}"),
                EntryType::Regular,
                0o644,
                time,
                content.as_bytes(),
            )?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        time: u64,
        content: &[u8],
    ) -> io::Result<()> {
        // GNU headers because a name and version of more than 100 bytes then still fit, as a long name.
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        let mut bytes = self.0.into_inner()?.finish()?;
        bytes.flush()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
