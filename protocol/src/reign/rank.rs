//! Who comes first: seats, then node ids; and the waits that keep claimants apart.

use std::{collections::BTreeMap, time::Duration};

use crate::ids::{NodeId, Seat};

/// The wait of one rank before a claim (FORMATS, "Numbers": two round trips and two syncs fit).
const RANK_WAIT: Duration = Duration::from_millis(150);
/// Greatest random part of that wait.
const RANK_JITTER_MS: u64 = 150;
/// The wait before another claim when there was no majority (FORMATS, "Numbers").
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Greatest random part of that wait.
const RETRY_JITTER_MS: u64 = 600;

/// Seniority as an order: the lesser is the senior.
pub(super) fn seniority(node: &NodeId, members: &BTreeMap<NodeId, Seat>) -> (Seat, NodeId) {
    (members.get(node).copied().unwrap_or(Seat::MAX), *node)
}

/// The position of `node` by seat among `others` and itself.
pub(super) fn rank<'a>(
    node: &NodeId,
    others: impl Iterator<Item = &'a NodeId>,
    members: &BTreeMap<NodeId, Seat>,
) -> u32 {
    let own = seniority(node, members);
    let seniors = others.filter(|other| seniority(other, members) < own).count();
    u32::try_from(seniors).unwrap_or(u32::MAX)
}

/// How long a node of `rank` waits before it claims.
pub(super) fn claim_wait(rank: u32, jitter: Duration) -> Duration {
    RANK_WAIT.saturating_mul(rank).saturating_add(jitter)
}

/// Randomness from a seed (SplitMix64, Steele et al. 2014): waits differ between nodes and repeat in a replay.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The random part of a claim's wait.
    pub(super) fn claim_jitter(&mut self) -> Duration {
        self.up_to(RANK_JITTER_MS)
    }

    /// The whole wait before another claim.
    pub(super) fn retry_wait(&mut self) -> Duration {
        RETRY_WAIT + self.up_to(RETRY_JITTER_MS)
    }

    fn up_to(&mut self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.next() % (milliseconds + 1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    #[test]
    fn the_lower_seat_comes_first_and_then_the_lower_id() {
        let members = BTreeMap::from([(id(1), 5), (id(2), 0), (id(3), 5)]);
        let alive = [id(1), id(2), id(3)];
        let ranks: Vec<_> = alive.iter().map(|n| rank(n, alive.iter(), &members)).collect();
        assert_eq!(ranks, [1, 0, 2]);
    }

    #[test]
    fn waits_stay_within_the_numbers() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            assert!(dice.claim_jitter() <= Duration::from_millis(150));
            let retry = dice.retry_wait();
            assert!(retry >= Duration::from_secs(1) && retry <= Duration::from_millis(1600));
        }
        assert_eq!(
            claim_wait(2, Duration::from_millis(10)),
            Duration::from_millis(310)
        );
    }
}
