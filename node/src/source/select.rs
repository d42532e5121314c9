//! Which files of a directory belong to its source tree, without running the PKGBUILD.
//!
//! Only bash can say for sure which local files a PKGBUILD names (`source=()`, `install=`, `changelog=`, and whatever
//! its functions read), and the packer runs with the caller's rights, where bash must not run. So everything is taken
//! except what is known not to be a source: version control, secrets, build leftovers and downloads. Hidden files are
//! left out unless `.pacmesh-include` names them; it cannot name `.git`, `.env`, `src/` and `pkg/`.

use std::{
    collections::BTreeSet,
    fs::Metadata,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{SourceError, fetched::fetched_names, tree::TreeLimits};

/// The file that names hidden files and leftovers that are sources after all: one path per line, `#` begins a remark.
const INCLUDE: &str = ".pacmesh-include";

/// Deepest folder that is looked into.
const DEPTH_LIMIT: usize = 64;

/// What was chosen.
#[derive(Debug)]
pub(super) struct Selection {
    /// Paths relative to the directory, `/` between components.
    pub(super) files: Vec<Selected>,
    /// The newest time among them.
    pub(super) newest: SystemTime,
    /// What was left out and could surprise.
    pub(super) warnings: Vec<String>,
}

/// One chosen file or link.
#[derive(Debug)]
pub(super) struct Selected {
    /// Relative path.
    pub(super) path: String,
    /// Where it is.
    pub(super) location: PathBuf,
    /// As seen by the first pass.
    pub(super) metadata: Metadata,
}

/// Walks `directory`; `pkgbuild` is the text of its PKGBUILD.
pub(super) fn select(directory: &Path, pkgbuild: &str, limits: TreeLimits) -> Result<Selection, SourceError> {
    let mut walk = Walk {
        included: read_include(directory)?,
        fetched: fetched_names(pkgbuild),
        limit: limits.entries,
        selection: Selection {
            files: Vec::new(),
            newest: UNIX_EPOCH,
            warnings: Vec::new(),
        },
    };
    walk.directory(directory, "", 0)?;
    Ok(walk.selection)
}

fn read_include(directory: &Path) -> Result<BTreeSet<String>, SourceError> {
    let path = directory.join(INCLUDE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text
            .lines()
            .map(|line| line.trim().trim_start_matches("./").trim_end_matches('/'))
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(SourceError::io("read", path)(error)),
    }
}

struct Walk {
    included: BTreeSet<String>,
    fetched: BTreeSet<String>,
    limit: usize,
    selection: Selection,
}

impl Walk {
    fn directory(&mut self, location: &Path, prefix: &str, depth: usize) -> Result<(), SourceError> {
        if depth > DEPTH_LIMIT {
            return Err(unpackable(location, "its folders are nested too deeply"));
        }
        let listing = std::fs::read_dir(location).map_err(SourceError::io("list", location))?;
        for item in listing {
            let item = item.map_err(SourceError::io("list", location))?;
            let location = item.path();
            let name = item.file_name();
            let Some(name) = name.to_str() else {
                return Err(unpackable(&location, "its name is not UTF-8: rename it"));
            };
            let path = format!("{prefix}{name}");
            let metadata = location
                .symlink_metadata()
                .map_err(SourceError::io("look at", &location))?;
            if self.belongs(&path, name, &location, &metadata) {
                self.take(path, location, metadata, depth)?;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        path: String,
        location: PathBuf,
        metadata: Metadata,
        depth: usize,
    ) -> Result<(), SourceError> {
        if metadata.is_dir() {
            return self.directory(&location, &format!("{path}/"), depth + 1);
        }
        if !metadata.is_file() && !metadata.is_symlink() {
            self.warn(format!("left out {path}: neither a file nor a link"));
            return Ok(());
        }
        if self.selection.files.len() == self.limit {
            return Err(unpackable(
                &location,
                &format!("a source tree holds at most {} files", self.limit),
            ));
        }
        if let Ok(time) = metadata.modified() {
            self.selection.newest = self.selection.newest.max(time);
        }
        self.selection.files.push(Selected {
            path,
            location,
            metadata,
        });
        Ok(())
    }

    fn belongs(&mut self, path: &str, name: &str, location: &Path, metadata: &Metadata) -> bool {
        if name == ".git" || name.starts_with(".env") || path == "src" || path == "pkg" {
            return false;
        }
        if self.is_included(path) || (metadata.is_dir() && self.leads_to_included(path)) {
            return true;
        }
        // A hidden folder may have been entered only for what is named in it.
        if path.split('/').any(|part| part.starts_with('.')) {
            return path == INCLUDE;
        }
        if is_leftover(name) && metadata.is_file() {
            return false;
        }
        let top = !path.contains('/');
        if top && (self.fetched.contains(name) || (metadata.is_dir() && is_bare_clone(location))) {
            self.warn(format!(
                "left out {path}: the PKGBUILD fetches it (name it in {INCLUDE} to take it along)"
            ));
            return false;
        }
        true
    }

    fn is_included(&self, path: &str) -> bool {
        let mut path = path;
        loop {
            if self.included.contains(path) {
                return true;
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => return false,
            }
        }
    }

    fn leads_to_included(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.included
            .range(below.clone()..)
            .next()
            .is_some_and(|first| first.starts_with(&below))
    }

    fn warn(&mut self, warning: String) {
        self.selection.warnings.push(warning);
    }
}

/// What makepkg leaves behind.
fn is_leftover(name: &str) -> bool {
    name.ends_with(".log") || name.contains(".pkg.tar") || name.contains(".src.tar")
}

/// makepkg keeps clones of git sources beside the PKGBUILD.
fn is_bare_clone(location: &Path) -> bool {
    ["HEAD", "objects", "refs"]
        .iter()
        .all(|name| location.join(name).exists())
}

fn unpackable(path: &Path, reason: &str) -> SourceError {
    SourceError::Unpackable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
