//! What the repository says about one package: everything that a database entry shows, and nothing that it
//! does not.

use pacmesh_protocol::ids::{Digest, Sha256};
use pacmesh_protocol::names::{Architecture, PackageFileName, PackageName, PackageVersion};
use serde::{Deserialize, Serialize};

/// One package, as read from its archive by [`super::archive::read`]. Empty strings and lists mean that the
/// package says nothing.
///
/// It travels between nodes as bincode, so fields are only ever added by a new type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageMeta {
    /// `pkgname`.
    pub name: PackageName,
    /// `pkgbase`; the name itself where the package does not say.
    pub base: PackageName,
    /// `[epoch:]pkgver-pkgrel`.
    pub version: PackageVersion,
    /// `pkgdesc`, one line.
    pub description: String,
    /// Groups that it belongs to.
    pub groups: Vec<String>,
    /// Bytes of the archive.
    pub compressed_size: u64,
    /// Bytes that its files take once installed.
    pub installed_size: u64,
    /// SHA-256 of the archive, which pacman checks.
    pub sha256: Sha256,
    /// BLAKE3 of the archive, which names it in the mesh.
    pub blake3: Digest,
    /// Home page.
    pub url: String,
    /// Licences.
    pub licenses: Vec<String>,
    /// Architecture, or `any`.
    pub arch: Architecture,
    /// When it was built, in seconds since the epoch.
    pub build_date: i64,
    /// Who packed it.
    pub packager: String,
    /// What it replaces.
    pub replaces: Vec<String>,
    /// What it cannot live beside.
    pub conflicts: Vec<String>,
    /// What else it stands for.
    pub provides: Vec<String>,
    /// What it needs.
    pub depends: Vec<String>,
    /// What it can use, with reasons.
    pub optdepends: Vec<String>,
    /// What it was built with.
    pub makedepends: Vec<String>,
    /// What it was checked with.
    pub checkdepends: Vec<String>,
    /// Its files as repo-add lists them: sorted by bytes, directories ending in `/`, names at the top that
    /// start with `.` left out.
    pub files: Vec<String>,
}

/// A file name and the archive behind it tell different stories; the archive's own word is the one to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file_name} holds {what} {inside}; rename nothing that makepkg made")]
pub struct Mismatch {
    /// The name that was claimed.
    pub file_name: Box<PackageFileName>,
    /// Which part differs.
    pub what: &'static str,
    /// What the archive says instead.
    pub inside: String,
}

impl PackageMeta {
    /// Whether `file_name` names this package: same name, version and architecture.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] says which part differs.
    pub fn matches(&self, file_name: &PackageFileName) -> Result<(), Mismatch> {
        let differs = |what, inside: &dyn ToString| {
            Err(Mismatch {
                file_name: Box::new(file_name.clone()),
                what,
                inside: inside.to_string(),
            })
        };
        if self.name != *file_name.name() {
            differs("the package", &self.name)
        } else if self.version != *file_name.version() {
            differs("version", &self.version)
        } else if self.arch != *file_name.arch() {
            differs("architecture", &self.arch)
        } else {
            Ok(())
        }
    }
}
