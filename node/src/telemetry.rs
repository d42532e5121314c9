//! What the daemon says while it runs: lines on standard error, which the service manager keeps.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging; `PACMESH_LOG` filters (`pacmesh=debug`), by default lifecycle and worse is shown.
pub fn start() {
    let filter = EnvFilter::try_from_env("PACMESH_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,pacmesh=info,pacmesh_discovery=info,libp2p=error"));
    // A second start in one process (tests) changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
