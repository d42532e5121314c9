//! A network that loses, delays, reorders, doubles and cuts.

use std::{collections::BTreeSet, time::Duration};

use super::dice::Dice;

/// How bad the network is.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Of a thousand messages, so many are lost.
    pub loss: u64,
    /// So many arrive twice.
    pub twice: u64,
    /// So many are held up for long, and overtaken by others.
    pub slow: u64,
    /// Pairs that do not reach each other.
    pub cut: BTreeSet<(usize, usize)>,
}

impl Network {
    /// Cuts both ways between the nodes in `side` and all others.
    pub fn cut(&mut self, side: &[bool]) {
        self.cut.clear();
        for (a, left) in side.iter().enumerate() {
            for (b, right) in side.iter().enumerate() {
                if left != right {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    /// Cuts both ways between two nodes; others may reach both.
    pub fn part(&mut self, a: usize, b: usize) {
        self.cut.extend([(a, b), (b, a)]);
    }

    /// Everybody reaches everybody.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// After which delays a message arrives: none, one or two.
    pub fn deliveries(&self, from: usize, to: usize, dice: &mut Dice) -> Vec<Duration> {
        if self.cut.contains(&(from, to)) || dice.chance(self.loss) {
            return Vec::new();
        }
        let copies = if dice.chance(self.twice) { 2 } else { 1 };
        (0..copies).map(|_| self.delay(dice)).collect()
    }

    fn delay(&self, dice: &mut Dice) -> Duration {
        if dice.chance(self.slow) {
            dice.milliseconds(50, 700)
        } else {
            dice.milliseconds(1, 15)
        }
    }
}
