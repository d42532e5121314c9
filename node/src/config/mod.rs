//! One typed configuration: defaults < `config.toml` < `PACMESH_*` < flags.

mod file;
mod resolve;

pub use file::{ConfigFile, ConfigFileError};
pub(crate) use resolve::REPOSITORY_PORT;
pub use resolve::{Blobs, Config, ConfigError, Overrides, host_name};
