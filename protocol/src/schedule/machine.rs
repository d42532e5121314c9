//! stub
use crate::{
    ids::JobId,
    machine::{Instant, Machine},
    names::{Architecture, RepositoryName},
    schedule::{
        Candidate,
        io::{Input, Output},
    },
    wire::LiveJob,
};

/// The memory of the leading master for one reign.
#[derive(Debug, Default)]
pub struct Schedule {}

impl Schedule {
    /// Knows nothing; begins with [`Input::Reign`].
    pub fn new() -> Self {
        Self::default()
    }
    /// Why an open job does not run, for people; `None` if it runs or is not open.
    pub fn waiting_for(&self, _now: Instant, _job: JobId) -> Option<String> {
        None
    }
    /// All open jobs, by id.
    pub fn live_jobs(&self, _now: Instant) -> Vec<LiveJob> {
        Vec::new()
    }
    /// The open jobs that a submission for (`repository`, `arch`) is judged beside ([`crate::schedule::admit`]).
    pub fn open_candidates<'a>(
        &'a self,
        _repository: &'a RepositoryName,
        _arch: &'a Architecture,
    ) -> Vec<Candidate<'a>> {
        Vec::new()
    }
}

impl Machine for Schedule {
    type Input = Input;
    type Output = Output;
    fn handle(&mut self, _now: Instant, _input: Input, _out: &mut Vec<Output>) {}
    fn next_wakeup(&self) -> Option<Instant> {
        None
    }
}
