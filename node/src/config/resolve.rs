//! The configuration as meant: validated, complete, and the only form that the rest of the node sees.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use pacmesh_protocol::names::{NameError, NodeName};

use super::file::{BlobsSection, ConfigFile, ConfigFileError};
use crate::home::Home;

/// The port of discovery; transport is always the next one (DESIGN, "On disk").
pub(crate) const DISCOVERY_PORT: u16 = 7420;
/// The port of the repository listener.
pub(crate) const REPOSITORY_PORT: u16 = 7480;
/// The port of the API listener.
const API_PORT: u16 = 8080;

/// Least pause between two looks at all blobs.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Flags and variables, which win over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--http-api`, `PACMESH_HTTP_API`.
    pub http_api: Option<SocketAddr>,
    /// `--http-repo`, `PACMESH_HTTP_REPO`.
    pub http_repo: Option<SocketAddr>,
    /// `--listen`, `PACMESH_LISTEN`.
    pub listen: Option<String>,
    /// `--bootstrap`, `PACMESH_BOOTSTRAP`.
    pub bootstrap: Vec<String>,
    /// `--no-mdns`.
    pub no_mdns: bool,
    /// `--name`, `PACMESH_NAME`.
    pub name: Option<String>,
    /// `--slots`, `PACMESH_SLOTS`.
    pub slots: Option<u32>,
}

/// What a node needs to know to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it keeps what.
    pub home: Home,
    /// The name it would like.
    pub name: NodeName,
    /// Discovery's address; transport is one port above. Port 0 draws a free pair.
    pub listen: SocketAddr,
    /// `host:port` of discovery of nodes beyond this network.
    pub bootstrap: Vec<String>,
    /// Whether to look around by mDNS.
    pub mdns: bool,
    /// The repository listener, where one was asked for.
    pub http_repo: Option<SocketAddr>,
    /// The API listener.
    pub http_api: SocketAddr,
    /// A socket of the API.
    pub http_socket: Option<std::path::PathBuf>,
    /// Whether everybody on this machine may open it.
    pub http_socket_open: bool,
    /// How many builds at once.
    pub slots: u32,
    /// Dependency names that the host satisfies, besides the known ones.
    pub provides: Vec<String>,
    /// How blobs are looked after.
    pub blobs: Blobs,
}

/// How blobs are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blobs {
    /// Between two looks for what nothing needs.
    pub sweep: Duration,
    /// Between the beginnings of two readings of everything.
    pub scrub: Duration,
    /// How fast it is read, in bytes a second.
    pub scrub_rate: u64,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            sweep: Duration::from_secs(3600),
            scrub: Duration::from_secs(24 * 3600),
            // A tenth of a percent of a core, and 100 GiB in little more than a day.
            scrub_rate: 1 << 20,
        }
    }
}

impl Blobs {
    fn of(section: &BlobsSection) -> Result<Self, ConfigError> {
        let default = Self::default();
        let duration = |name: &'static str, text: &Option<String>, default: Duration| match text {
            None => Ok(default),
            Some(text) => match humantime::parse_duration(text) {
                Ok(duration) if duration >= LEAST_PAUSE => Ok(duration),
                _ => Err(ConfigError::Duration(name, text.clone())),
            },
        };
        Ok(Self {
            sweep: duration("blobs.sweep", &section.sweep, default.sweep)?,
            scrub: duration("blobs.scrub", &section.scrub, default.scrub)?,
            scrub_rate: section
                .scrub_rate
                .map_or(default.scrub_rate, |mib| u64::from(mib.max(1)) << 20),
        })
    }
}

