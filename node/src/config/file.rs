//! The configuration as written: everything optional, nothing unknown.

use std::{net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};

/// `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// This machine.
    pub node: NodeSection,
    /// Finding others.
    pub discovery: DiscoverySection,
    /// Listeners.
    pub http: HttpSection,
    /// Building.
    pub build: BuildSection,
    /// Keeping.
    pub blobs: BlobsSection,
}

/// `[node]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    /// The display name; by default the host's.
    pub name: Option<String>,
}

/// `[discovery]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscoverySection {
    /// `IP[:PORT]`: discovery on PORT, transport on the next one; 0 draws a free pair.
    pub listen: Option<String>,
    /// `HOST[:PORT]` of nodes beyond this network.
    pub bootstrap: Vec<String>,
    /// Whether to look around by mDNS; by default yes.
    pub mdns: Option<bool>,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// The repository listener.
    pub repo: Option<SocketAddr>,
    /// The API listener.
    pub api: Option<SocketAddr>,
    /// A socket of the API: whoever may open it may do everything.
    pub socket: Option<std::path::PathBuf>,
    /// Whether everybody on this machine may open it; by default its owner and group.
    pub socket_open: Option<bool>,
}

/// `[build]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildSection {
    /// How many builds at once; by default max(1, min(cores / 4, GiB / 4)).
    pub slots: Option<u32>,
    /// Dependency names that the host satisfies, besides those of base and base-devel.
    pub provides: Vec<String>,
}

/// `[blobs]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobsSection {
    /// How often what nothing needs is looked for, such as `1h`.
    pub sweep: Option<String>,
    /// How often everything is read again in search of damage, such as `1d`.
    pub scrub: Option<String>,
    /// How fast it is read then, in MiB a second.
    pub scrub_rate: Option<u32>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It is there and cannot be read.
    #[error("cannot read {path}: make it readable, or remove it")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what is expected.
    #[error("{path}: {reason}: correct the line")]
    Parse {
        /// Which.
        path: String,
        /// Where and why.
        reason: String,
    },
}

impl ConfigFile {
    /// Reads a file; a missing one is an empty one.
    pub fn load(path: &Path) -> Result<Self, ConfigFileError> {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigFileError::Read { path: name, source }),
        };
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            ConfigFileError::Parse {
                path: format!("{name}:{line}"),
                reason: error.message().to_owned(),
            }
        })
    }
}
