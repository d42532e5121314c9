//! `daemon`, and the runner that it starts for each stage of a build.

use std::{ffi::OsString, process::ExitCode};

use super::{DaemonArgs, Failure};
use crate::{
    compose::{self, StartError},
    config::{Config, Overrides},
    error::chain,
    home::Home,
    telemetry, worker,
};

pub(super) fn run(home: Home, args: DaemonArgs) -> Result<(), Failure> {
    telemetry::start();
    let overrides = Overrides {
        http_api: args.http_api,
        http_repo: args.http_repo,
        listen: args.listen,
        bootstrap: args.bootstrap,
        no_mdns: args.no_mdns,
        name: args.name,
        slots: args.slots,
    };
    let config = Config::resolve(home, overrides)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime
        .block_on(compose::run(config))
        .map_err(|error| match error {
            StartError::Usurped { .. } => Failure::Stopped(chain(&error)),
            error => Failure::Failed(chain(&error)),
        })
}

pub(super) fn runner(arguments: Vec<OsString>) -> Result<(), Failure> {
    match worker::runner::runner_main(arguments) {
        code if code == ExitCode::SUCCESS => Ok(()),
        _ => Err(Failure::Said),
    }
}
