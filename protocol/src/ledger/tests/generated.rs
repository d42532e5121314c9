//! Worlds drawn at random: what several masters, a guest and a stranger might write, verdicts about each other included.

use proptest::prelude::*;

use super::world::*;
use crate::{
    ledger::{
        horizon,
        kinds::JobState,
        record::{Entry, Position, Record},
        state::is_below,
    },
    roles::Roles,
};

/// One thing that somebody does; numbers that mean nothing to a kind of deed are not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    kind: u8,
    author: usize,
    subject: usize,
    a: u64,
    b: u64,
    /// How many records the author of a verdict had not yet heard of.
    behind: usize,
}

/// 3 to 6 keys that do up to 40 things.
pub(super) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    (3_usize..=6).prop_flat_map(|nodes| {
        let deed = (0_u8..27, 0..nodes, 0..nodes, 0_u64..4, 0_u64..4, 0_usize..6).prop_map(
            |(kind, author, subject, a, b, behind)| Deed {
                kind,
                author,
                subject,
                a,
                b,
                behind,
            },
        );
        prop::collection::vec(deed, 1..40)
    })
}

/// What travels in one transaction: a record; a verdict with the subject's records at or below its cut.
pub(super) type Bundle = Vec<Record>;

/// The founder's admission, then what the deeds came to. Horizons are the founder's, and no verdict voids them: what
/// fell by a horizon that is void later would be missing where it was known in between.
pub(super) fn bundles(deeds: &[Deed]) -> Vec<Bundle> {
    bundles_with(deeds, false)
}

/// The same with horizons that anybody speaks of, and that verdicts void.
pub(super) fn bundles_with_any_horizon(deeds: &[Deed]) -> Vec<Bundle> {
    bundles_with(deeds, true)
}

fn bundles_with(deeds: &[Deed], any_horizon: bool) -> Vec<Bundle> {
    let mut stage = Stage {
        world: World::new(),
        cuts: Vec::new(),
        bundles: Vec::new(),
        any_horizon,
        horizons: Vec::new(),
        founder_judged: false,
    };
    let founding = stage.world.write(0, [founding(0)]);
    stage.bundles.push(vec![founding]);
    for deed in deeds {
        stage.act(deed);
    }
    stage.bundles
}

struct Stage {
    world: World,
    cuts: Vec<(usize, Position)>,
    bundles: Vec<Bundle>,
    any_horizon: bool,
    /// Where the founder spoke of a horizon.
    horizons: Vec<Position>,
    founder_judged: bool,
}

impl Stage {
    fn act(&mut self, deed: &Deed) {
        let Deed {
            kind,
            author,
            subject,
            a,
            b,
            ..
        } = *deed;
        match kind {
            0..=3 => self.verdict(deed, |terms| suspension(subject, a, terms)),
            4 => self.verdict(deed, |terms| revocation(subject, terms)),
            5 => self.verdict(deed, |terms| revocation_by(&key(author), &MESH, subject, terms)),
            6 => self.say(author, reinstatement(subject, a)),
            7..=9 => {
                let roles = if b == 0 { Roles::GUEST } else { Roles::PEER };
                self.say(author, admission(subject, a + 1, roles));
            }
            10 => self.world.restart(author),
            11 => self.fork(deed),
            24..=26 => self.raise_horizon(deed),
            kind => self.say(author, content(kind, deed)),
        }
    }

    fn say(&mut self, author: usize, entry: Entry) {
        let more = package("extra", 1, Some("1-1"));
        let entries = [entry, more];
        // Every third record carries a second entry, so that one outranked in part stays whole.
        let count = if self.world.records.len().is_multiple_of(3) {
            2
        } else {
            1
        };
        let record = self.world.write(author, entries.into_iter().take(count));
        self.bundles.push(vec![record]);
    }

