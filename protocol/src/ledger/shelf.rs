//! Packages and names: which releases are in force, what a quarantine withdrew, what a removal overtook, and which
//! names two authors bound to two archives.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    constitution::Constitution,
    kinds::{BindingKey, Kind, PackageKey, PackageV1, ReleaseV1},
    order::{Fact, Rank},
    record::{Position, ReignId},
    state::{Candidate, Ledger},
};
use crate::ids::{Digest, Fingerprint, NodeId};

/// A release that a verdict took out of force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// The package generation that it had.
    pub generation: u64,
    /// The release.
    pub release: ReleaseV1,
    /// Whose quarantine it fell under.
    pub member: NodeId,
    rank: Rank,
}

/// A release that a removal outranks although whoever removed did not know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overtaken {
    /// The release.
    pub release: ReleaseV1,
    /// Who published it.
    pub publisher: NodeId,
    /// Who removed the package.
    pub remover: NodeId,
}

/// A binding: whether it counts, its place among the others, the archive.
type Bound = (bool, Rank, Digest);

/// What the ledger knows of packages.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shelf {
    packages: BTreeMap<PackageKey, (Rank, PackageV1)>,
    /// By key the greatest one.
    withdrawn: BTreeMap<PackageKey, Withdrawn>,
    overtaken: BTreeMap<PackageKey, Overtaken>,
    /// Archives that nobody whose word counts published, or that were withdrawn.
    voided: BTreeSet<Digest>,
    bindings: BTreeMap<BindingKey, Bound>,
    twice: BTreeMap<BindingKey, BTreeSet<Digest>>,
}

/// Whose packages are withdrawn, and since when.
pub(super) struct Quarantine {
    since: BTreeMap<NodeId, u64>,
    signers: BTreeMap<Fingerprint, NodeId>,
}

impl Quarantine {
    /// `signers` says whose certificates there are, beside those of admissions.
    pub(super) fn of(
        constitution: &Constitution,
        signers: impl Iterator<Item = (Fingerprint, NodeId)>,
    ) -> Self {
        let since: BTreeMap<NodeId, u64> = constitution
            .members
            .values()
            .filter_map(|member| Some((member.id, member.quarantine_since_ms?)))
            .collect();
        let admitted = constitution
            .members
            .values()
            .filter_map(|member| Some((member.signer?, member.id)));
        let signers = admitted
            .chain(signers)
            .filter(|(_, node)| since.contains_key(node))
            .collect();
        Self { since, signers }
    }

    /// Who is the reason that a release written at this time is withdrawn: its builder, its signer or its publisher.
    fn withdraws(&self, author: &NodeId, written_ms: u64, release: &ReleaseV1) -> Option<NodeId> {
        if self.since.is_empty() {
            return None;
        }
        let signer = release.signer.and_then(|key| self.signers.get(&key).copied());
        [Some(release.worker), signer, Some(*author)]
            .into_iter()
            .flatten()
            .find(|node| self.since.get(node).is_some_and(|since| *since <= written_ms))
    }
}

/// Fills a [`Shelf`] from the slots of a ledger.
pub(super) struct Stocktaking<'a> {
    ledger: &'a Ledger,
    constitution: &'a Constitution,
    shelf: Shelf,
    standing: BTreeSet<Digest>,
    /// Releases that stand and are not the greatest of their key.
    beaten: Vec<(PackageKey, Rank, ReleaseV1)>,
    /// When each reign wrote first, by its own clock.
    began: BTreeMap<ReignId, u64>,
}

impl<'a> Stocktaking<'a> {
    pub(super) fn new(ledger: &'a Ledger, constitution: &'a Constitution) -> Self {
        let mut began: BTreeMap<ReignId, u64> = BTreeMap::new();
        for record in ledger.records() {
            let (reign, written) = (record.body().reign, record.body().written_ms);
            let first = began.entry(reign).or_insert(written);
            *first = written.min(*first);
        }
        Self {
            ledger,
            constitution,
            shelf: Shelf::default(),
            standing: BTreeSet::new(),
            beaten: Vec::new(),
            began,
        }
    }

    /// Takes what one author says of one package.
    pub(super) fn take_packages(&mut self, quarantine: &Quarantine, author: &NodeId, slot: &[Candidate]) {
        let mut greatest = true;
        for Candidate { rank, fact } in slot {
            let Fact::Package(key, value) = &**fact else {
                continue;
            };
            let position = rank.tail().position;
            let counts = self.constitution.counts(author, &position);
            let withdrawn = value.release.as_ref().and_then(|release| {
                let by = quarantine.withdraws(author, self.written_ms(&position), release)?;
                Some((by, release))
            });
            match (counts, withdrawn) {
                (true, None) => {
                    self.standing.extend(value.release.as_ref().map(|r| r.archive));
                    if std::mem::take(&mut greatest) {
                        self.offer(key, rank, value);
                    }
                }
                (true, Some((member, release))) => {
                    self.shelf.voided.insert(release.archive);
                    self.withdraw(key, value.generation, release, member, rank);
                }
                (false, _) => {
                    // What a guest or a stranger says voids nothing.
                    let is_void = self.constitution.is_void(author, &position);
                    let archive = value.release.as_ref().map(|release| release.archive);
                    self.shelf.voided.extend(archive.filter(|_| is_void));
                }
            }
        }
    }

