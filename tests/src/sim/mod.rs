//! The simulated world: real machines, a virtual clock, a bad network, crashes. One seed decides everything.
//!
//! A run has two phases. *Chaos*: faults fall as the seed says, and every invariant is checked after every step.
//! *Heal*: everything works again, and within [`SETTLE`] one master must lead, all must follow it, all ledgers and
//! views must be equal, and a new record must be answered with its copies.

pub mod dice;
pub mod disk;
pub mod facts;
pub mod faults;
pub mod genesis;
pub mod keys;
pub mod membership;
pub mod message;
pub mod network;
pub mod node;
pub mod world;

use std::{fmt, time::Duration};

use pacmesh_protocol::machine::Instant;

pub use faults::Planted;
pub use world::{Note, World};

use crate::invariants::{self, Invariant};

/// How long faults fall, in virtual time.
const CHAOS: Duration = Duration::from_secs(25);
/// Within this virtual time after a heal the world must have settled: the longest silence that loses (2.5 s), a
/// heartbeat (5 s), two claims (3.2 s) and an exchange.
pub const SETTLE: Duration = Duration::from_secs(15);
/// Within this a record must be answered in a world that settled.
const ANSWER: Duration = Duration::from_secs(2);

/// What a run did, so that a test can see that it did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many nodes.
    pub nodes: usize,
    /// How many steps.
    pub steps: u64,
    /// How many reigns began.
    pub reigns: u64,
    /// How many records were answered with success.
    pub answered: u64,
    /// How many orders were obeyed.
    pub obeyed: u64,
    /// How many exchanges were completed.
    pub met: u64,
}

/// A property did not hold.
#[derive(Debug)]
pub struct Failure {
    /// The seed of the world.
    pub seed: u64,
    /// What was planted.
    pub planted: Planted,
    /// When, in virtual time.
    pub at: Instant,
    /// Which property.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
    /// What happened before.
    pub log: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "seed {}: {} broken at {:?}: {}",
            self.seed,
            self.invariant,
            self.at.since_origin(),
            self.seen
        )?;
        write!(
            f,
            "replay: cargo run -p pacmesh-tests --bin replay -- --seed {}",
            self.seed
        )?;
        if self.planted != Planted::Nothing {
            write!(f, " --planted {}", self.planted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Runs the world of one seed; a failure is run again to collect its log.
pub fn run(seed: u64, planted: Planted) -> Result<Summary, Box<Failure>> {
    play(seed, planted, false)
        .0
        .map_err(|silent| play(seed, planted, true).0.err().unwrap_or(silent))
}

/// Runs the world of one seed and tells everything that happened.
pub fn replay(seed: u64, planted: Planted) -> (Result<Summary, Box<Failure>>, Vec<String>) {
    play(seed, planted, true)
}

fn play(seed: u64, planted: Planted, log: bool) -> (Result<Summary, Box<Failure>>, Vec<String>) {
    let mut run = Run {
        seed,
        planted,
        world: World::new(seed, planted, CHAOS, log),
        invariants: invariants::all(),
        summary: Summary::default(),
    };
    let result = run.play();
    (result, run.world.take_log())
}

struct Run {
    seed: u64,
    planted: Planted,
    world: World,
    invariants: Vec<Box<dyn Invariant>>,
    summary: Summary,
}

impl Run {
    fn play(&mut self) -> Result<Summary, Box<Failure>> {
        self.summary.nodes = self.world.nodes.len();
        self.advance(CHAOS)?;
        self.world.heal_everything();
        self.advance(SETTLE)?;
        self.demand("inv1: one master within the stated time", |world| {
            invariants::settled::one_master(world)
        })?;
        self.demand("inv2: ledgers that met are equal", |world| {
            invariants::settled::equal_ledgers(world)
        })?;
        let answered = self.summary.answered;
        self.world.write_on_master();
        self.advance(ANSWER)?;
        if self.summary.answered == answered {
            return Err(self.failure(
                "inv1: a settled mesh serves",
                "a record was not answered".to_owned(),
            ));
        }
        Ok(self.summary)
    }

    fn advance(&mut self, span: Duration) -> Result<(), Box<Failure>> {
        let end = self.world.now() + span;
        while self.world.step(end) {
            self.summary.steps += 1;
            let notes = self.world.take_notes();
            self.count(&notes);
            for place in 0..self.invariants.len() {
                let invariant = &mut self.invariants[place];
                if let Err(seen) = invariant.check(&mut self.world, &notes) {
                    let name = invariant.name();
                    return Err(self.failure(name, seen));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Led(_) => self.summary.reigns += 1,
                Note::Answered { .. } => self.summary.answered += 1,
                Note::Obeyed { .. } => self.summary.obeyed += 1,
                Note::Met { .. } => self.summary.met += 1,
                _ => {}
            }
        }
    }

    fn demand(
        &mut self,
        name: &'static str,
        property: impl Fn(&mut World) -> Result<(), String>,
    ) -> Result<(), Box<Failure>> {
        property(&mut self.world).map_err(|seen| self.failure(name, seen))
    }

    fn failure(&mut self, invariant: &'static str, seen: String) -> Box<Failure> {
        Box::new(Failure {
            seed: self.seed,
            planted: self.planted,
            at: self.world.now(),
            invariant,
            seen,
            log: self.world.take_log(),
        })
    }
}
