//! Another holder of this node's key: a home that was copied, or restored while the old one still ran.
//!
//! A record in this node's name that it did not write proves a greater life, not that this life goes on: tables keep the
//! records of the dead, this node's own earlier lives among them. So the other has to show that it lives, by a further
//! record a heartbeat later. Then this node, the lower one, stops; the greater one never hears of it, since nobody takes
//! records of a lower life. If nothing more comes, the greater life is over, and this node begins one above it. Until
//! that is decided it is in doubt.

use crate::{
    ids::NodeId,
    machine::Instant,
    membership::{
        Membership, Version,
        io::Output,
        numbers::{RIVAL_ASK, RIVAL_WAIT},
    },
};

/// A greater life of this node, of which it is not known whether it goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    version: Version,
    until: Instant,
    ask_at: Instant,
}

impl Rival {
    pub(super) fn next_wakeup(&self) -> Instant {
        self.until.min(self.ask_at)
    }
}

impl Membership {
    /// A verified record in this node's own name.
    pub(super) fn heard_of_oneself(
        &mut self,
        now: Instant,
        version: Version,
        goodbye: bool,
        out: &mut Vec<Output>,
    ) {
        let own = self.own().incarnation;
        let incarnation = version.incarnation;
        if version <= self.own().version() {
            return;
        }
        if goodbye {
            self.rival = None;
            return out.push(Output::Outlived { incarnation });
        }
        let known = self.rival.map(|rival| rival.version);
        let lives = known.is_some_and(|known| known.incarnation == incarnation && known < version);
        if lives && incarnation == own {
            // Two that began in the same second: with chance between them one of the next lives is greater.
            let ahead = self.rng.take(&mut (0..8).collect()).unwrap_or(0);
            let incarnation = incarnation.saturating_add(ahead);
            self.rival = None;
            out.push(Output::Outlived { incarnation });
        } else if lives {
            out.push(Output::Usurped { incarnation });
        } else if known.is_none_or(|known| known < version) {
            self.rival = Some(Rival {
                version,
                until: now + RIVAL_WAIT,
                ask_at: now,
            });
            self.press_rival(now, out);
        }
    }

    /// Asks somebody what was heard of the rival since; gives it up when nothing was.
    pub(super) fn press_rival(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(mut rival) = self.rival else {
            return;
        };
        if now >= rival.until {
            self.rival = None;
            let incarnation = rival.version.incarnation;
            return out.push(Output::Outlived { incarnation });
        }
        if now >= rival.ask_at {
            let mut others: Vec<NodeId> = self.reachable(None);
            out.extend(self.rng.take(&mut others).map(|to| Output::SendTable { to }));
            rival.ask_at = now + RIVAL_ASK;
            self.rival = Some(rival);
        }
    }
}