    fn offer(&mut self, key: &PackageKey, rank: &Rank, value: &PackageV1) {
        let beaten = match self.shelf.packages.get(key) {
            Some((seen, _)) if seen > rank => Some((rank.clone(), value.clone())),
            _ => self
                .shelf
                .packages
                .insert(key.clone(), (rank.clone(), value.clone())),
        };
        if let Some((
            rank,
            PackageV1 {
                release: Some(release),
                ..
            },
        )) = beaten
        {
            self.beaten.push((key.clone(), rank, release));
        }
    }

    fn withdraw(
        &mut self,
        key: &PackageKey,
        generation: u64,
        release: &ReleaseV1,
        member: NodeId,
        rank: &Rank,
    ) {
        let seen = self.shelf.withdrawn.get(key);
        if seen.is_none_or(|seen| seen.rank < *rank) {
            let withdrawn = Withdrawn {
                generation,
                release: release.clone(),
                member,
                rank: rank.clone(),
            };
            self.shelf.withdrawn.insert(key.clone(), withdrawn);
        }
    }

    /// For "is this name free" every binding counts, void or not; among them the greatest unvoided one is in force.
    pub(super) fn take_bindings(&mut self, author: &NodeId, slot: &[Candidate]) {
        for Candidate { rank, fact } in slot {
            let Fact::Binding(key, value) = &**fact else {
                continue;
            };
            let (archive, counts) = (
                value.archive,
                self.constitution.counts(author, &rank.tail().position),
            );
            let seen = self.shelf.bindings.get(key);
            // A node without the role master publishes nothing: its word makes no work for others.
            if let Some((_, other, bound)) = seen
                && *bound != archive
                && [author, &other.tail().author]
                    .iter()
                    .all(|author| self.constitution.may_publish(author))
            {
                let archives = self.shelf.twice.entry(key.clone()).or_default();
                archives.extend([archive, *bound]);
            }
            if seen.is_none_or(|(other, least, _)| (*other, least) < (counts, rank)) {
                self.shelf
                    .bindings
                    .insert(key.clone(), (counts, rank.clone(), archive));
            }
        }
    }

    pub(super) fn finish(mut self) -> Shelf {
        for archive in &self.standing {
            self.shelf.voided.remove(archive);
        }
        for (key, rank, release) in std::mem::take(&mut self.beaten) {
            let Some((
                removal,
                PackageV1 {
                    generation,
                    release: None,
                },
            )) = self.shelf.packages.get(&key)
            else {
                continue;
            };
            if !self.is_unseen(&rank, removal) || self.confirms(&key, *generation) {
                continue;
            }
            let overtaken = Overtaken {
                publisher: rank.tail().author,
                remover: removal.tail().author,
                release,
            };
            let known = self.shelf.overtaken.get(&key).map(|known| &known.release.version);
            if known.is_none_or(|known| *known < overtaken.release.version) {
                self.shelf.overtaken.insert(key, overtaken);
            }
        }
        let packages = &self.shelf.packages;
        self.shelf
            .withdrawn
            .retain(|key, withdrawn| packages.get(key).is_none_or(|(rank, _)| *rank < withdrawn.rank));
        self.shelf
    }

    /// Whether a publication was written on another side of a cut than the removal that outranks it.
    ///
    /// A later reign would have known the removal, and published above it. An earlier one that wrote after the later
    /// had begun did not hear of its end. The second is seen by clocks, which is good enough for a report.
    fn is_unseen(&self, publication: &Rank, removal: &Rank) -> bool {
        let (published, removed) = (publication.tail(), removal.tail());
        if published.author == removed.author {
            return false;
        }
        if published.reign.term >= removed.reign.term {
            return true;
        }
        let began = self.began.get(&removed.reign);
        began.is_some_and(|began| self.written_ms(&published.position) > *began)
    }

    /// Whether a removal was made over another one. Nobody removes what is removed, except to say that the first was meant,
    /// whatever it overtook; the release that the first removed, or one that was published over it, is known otherwise.
    fn confirms(&self, key: &PackageKey, generation: u64) -> bool {
        let is_release = |fact: &Fact| {
            matches!(fact, Fact::Package(_, value)
                if value.release.is_some() && Some(value.generation) == generation.checked_sub(1))
        };
        let mut said = self.ledger.said(Kind::Package, key);
        !said.any(|(_, candidate)| is_release(&candidate.fact))
    }

    /// By its author's clock; only a quarantine and reports look at it.
    fn written_ms(&self, position: &Position) -> u64 {
        self.ledger
            .get(&position.hash)
            .map_or(0, |record| record.body().written_ms)
    }
}

impl Shelf {
    pub(super) fn packages(&self) -> &BTreeMap<PackageKey, (Rank, PackageV1)> {
        &self.packages
    }

    pub(super) fn bindings(&self) -> &BTreeMap<BindingKey, Bound> {
        &self.bindings
    }

    pub(super) fn bound_twice(&self) -> &BTreeMap<BindingKey, BTreeSet<Digest>> {
        &self.twice
    }

    pub(super) fn withdrawn(&self) -> &BTreeMap<PackageKey, Withdrawn> {
        &self.withdrawn
    }

    pub(super) fn overtaken(&self) -> &BTreeMap<PackageKey, Overtaken> {
        &self.overtaken
    }

    pub(super) fn is_voided(&self, archive: &Digest) -> bool {
        self.voided.contains(archive)
    }
}
