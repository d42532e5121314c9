//! Whose records are taken from others (FORMATS, "Who writes, and requests").
//!
//! Masters write; every other member only carries statements of the authority. The merge keeps whatever it is given, so
//! that its laws need no order; the door stands before it. Who ever was admitted as a master may write for good: what
//! counts of it is for verdicts and the view to say. So the door only ever opens wider, and what it cannot judge yet is
//! left out until the admissions are here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    constitution::Authority,
    kinds::{AdmissionV1, InvitationV1, Kind, Warrant},
    order::Fact,
    record::{Entry, Record},
    state::Ledger,
};
use crate::{ids::NodeId, roles::Role};

/// Most entries that are kept of a member which only carries statements: the authority does not say so many things, and
/// a member could repeat one for ever.
pub const CARRIED_LIMIT: usize = 1024;

/// Who was ever admitted, whatever became of it since.
#[derive(Debug, Clone, Default)]
pub(super) struct Admitted {
    members: BTreeSet<NodeId>,
    masters: BTreeSet<NodeId>,
}

/// A node, and an admission of it by an author.
type Entrance = (NodeId, NodeId, AdmissionV1);

impl Admitted {
    /// Takes in whom `entrances` admit, in whatever order they name each other.
    fn widen(&mut self, authority: &Authority<'_>, mut entrances: Vec<Entrance>) {
        loop {
            let before = entrances.len();
            entrances.retain(|entrance| !self.enter(authority, entrance));
            if entrances.len() == before {
                return;
            }
        }
    }

    /// Whether this entrance was judged: its author may admit.
    fn enter(&mut self, authority: &Authority<'_>, (node, author, admission): &Entrance) -> bool {
        let is_valid = match &admission.warrant {
            Warrant::Founding(statement) if author == node && admission.seat == 0 => {
                authority.founding(statement, node).is_some()
            }
            Warrant::Invitation(statement) if self.masters.contains(author) => authority
                .invitation(statement)
                .is_some_and(|terms| admission.roles.within(terms.roles)),
            Warrant::Founding(_) | Warrant::Invitation(_) => return false,
        };
        if is_valid {
            self.members.insert(*node);
        }
        if is_valid && admission.roles.has(Role::Master) {
            self.masters.insert(*node);
        }
        true
    }
}

impl Ledger {
    /// Parts records that came together, in any order, into those to merge and those whose author has not been heard of
    /// as one who may write them.
    pub fn let_in(&mut self, records: Vec<Record>) -> (Vec<Record>, Vec<Record>) {
        let mut admitted = self.admitted();
        let unknown = |record: &&Record| !admitted.masters.contains(&record.author());
        if records.iter().filter(unknown).count() > 0 {
            let said: Vec<Entrance> = records.iter().flat_map(entrances).collect();
            Arc::make_mut(&mut admitted).widen(&Authority::of(self), said);
        }
        let mut carried = BTreeMap::new();
        records
            .into_iter()
            .partition(|record| self.may_enter(&admitted, &mut carried, record))
    }

    fn may_enter(&self, admitted: &Admitted, carried: &mut BTreeMap<NodeId, usize>, record: &Record) -> bool {
        let (author, entries) = (record.author(), &record.body().entries);
        if admitted.masters.contains(&author) || self.contains(&record.hash()) {
            return true;
        }
        let authority = Authority::of(self);
        if !admitted.members.contains(&author) || !entries.iter().all(|entry| authority.stated(entry)) {
            return false;
        }
        let so_far = carried
            .entry(author)
            .or_insert_with(|| self.count_entries(&author));
        *so_far += entries.len();
        *so_far <= CARRIED_LIMIT
    }

    /// Worked out once after each new admission.
    fn admitted(&mut self) -> Arc<Admitted> {
        if let Some(admitted) = &self.admitted {
            return admitted.clone();
        }
        let held = self.kind(Kind::Admission).flat_map(|(author, slot)| {
            slot.iter().filter_map(|candidate| match &*candidate.fact {
                Fact::Admission(node, admission) => Some((*node, *author, admission.clone())),
                _ => None,
            })
        });
        let mut admitted = Admitted::default();
        admitted.widen(&Authority::of(self), held.collect());
        self.admitted.insert(Arc::new(admitted)).clone()
    }
}

impl Authority<'_> {
    /// Whether the authority itself says all that this entry says.
    fn stated(&self, entry: &Entry) -> bool {
        match Fact::read(entry) {
            Fact::Verdict(subject, verdict) => self.said(&subject, &verdict),
            Fact::Invitation(
                id,
                InvitationV1 {
                    statement,
                    closed: false,
                },
            ) => self
                .invitation(&statement)
                .is_some_and(|terms| terms.invitation == id),
            _ => false,
        }
    }
}

/// The admissions that a record holds.
fn entrances(record: &Record) -> impl Iterator<Item = Entrance> {
    record
        .body()
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::Admission as u16)
        .filter_map(|entry| match Fact::read(entry) {
            Fact::Admission(node, admission) => Some((node, record.author(), admission)),
            _ => None,
        })
}
