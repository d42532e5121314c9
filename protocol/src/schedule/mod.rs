//! Who builds what: every accepted job ends exactly once, and a job starts only when what it needs is published.
//!
//! [`Schedule`] is the memory of the leading master for one reign; it starts empty and learns everything from its
//! inputs ([`Input`]). Admission and order of a submission ([`admit()`]) and the choice of a pkgrel
//! ([`free_pkgrel`]) are pure functions beside it. Promises, each with a test:
//!
//! * nothing is ordered before the inventories of the new reign, or 1 s;
//! * of one job one attempt at most is handed over for publication; a lower fence changes nothing, except that a
//!   finished result for the same generation and inputs is taken while the job is open;
//! * the loss of workers never fails a job (invariant 4), and a job that can no longer end well fails by name.

mod admit;
mod attempts;
mod catalog;
mod depends;
mod ending;
mod explain;
mod give;
mod graph;
mod io;
mod job;
mod machine;
mod pkgrel;
mod placement;
mod promise;
mod queue;
mod retry;
mod roster;
mod view;
mod worker;

#[cfg(test)]
mod tests;

pub use admit::{AdmitError, Place, admit};
pub use catalog::{Catalog, CatalogPackage};
pub use depends::{Comparison, Dependency, DependencyError, Provide, satisfies};
pub use graph::Candidate;
pub use io::{Input, Liveness, Output, VerifyError, ViewUpdate, WorkerState};
pub use machine::Schedule;
pub use pkgrel::free_pkgrel;
