//! Which records are kept: a pure function of the records that were seen.
//!
//! Per key and author the K greatest values; where a verdict cuts an author, also the K greatest at or below each cut,
//! so that voiding what came later brings back what was in force before. A record stays while any entry of it is kept.
//! Verdicts are never dropped, so cuts only ever grow in number, and adding records in any order ends in the same set.
//! A value of a job before the [`horizon`] counts as not kept; values of one job with different days do not compete.
//! A verdict is expected to come together with the subject's records at or below its cut (FORMATS, "Verdicts"), and is
//! merged before them ([`Ledger::is_urgent`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::{
    admitted::Admitted,
    horizon::{self, HORIZON, Overtaken},
    order::{Fact, Rank},
    record::{Position, Record},
    tree::DigestTree,
    view::View,
};
use crate::{
    codec,
    ids::{JobId, MeshId, NodeId, RecordHash},
    ledger::{
        kinds::{JobState, JobV1, Kind, VerdictV1},
        record::{Entry, KEY_LIMIT},
    },
    signed::Verify,
};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// Kept; these are kept no longer.
    Added {
        /// Outranked in every entry, or behind the horizon.
        dropped: Vec<RecordHash>,
    },
    /// It was there.
    Known,
    /// Outranked in every entry by what is there, or behind the horizon; not kept.
    Stale,
    /// It says nothing that could be kept.
    Refused(String),
}

/// One value of a key.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) rank: Rank,
    pub(super) fact: Arc<Fact>,
}

impl Candidate {
    pub(super) fn hash(&self) -> RecordHash {
        self.rank.tail().position.hash
    }
}

/// Kind, key bytes and author: whose values of what are ranked against each other. Behind the key of a job stands its
/// day.
type Slot = (u16, Vec<u8>, NodeId);

/// Most overtaken jobs that wait to be asked for.
const OVERTAKEN_LIMIT: usize = 64;

/// The records that a node holds.
#[derive(Debug)]
pub struct Ledger {
    pub(super) mesh: MeshId,
    pub(super) verifier: Arc<dyn Verify>,
    own: NodeId,
    records: BTreeMap<RecordHash, Record>,
    /// All entries of held records, the greatest first.
    pub(super) slots: BTreeMap<Slot, Vec<Candidate>>,
    /// Cuts that verdicts name, by subject; they stay, as verdicts do.
    cuts: BTreeMap<NodeId, BTreeSet<Position>>,
    places: BTreeMap<(NodeId, u64, u64), BTreeSet<RecordHash>>,
    tree: DigestTree,
    unread: BTreeSet<RecordHash>,
    horizon: u32,
    overtaken: Vec<Overtaken>,
    view: Option<Arc<View>>,
    pub(super) admitted: Option<Arc<Admitted>>,
}

impl Ledger {
    /// An empty ledger of `own`; `verifier` judges the authority's statements inside values.
    pub fn new(mesh: MeshId, own: NodeId, verifier: Arc<dyn Verify>) -> Self {
        Self {
            mesh,
            verifier,
            own,
            records: BTreeMap::new(),
            slots: BTreeMap::new(),
            cuts: BTreeMap::new(),
            places: BTreeMap::new(),
            tree: DigestTree::default(),
            unread: BTreeSet::new(),
            horizon: 0,
            overtaken: Vec::new(),
            view: None,
            admitted: None,
        }
    }

    /// Takes a record whose signature was verified, whole or not at all.
    pub fn merge(&mut self, record: Record) -> Merged {
        let hash = record.hash();
        if self.records.contains_key(&hash) {
            return Merged::Known;
        }
        self.insert(&record);
        if !self.is_kept(&record) {
            self.remove(&record);
            return Merged::Stale;
        }
        self.records.insert(hash, record.clone());
        self.tree.insert(hash);
        self.view = None;
        let mut dropped = self.drop_outranked_by(&record);
        if horizon::is_moved_by(&record) {
            dropped.extend(self.follow_horizon());
        }
        Merged::Added { dropped }
    }

    /// The horizon in force, in days since the founding: jobs of days before it are forgotten.
    pub const fn horizon(&self) -> u32 {
        self.horizon
    }

    /// Open jobs of this node that fell behind the horizon since the last call.
    pub fn take_overtaken(&mut self) -> Vec<Overtaken> {
        std::mem::take(&mut self.overtaken)
    }

    /// Whether a record is held.
    pub fn contains(&self, hash: &RecordHash) -> bool {
        self.records.contains_key(hash)
    }

    /// A held record.
    pub fn get(&self, hash: &RecordHash) -> Option<&Record> {
        self.records.get(hash)
    }

    /// All held records, by hash.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// What is in force; computed once after each change.
    pub fn view(&mut self) -> Arc<View> {
        if let Some(view) = &self.view {
            return view.clone();
        }
        let view = Arc::new(View::of(self));
        self.view = Some(view.clone());
        view
    }

    /// The digest tree over all held records.
    pub const fn tree(&self) -> &DigestTree {
        &self.tree
    }