/// Why a configuration makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is at fault.
    #[error(transparent)]
    File(#[from] ConfigFileError),
    /// Not `IP[:PORT]`.
    #[error("'{0}' is not an address to listen on: give IP or IP:PORT, such as 0.0.0.0:7420")]
    Listen(String),
    /// Not a duration, or too short a one.
    #[error("'{1}' is not a value of {0}: give a duration of at least 100ms, such as 1h or 1d")]
    Duration(&'static str, String),
    /// Not `HOST[:PORT]`.
    #[error("'{0}' is not an address of a node: give HOST or HOST:PORT")]
    Bootstrap(String),
    /// The name is not a node name.
    #[error("set node.name in config.toml or pass --name")]
    Name(#[source] NameError),
}

impl Config {
    /// Puts defaults, file, variables and flags together.
    pub fn resolve(home: Home, overrides: Overrides) -> Result<Self, ConfigError> {
        let file = ConfigFile::load(home.config())?;
        let name = match overrides.name.or(file.node.name) {
            Some(name) => name.parse().map_err(ConfigError::Name)?,
            None => host_name(),
        };
        let listen = match overrides.listen.or(file.discovery.listen) {
            Some(text) => parse_listen(&text)?,
            None => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DISCOVERY_PORT),
        };
        let bootstrap = overrides
            .bootstrap
            .into_iter()
            .chain(file.discovery.bootstrap)
            .map(|text| with_port(&text))
            .collect::<Result<_, _>>()?;
        let loopback = IpAddr::from([127, 0, 0, 1]);
        Ok(Self {
            name,
            listen,
            bootstrap,
            mdns: !overrides.no_mdns && file.discovery.mdns.unwrap_or(true),
            http_repo: overrides.http_repo.or(file.http.repo),
            http_api: overrides
                .http_api
                .or(file.http.api)
                .unwrap_or(SocketAddr::new(loopback, API_PORT)),
            http_socket: file.http.socket,
            http_socket_open: file.http.socket_open.unwrap_or(false),
            slots: overrides
                .slots
                .or(file.build.slots)
                .unwrap_or_else(default_slots)
                .clamp(1, 256),
            provides: file.build.provides,
            blobs: Blobs::of(&file.blobs)?,
            home,
        })
    }
}

/// The host's name made into a node name.
pub fn host_name() -> NodeName {
    let system = rustix::system::uname();
    let short = system.nodename().to_string_lossy();
    let short = short.split('.').next().unwrap_or_default();
    let clean: String = short
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    NodeName::from_str(clean.trim_start_matches('-'))
        .or_else(|_| NodeName::from_str("node"))
        .unwrap_or_else(|_| unreachable!("'node' is a node name"))
}

fn parse_listen(text: &str) -> Result<SocketAddr, ConfigError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    text.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, DISCOVERY_PORT))
        .map_err(|_| ConfigError::Listen(text.to_owned()))
}

/// Completes `HOST[:PORT]` by the default port; IPv6 hosts stand in brackets or alone.
fn with_port(text: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::Bootstrap(text.to_owned());
    if text.is_empty() || text.len() > 260 || text.contains(char::is_whitespace) {
        return Err(wrong());
    }
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, DISCOVERY_PORT).to_string());
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        Some(_) => Err(wrong()),
        None => Ok(format!("{text}:{DISCOVERY_PORT}")),
    }
}

/// max(1, min(cores / 4, GiB / 4)): laptops stay usable (FORMATS, "Numbers").
fn default_slots() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let gib = rustix::system::sysinfo().totalram as u64 >> 30;
    (cores.min(gib) / 4).max(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        std::fs::write(home.config(), "[node]\nname = 'nas'\n[build]\nslots = 3\n").unwrap();
        let overrides = Overrides {
            slots: Some(5),
            ..Overrides::default()
        };
        let config = Config::resolve(home, overrides).unwrap();
        assert_eq!(
            (config.name.as_str(), config.slots, config.mdns),
            ("nas", 5, true)
        );
        assert_eq!(config.listen.port(), DISCOVERY_PORT);
    }

    #[test]
    fn an_unknown_key_names_file_line_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        std::fs::write(home.config(), "[node]\nname = 'nas'\nworkers = 3\n").unwrap();
        let error = Config::resolve(home, Overrides::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("config.toml:3") && error.contains("workers"),
            "{error}"
        );
    }

    #[test]
    fn bootstrap_addresses_are_completed() {
        assert_eq!(with_port("nas").unwrap(), "nas:7420");
        assert_eq!(with_port("10.0.0.1").unwrap(), "10.0.0.1:7420");
        assert_eq!(with_port("[::1]:9").unwrap(), "[::1]:9");
        assert_eq!(with_port("::1").unwrap(), "[::1]:7420");
        for wrong in ["", "a b", "host:port", ":1"] {
            assert!(with_port(wrong).is_err(), "{wrong}");
        }
    }
}
