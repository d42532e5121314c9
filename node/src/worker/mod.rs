//! Building: from a source tree to archives, in a sandbox, under a runner that outlives the daemon.
//!
//! The rule of this room: what a PKGBUILD says is executed inside a sandbox and nowhere else, never as root, and what it
//! leaves behind is read as hostile.
//!
//! * [`environment`]: what build roots are made of here
//! * [`attempt`]: the durable folder of an attempt, and its stages
//! * [`runner`]: the process that runs a stage
//! * [`srcinfo`], [`provides`]: what a PKGBUILD needs, and what the environment has
//! * `desk`, `journey`, `probe`, `collect`: the master's orders, one attempt from order to acknowledged report

pub mod attempt;
mod collect;
mod desk;
pub mod environment;
mod etc;
mod install;
mod journey;
mod kept;
mod layout;
mod leftovers;
mod log;
mod makepkg;
mod probe;
mod process;
pub mod provides;
pub mod runner;
mod running;
mod sandbox;
mod spec;
pub mod srcinfo;
mod stage;
mod stopping;
mod tidy;

pub(crate) use collect::sign;
pub use desk::WorkerHandle;
pub use makepkg::DEFAULT_MAKEPKG_CONF;

#[cfg(test)]
mod tests;
