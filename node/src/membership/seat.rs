//! To which mesh a node belongs, and the keys with which it does.
//!
//! The file `membership` is written last when a node founds or joins: without it the node waits, whatever else a
//! killed attempt left behind, and the attempt can be repeated.

use std::{fs, io::Write, net::SocketAddr, path::Path, sync::Arc};

use pacmesh_protocol::{
    ids::MeshId,
    names::{MeshName, NodeName},
};
use pacmesh_signing::{NodeKey, PackageKey, SecretsDir};
use serde::{Deserialize, Serialize};

use super::MembershipError;
use crate::home::Home;

/// The version of the file's form.
const VERSION: u32 = 1;

/// What the file `membership` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    version: u32,
    /// The mesh: its authority's public key, in hex.
    pub mesh: String,
    /// As it was called then; the ledger knows how it is called.
    pub mesh_name: MeshName,
    /// Transport addresses of members, to be tried after a restart.
    pub addresses: Vec<SocketAddr>,
}

impl Standing {
    /// A node of this mesh.
    pub fn new(mesh: MeshId, mesh_name: MeshName, addresses: Vec<SocketAddr>) -> Self {
        Self {
            version: VERSION,
            mesh: mesh.to_string(),
            mesh_name,
            addresses,
        }
    }

    /// The same with other addresses.
    pub fn with_addresses(self, addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// Which mesh.
    pub fn mesh(&self) -> Option<MeshId> {
        self.mesh.parse().ok()
    }

    /// Reads the file; `None` for a node that waits.
    pub fn load(home: &Home) -> Result<Option<Self>, MembershipError> {
        let path = home.membership();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(MembershipError::File { path, source }),
        };
        let standing: Self =
            toml::from_str(&text).map_err(|_| MembershipError::Standing { path: path.clone() })?;
        if standing.version != VERSION || standing.mesh().is_none() {
            return Err(MembershipError::Standing { path });
        }
        Ok(Some(standing))
    }

    /// Writes the file, synced, whole or not at all.
    pub fn store(&self, home: &Home) -> Result<(), MembershipError> {
        let path = home.membership();
        let failed = |source| MembershipError::File {
            path: path.clone(),
            source,
        };
        let text = toml::to_string(self).map_err(|error| failed(std::io::Error::other(error)))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }

    /// Forgets the mesh (`leave`). Its ledger and its authority key are put aside, never deleted: the key may be the
    /// only one that can still invite.
    pub fn remove(home: &Home) -> Result<(), MembershipError> {
        let path = home.membership();
        fs::remove_file(&path).map_err(|source| MembershipError::File { path, source })?;
        put_aside(home)
    }
}

/// Puts aside what belongs to a mesh that this node is not in (or not yet: an attempt to join that was cut short).
pub(super) fn put_aside(home: &Home) -> Result<(), MembershipError> {
    for path in [home.ledger(), home.secrets().join("authority.key")] {
        let mut aside = path.clone().into_os_string();
        aside.push(".left");
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(MembershipError::File { path, source: error });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The keys of a node.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The folder that holds them.
    pub secrets: SecretsDir,
    /// Who it is.
    pub node: Arc<NodeKey>,
    /// What it signs packages with.
    pub package: Arc<PackageKey>,
}

impl Keys {
    /// Loads the keys of a home, or makes them at first start.
    pub fn load_or_create(home: &Home, name: &NodeName) -> Result<Self, MembershipError> {
        let secrets = SecretsDir::open_or_create(home.secrets())?;
        let node = Arc::new(NodeKey::load_or_create(&secrets)?);
        let user = format!("pacmesh {name} <{}@pacmesh.invalid>", node.id().short());
        let package = PackageKey::load_or_create(&secrets, &user, crate::clock::wall_ms() / 1000)?;
        Ok(Self {
            secrets,
            node,
            package: Arc::new(package),
        })
    }
}

/// A node that belongs to a mesh: where, and by which keys.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Which mesh.
    pub mesh: MeshId,
    /// What the file says.
    pub standing: Standing,
    /// By which keys.
    pub keys: Keys,
}

impl Seat {
    /// Reads who this node is; `None` for a node that waits.
    pub fn load(home: &Home, name: &NodeName) -> Result<Option<Self>, MembershipError> {
        let Some(standing) = Standing::load(home)? else {
            return Ok(None);
        };
        let mesh = standing.mesh().ok_or_else(|| MembershipError::Standing {
            path: home.membership(),
        })?;
        Ok(Some(Self {
            mesh,
            standing,
            keys: Keys::load_or_create(home, name)?,
        }))
    }
}