    /// Held records with an entry that this binary does not read.
    pub fn unread(&self) -> Vec<RecordHash> {
        self.unread.iter().copied().collect()
    }

    pub(super) fn unread_records(&self) -> impl Iterator<Item = &Record> {
        self.unread.iter().filter_map(|hash| self.records.get(hash))
    }

    /// Admissions and verdicts go before everything else: they decide whose other records count.
    pub fn is_urgent(record: &Record) -> bool {
        Self::turn(record) < 2
    }

    /// Of records that come together, those with the lowest turn are merged first: verdicts, whose cuts decide what else is
    /// kept, then admissions.
    pub fn turn(record: &Record) -> u8 {
        let says = |kind: Kind| {
            record
                .body()
                .entries
                .iter()
                .any(|entry| entry.kind == kind as u16)
        };
        match () {
            () if says(Kind::Verdict) => 0,
            () if says(Kind::Admission) => 1,
            () => 2,
        }
    }

    /// Two records of one author at one place: a restored backup or a cloned disk wrote.
    pub(super) fn forks(&self) -> impl Iterator<Item = &(NodeId, u64, u64)> {
        self.places
            .iter()
            .filter(|(_, hashes)| hashes.len() > 1)
            .map(|(place, _)| place)
    }

    /// The greatest life of `node` of which a record is held; 0 for none.
    pub(super) fn greatest_incarnation(&self, node: &NodeId) -> u64 {
        self.places
            .range((*node, 0, 0)..=(*node, u64::MAX, u64::MAX))
            .next_back()
            .map_or(0, |((_, incarnation, _), _)| *incarnation)
    }

    /// How many entries the held records of `author` have.
    pub(super) fn count_entries(&self, author: &NodeId) -> usize {
        self.places
            .range((*author, 0, 0)..=(*author, u64::MAX, u64::MAX))
            .flat_map(|(_, hashes)| hashes)
            .filter_map(|hash| self.records.get(hash))
            .map(|record| record.body().entries.len())
            .sum()
    }

    fn insert(&mut self, record: &Record) {
        let (author, tail) = (record.author(), record.tail());
        for entry in &record.body().entries {
            let fact = Fact::read(entry);
            if let Fact::Verdict(subject, VerdictV1 { cut: Some(cut), .. }) = &fact {
                self.cuts.entry(*subject).or_default().insert(*cut);
            }
            if fact == Fact::Unread {
                self.unread.insert(record.hash());
            }
            if matches!(fact, Fact::Admission(..)) {
                self.admitted = None;
            }
            let candidate = Candidate {
                rank: fact.rank(tail),
                fact: Arc::new(fact),
            };
            let slot = self.slots.entry(slot_of(entry, author)).or_default();
            let at = slot.partition_point(|other| other.rank > candidate.rank);
            slot.insert(at, candidate);
        }
        let place = (author, record.body().incarnation, record.body().sequence);
        self.places.entry(place).or_default().insert(record.hash());
    }

