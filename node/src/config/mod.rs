//! One typed configuration: defaults < `config.toml` < `PACMESH_*` < flags.

mod file;
mod resolve;

pub use file::{ConfigFile, ConfigFileError};
pub use resolve::{Config, ConfigError, Overrides, host_name};