    fn raise_horizon(&mut self, deed: &Deed) {
        if !self.any_horizon && self.founder_judged {
            return;
        }
        let author = if self.any_horizon { deed.author } else { 0 };
        let entry = horizon::raise(deed.a as u32).unwrap();
        let record = self.world.write(author, [entry]);
        if author == 0 {
            self.horizons.push(record.position());
        }
        self.bundles.push(vec![record]);
    }

    /// Its author holds all that was written but the last few records, and cuts at the last one that it holds.
    fn verdict(&mut self, deed: &Deed, entry: impl FnOnce(Terms) -> Entry) {
        let (heard, unheard) = self
            .world
            .records
            .split_at(self.world.records.len().saturating_sub(deed.behind).max(1));
        let held = ledger_of(heard);
        let theirs = |record: &&Record| record.author() == node(deed.subject);
        let last = held.records().filter(theirs).map(Record::position).max();
        let cut = last.filter(|_| deed.b > 0);
        // At a forked place the twin of the cut is void, and what it alone outranked is gone where it was known: a known
        // limit, like all backdating.
        let at_cut = held.records().filter(theirs).filter(|record| {
            cut.is_some_and(|cut| {
                (record.body().incarnation, record.body().sequence) == (cut.incarnation, cut.sequence)
            })
        });
        if at_cut.count() > 1 {
            return;
        }
        if deed.subject == 0 {
            let voids = self.horizons.iter().any(|position| !is_below(position, &cut));
            if voids && !self.any_horizon {
                return;
            }
            self.founder_judged = true;
        }
        let mut bundle: Bundle = held
            .records()
            .chain(unheard)
            .filter(theirs)
            .filter(|record| is_below(&record.position(), &cut))
            .cloned()
            .collect();
        self.cuts.extend(cut.map(|cut| (deed.subject, cut)));
        let standing = (0..deed.b as usize).map(node).collect();
        // Any time of the world, or none.
        let quarantine = (deed.a % 2 == 1).then_some(deed.b * 8);
        let terms = Terms {
            cut,
            standing,
            quarantine,
        };
        let record = self.world.write(deed.author, [entry(terms)]);
        bundle.insert(0, record);
        self.bundles.push(bundle);
    }

    /// A restored backup writes at a place that was taken; never below a cut, which nothing can tell from backdating.
    fn fork(&mut self, deed: &Deed) {
        let twin = self
            .world
            .records
            .iter()
            .rev()
            .find(|record| record.author() == node(deed.author))
            .map(|record| (record.body().incarnation, record.body().sequence));
        let Some(place) = twin else { return };
        let is_cut = |(subject, cut): &(usize, Position)| {
            *subject == deed.author && (cut.incarnation, cut.sequence) >= place
        };
        if !self.cuts.iter().any(is_cut) {
            let record = self
                .world
                .write_at(deed.author, place, [content(12 + deed.b as u8, deed)]);
            self.bundles.push(vec![record]);
        }
    }
}

fn content(kind: u8, deed: &Deed) -> Entry {
    let Deed {
        subject,
        a,
        b,
        behind,
        ..
    } = *deed;
    let versions = [None, Some("1-1"), Some("1.1-1"), Some("2-1")];
    let states = [
        JobState::Queued,
        failed(),
        JobState::Cancelled,
        JobState::Published,
    ];
    match kind {
        12..=14 => match versions[b as usize] {
            Some(version) => package_by(subject, "foo", a, version),
            None => package("foo", a, None),
        },
        15 => setting("x", a, ["p", "q", "r", "s"][b as usize]),
        16 => job_on(
            behind as u32,
            1 + (subject % 2) as u8,
            a,
            states[b as usize].clone(),
        ),
        17 => binding("foo", "1-1", &b.to_le_bytes()),
        18 => edit(subject, a, [Roles::PEER, Roles::GUEST][(b % 2) as usize], b > 1),
        19 => invitation(b as u8, a > 1),
        20 => source(a, b > 1),
        21 => signer(a, b > 1),
        22 => unread(9, 2, &package("foo", 0, None).key),
        _ => generation(a),
    }
}
