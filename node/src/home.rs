//! Where a node keeps what: one value knows every path, so that nothing else joins names to folders.
//!
//! `--home DIR` holds everything below one folder; without it the places are those of a system service (where
//! `STATE_DIRECTORY` is set by systemd) or of the user (DESIGN, "On disk").

use std::{
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The folders and files of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    state: PathBuf,
    config: PathBuf,
    runtime: PathBuf,
    cache: PathBuf,
}

/// Why the places of a node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The user has no home folder to keep a node in.
    #[error("no home folder is known for this user: pass --home DIR")]
    NoUser,
    /// A folder could not be made or read.
    #[error("cannot use {path}: pass another --home, or make it writable")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may look into the secrets.
    #[error("{path} has mode {mode:04o}, which lets others in: type 'chmod {wanted:04o} {path}'")]
    Loose {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
}

impl Home {
    /// Everything below one folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            state: root.clone(),
            config: root.join("config.toml"),
            runtime: root.clone(),
            cache: root.join("cache"),
        }
    }

    /// The places of the system service.
    pub fn system() -> Self {
        let from = |variable: &str, default: &str| {
            std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        Self {
            state: from("STATE_DIRECTORY", "/var/lib/pacmesh"),
            config: from("CONFIGURATION_DIRECTORY", "/etc/pacmesh").join("config.toml"),
            runtime: from("RUNTIME_DIRECTORY", "/run/pacmesh"),
            cache: from("CACHE_DIRECTORY", "/var/cache/pacmesh"),
        }
    }

    /// The places of the user who calls.
    pub fn user() -> Result<Self, HomeError> {
        let dirs = directories::ProjectDirs::from("", "", "pacmesh").ok_or(HomeError::NoUser)?;
        let state = dirs.state_dir().unwrap_or_else(|| dirs.data_dir()).to_owned();
        Ok(Self {
            config: dirs.config_dir().join("config.toml"),
            runtime: dirs.runtime_dir().map_or_else(|| state.clone(), Path::to_owned),
            cache: dirs.cache_dir().to_owned(),
            state,
        })
    }

    /// What a command means that was given no `--home`: systemd's places inside its unit, the system service where
    /// its socket is, else the user's node.
    pub fn resolve(given: Option<&Path>) -> Result<Self, HomeError> {
        if let Some(root) = given {
            return Ok(Self::at(
                std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
            ));
        }
        let system = Self::system();
        if std::env::var_os("STATE_DIRECTORY").is_some() || system.socket().exists() {
            return Ok(system);
        }
        Self::user()
    }

    /// Makes the folders that must exist; refuses secrets that others may read.
    pub fn prepare(&self) -> Result<(), HomeError> {
        make(&self.state, 0o755)?;
        make(&self.runtime, 0o755)?;
        make(&self.secrets(), 0o700)?;
        for dir in [self.blobs(), self.repository(), self.builds()] {
            make(&dir, 0o755)?;
        }
        self.check_secrets()
    }

    /// Refuses secrets that others may read; fine where there are none yet.
    pub fn check_secrets(&self) -> Result<(), HomeError> {
        let dir = self.secrets();
        if !dir.exists() {
            return Ok(());
        }
        tight(&dir, 0o700)?;
        let failed = |source| HomeError::Folder {
            path: dir.clone(),
            source,
        };
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                tight(&path, 0o600)?;
            }
        }
        Ok(())
    }

    /// The folder of the private keys.
    pub fn secrets(&self) -> PathBuf {
        self.state.join("secrets")
    }

    /// Says to which mesh the node belongs.
    pub fn membership(&self) -> PathBuf {
        self.state.join("membership")
    }

    /// Says that another machine lives with this node's key; removed by hand by whoever has stopped that one.
    pub fn usurped(&self) -> PathBuf {
        self.state.join("usurped")
    }

    /// The ledger.
    pub fn ledger(&self) -> PathBuf {
        self.state.join("ledger.redb")
    }

    /// The blobs.
    pub fn blobs(&self) -> PathBuf {
        self.state.join("blobs")
    }

    /// The repository as files.
    pub fn repository(&self) -> PathBuf {
        self.state.join("repo")
    }

    /// Attempts that run, or whose reports are not acknowledged.
    pub fn builds(&self) -> PathBuf {
        self.cache.join("builds")
    }

    /// Work that may be deleted any time.
    pub fn scratch(&self) -> PathBuf {
        self.cache.join("src")
    }

    /// The command line's way in.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("node.sock")
    }

    /// Held by the daemon while it runs.
    pub fn lock(&self) -> PathBuf {
        self.state.join("node.lock")
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// For people.
    pub fn state(&self) -> &Path {
        &self.state
    }
}

fn make(path: &Path, mode: u32) -> Result<(), HomeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| HomeError::Folder {
            path: path.to_owned(),
            source,
        })
}

fn tight(path: &Path, wanted: u32) -> Result<(), HomeError> {
    let metadata = std::fs::metadata(path).map_err(|source| HomeError::Folder {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(HomeError::Loose {
            path: path.to_owned(),
            mode,
            wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_others_may_read_are_refused_with_the_command_that_mends_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        let key = home.secrets().join("identity.key");
        std::fs::write(&key, "x").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = home.prepare().unwrap_err().to_string();
        assert!(error.contains("0644") && error.contains("chmod 0600"), "{error}");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        home.prepare().unwrap();
    }
}
