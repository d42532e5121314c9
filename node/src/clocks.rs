//! Whose clock is wrong: members tell each other the time, and whoever is far off the median is named.
//!
//! Nothing is ordered by a clock; but invitations and requests expire by it, and databases carry its time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use pacmesh_protocol::{
    ids::NodeId,
    wire::{Reply, Request},
};
use tokio::sync::watch;

use crate::{clock, rooms::Rooms};

/// How far off the median a clock may be (FORMATS, "Numbers"), in milliseconds.
const TOLERANCE_MS: i64 = 120_000;
/// How often the others are asked.
const LOOK: Duration = Duration::from_secs(30);
/// How long an answer may take; half of it is the greatest error.
const ANSWER: Duration = Duration::from_secs(3);

/// How far the clocks of members in reach are ahead of this one, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    ahead: Arc<Mutex<BTreeMap<NodeId, i64>>>,
}

impl Clocks {
    /// Those whose clock is too far off the median, this node among them, with by how much it is ahead of the median.
    pub fn wrong(&self, own: NodeId) -> Vec<(NodeId, i64)> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wrong(own, ahead)
    }

    fn set(&self, ahead: BTreeMap<NodeId, i64>) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
    }
}

/// By the lower of two middle values, so that of two clocks the sooner one is right: a clock that was never set is old,
/// but two alone cannot know, and both are told.
fn wrong(own: NodeId, mut ahead: BTreeMap<NodeId, i64>) -> Vec<(NodeId, i64)> {
    ahead.insert(own, 0);
    let mut sorted: Vec<i64> = ahead.values().copied().collect();
    sorted.sort_unstable();
    let median = sorted[(sorted.len() - 1) / 2];
    let off = ahead.into_iter().map(|(node, ahead)| (node, ahead - median));
    off.filter(|(_, off)| off.abs() > TOLERANCE_MS).collect()
}

/// Asks the others from time to time until `stop` says so.
pub async fn watch(rooms: Arc<Rooms>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = tick.tick() => {}
        }
        let mut answers: FuturesUnordered<_> = rooms
            .transport
            .connected()
            .into_iter()
            .map(|peer| ahead(&rooms, peer))
            .collect();
        let mut heard = BTreeMap::new();
        while let Some(answer) = answers.next().await {
            heard.extend(answer);
        }
        drop(answers);
        rooms.clocks.set(heard);
    }
}

/// How far the clock of `peer` is ahead, measured at the middle of the round trip.
async fn ahead(rooms: &Arc<Rooms>, peer: NodeId) -> Option<(NodeId, i64)> {
    let asked = clock::wall_ms();
    let Ok(Reply::Clock { wall_ms }) = rooms.ask(peer, Request::Clock, ANSWER).await else {
        return None;
    };
    let middle = asked + clock::wall_ms().saturating_sub(asked) / 2;
    Some((
        peer,
        i64::try_from(wall_ms)
            .ok()?
            .saturating_sub(i64::try_from(middle).ok()?),
    ))
}

/// A wrong clock in words.
pub fn sentence(name: &str, off_ms: i64) -> String {
    let seconds = off_ms.unsigned_abs() / 1000;
    let side = if off_ms < 0 { "behind" } else { "ahead of" };
    format!(
        "the clock of {name} is {seconds} s {side} the others': set it there, 'timedatectl set-ntp true' keeps it right"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId([0; 32]);

    fn judged(ahead: &[i64]) -> Vec<(u8, i64)> {
        let others = ahead
            .iter()
            .zip(1..)
            .map(|(ahead, node)| (NodeId([node; 32]), ahead * 1000));
        let wrong = wrong(OWN, others.collect());
        wrong
            .into_iter()
            .map(|(node, off)| (node.0[0], off / 1000))
            .collect()
    }

    #[test]
    fn whoever_is_off_the_median_is_named_and_be_it_this_node() {
        assert_eq!(judged(&[]), []);
        assert_eq!(judged(&[100, -100]), []);
        assert_eq!(judged(&[1, 500]), [(2, 499)]);
        assert_eq!(judged(&[-300, -301, -299]), [(0, 300)]);
        assert_eq!(judged(&[200]), [(1, 200)]);
    }

    #[test]
    fn a_sentence_says_which_way_and_what_to_do() {
        let text = sentence("nas", -3_600_000);
        assert!(text.starts_with("the clock of nas is 3600 s behind"), "{text}");
    }
}