    fn remove(&mut self, record: &Record) {
        let (author, hash) = (record.author(), record.hash());
        for entry in &record.body().entries {
            let key = slot_of(entry, author);
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.retain(|candidate| candidate.hash() != hash);
                if slot.is_empty() {
                    self.slots.remove(&key);
                }
            }
        }
        let place = (author, record.body().incarnation, record.body().sequence);
        if let Some(hashes) = self.places.get_mut(&place) {
            hashes.remove(&hash);
            if hashes.is_empty() {
                self.places.remove(&place);
            }
        }
        self.unread.remove(&hash);
        self.tree.remove(&hash);
        self.records.remove(&hash);
    }

    /// Only the first value beyond those that its slot keeps may have been kept until now; where verdicts cut the author, any.
    fn drop_outranked_by(&mut self, record: &Record) -> Vec<RecordHash> {
        let author = record.author();
        let is_cut = self.cuts.contains_key(&author);
        let mut rivals = BTreeSet::new();
        for entry in &record.body().entries {
            let Some(slot) = self.slots.get(&slot_of(entry, author)) else {
                continue;
            };
            let beyond = match slot.first().map_or(usize::MAX, |greatest| greatest.fact.kept()) {
                usize::MAX => continue,
                _ if is_cut => 0,
                most => most,
            };
            let pushed = slot.iter().skip(beyond).map(Candidate::hash);
            rivals.extend(pushed.take(if is_cut { usize::MAX } else { 1 }));
        }
        rivals.remove(&record.hash());
        self.drop_unkept(rivals)
    }

    /// Drops those of `suspects` that nothing keeps any longer.
    fn drop_unkept(&mut self, suspects: BTreeSet<RecordHash>) -> Vec<RecordHash> {
        let mut dropped = Vec::new();
        for hash in suspects {
            let Some(suspect) = self.records.get(&hash).cloned() else {
                continue;
            };
            if !self.is_kept(&suspect) {
                self.remove(&suspect);
                dropped.push(hash);
            }
        }
        dropped
    }

    /// Works the horizon out anew, and drops what lies before it.
    fn follow_horizon(&mut self) -> Vec<RecordHash> {
        let before = self.horizon;
        self.horizon = horizon::of(self);
        if self.horizon <= before {
            return Vec::new();
        }
        let (mut suspects, mut last) = (BTreeSet::new(), BTreeMap::<JobId, (&Candidate, &JobV1)>::new());
        for candidate in self.kind(Kind::Job).flat_map(|(_, slot)| slot) {
            let Fact::Job(id, value) = &*candidate.fact else {
                continue;
            };
            if value.day < before || value.day >= self.horizon {
                continue;
            }
            suspects.insert(candidate.hash());
            let greatest = last.entry(*id).or_insert((candidate, value));
            if greatest.0.rank < candidate.rank {
                *greatest = (candidate, value);
            }
        }
        let lost = last.into_iter().filter(|(_, (candidate, value))| {
            let own = value.submitter == self.own || candidate.rank.tail().author == self.own;
            own && value.state == JobState::Queued
        });
        let lost: Vec<_> = lost.map(|(id, (_, value))| Overtaken::of(id, value)).collect();
        self.overtaken.extend(lost);
        self.overtaken.truncate(OVERTAKEN_LIMIT);
        self.drop_unkept(suspects)
    }

    /// All values of one kind, by key and author.
    pub(super) fn kind(&self, kind: Kind) -> impl Iterator<Item = (&NodeId, &Vec<Candidate>)> {
        let kind = kind as u16;
        self.slots
            .range((kind, Vec::new(), NodeId([0; 32]))..)
            .take_while(move |((of, ..), _)| *of == kind)
            .map(|((_, _, author), slot)| (author, slot))
    }

    /// What each author says of the horizon.
    pub(super) fn said_horizons(&self) -> impl Iterator<Item = (&NodeId, &Candidate)> {
        self.said(Kind::Setting, &HORIZON)
    }

    /// What each author says of one key, whether it counts or not.
    pub(super) fn said(
        &self,
        kind: Kind,
        key: &impl Serialize,
    ) -> impl Iterator<Item = (&NodeId, &Candidate)> {
        let (kind, key) = (kind as u16, codec::encode(key, KEY_LIMIT).unwrap_or_default());
        self.slots
            .range((kind, key.clone(), NodeId([0; 32]))..=(kind, key, NodeId([0xff; 32])))
            .flat_map(|((_, _, author), slot)| slot.iter().map(move |candidate| (author, candidate)))
    }

    /// Whether any entry of a record is among the greatest of its slot, and not behind the horizon.
    fn is_kept(&self, record: &Record) -> bool {
        let author = record.author();
        record.body().entries.iter().any(|entry| {
            self.slots
                .get(&slot_of(entry, author))
                .is_some_and(|slot| self.is_among_greatest(&author, slot, &record.hash()))
        })
    }

    fn is_among_greatest(&self, author: &NodeId, slot: &[Candidate], hash: &RecordHash) -> bool {
        let at = slot.iter().position(|candidate| candidate.hash() == *hash);
        at.is_some_and(|at| self.is_kept_at(author, slot, at))
    }

    fn is_kept_at(&self, author: &NodeId, slot: &[Candidate], at: usize) -> bool {
        if horizon::is_before(&slot[at].fact, self.horizon) {
            return false;
        }
        let most = slot[at].fact.kept();
        if at < most {
            return true;
        }
        let position = slot[at].rank.tail().position;
        self.cuts.get(author).is_some_and(|cuts| {
            cuts.iter()
                .filter(|cut| is_at_or_below(&position, cut))
                .any(|cut| {
                    let greater = slot[..at]
                        .iter()
                        .filter(|other| is_at_or_below(&other.rank.tail().position, cut));
                    greater.count() < most
                })
        })
    }

    /// The values for whose sake records are held; what else their records say was outranked.
    pub(super) fn kept_values(&self) -> impl Iterator<Item = (&NodeId, &Candidate)> {
        self.slots.iter().flat_map(move |((_, _, author), slot)| {
            let kept = (0..slot.len()).filter(move |at| self.is_kept_at(author, slot, *at));
            kept.map(move |at| (author, &slot[at]))
        })
    }

    /// This node.
    pub const fn own(&self) -> NodeId {
        self.own
    }
}

/// Where an entry competes.
fn slot_of(entry: &Entry, author: NodeId) -> Slot {
    let mut key = entry.key.clone();
    if entry.kind == Kind::Job as u16
        && let Fact::Job(_, job) = Fact::read(entry)
    {
        key.extend(job.day.to_be_bytes());
    }
    (entry.kind, key, author)
}

/// Whether a record stands at or below a cut; without a cut none does.
pub(super) fn is_below(position: &Position, cut: &Option<Position>) -> bool {
    cut.as_ref().is_some_and(|cut| is_at_or_below(position, cut))
}

/// Of a fork at the cut only the named record stands.
fn is_at_or_below(position: &Position, cut: &Position) -> bool {
    let (place, end) = (
        (position.incarnation, position.sequence),
        (cut.incarnation, cut.sequence),
    );
    place < end || (place == end && position.hash == cut.hash)
}
