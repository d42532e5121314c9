//! What goes wrong, and when: a schedule drawn from the seed. And what may be planted, to show that it is found.

use std::{fmt, str::FromStr, time::Duration};

use super::dice::Dice;

/// One thing that happens to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// kill -9: what was not synced is lost.
    Crash(usize),
    /// The node starts again, in its next life.
    Start(usize),
    /// The lid is closed for so long.
    Sleep(usize, Duration),
    /// Two sides that do not reach each other.
    Cut(Vec<bool>),
    /// Two nodes that reach each other only through others.
    Part(usize, usize),
    /// The network is whole again.
    Heal,
    /// Loss, of a thousand messages.
    Loss(u64),
    /// Somebody types `pacmesh lead`, or drains the master.
    Abdicate(usize),
}

/// The faults of `span`, in the order of their moments.
pub fn schedule(nodes: usize, span: Duration, dice: &mut Dice) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let mut at = dice.milliseconds(2500, 6000);
    while at < span {
        let (fault, end) = draw(nodes, dice);
        faults.push((at, fault));
        faults.extend(end.map(|(after, end)| (at + after, end)));
        at += dice.milliseconds(100, 3500);
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw(nodes: usize, dice: &mut Dice) -> (Fault, Option<(Duration, Fault)>) {
    let node = dice.index(nodes);
    match dice.index(8) {
        0..=2 => {
            let down = dice.milliseconds(50, 5000);
            (Fault::Crash(node), Some((down, Fault::Start(node))))
        }
        3 => (Fault::Sleep(node, dice.milliseconds(1200, 6000)), None),
        4 => {
            let side = (0..nodes).map(|_| dice.chance(500)).collect();
            (
                Fault::Cut(side),
                Some((dice.milliseconds(1000, 7000), Fault::Heal)),
            )
        }
        5 => {
            let other = dice.index(nodes);
            (
                Fault::Part(node, other),
                Some((dice.milliseconds(1000, 7000), Fault::Heal)),
            )
        }
        6 => (Fault::Loss(dice.between(0, 200)), None),
        _ => (Fault::Abdicate(node), None),
    }
}

/// A bug that a driver could have, to prove that the invariants see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Planted {
    /// None: the world as it should be.
    #[default]
    Nothing,
    /// Ballots are sent but never synced, so that a restarted node grants a term twice.
    ForgottenBallot,
    /// Records are acknowledged before they are synced.
    HastyAnswer,
    /// Orders of any reign are obeyed.
    BlindObedience,
}

impl Planted {
    /// All bugs.
    pub const ALL: [Self; 3] = [Self::ForgottenBallot, Self::HastyAnswer, Self::BlindObedience];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::ForgottenBallot => "forgotten-ballot",
            Self::HastyAnswer => "hasty-answer",
            Self::BlindObedience => "blind-obedience",
        }
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no bug.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownBug(String);

impl fmt::Display for UnknownBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Planted::ALL.map(Planted::name).join(", ");
        write!(
            f,
            "'{}' is no bug that can be planted: use one of {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownBug {}

impl FromStr for Planted {
    type Err = UnknownBug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bugs = [Self::Nothing].into_iter().chain(Self::ALL);
        bugs.into_iter()
            .find(|bug| bug.name() == text)
            .ok_or_else(|| UnknownBug(text.to_owned()))
    }
}
