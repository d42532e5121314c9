//! Who belongs to the mesh, and whose word counts: worked out in the order of seats (FORMATS, "Admission, seats and
//! verdicts").
//!
//! What is said about a member with the role master counts only from a senior, unvoided master or the authority; about
//! all others from any unvoided master. So no two can undo each other, and one pass from the founder down decides.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    kinds::{
        AdmissionV1, FoundingV1, InvitationStatementV1, Kind, Ruling, VerdictStatementV1, VerdictV1, Warrant,
    },
    member::{Member, Standing},
    order::{Fact, Rank},
    record::{Position, VALUE_LIMIT},
    state::{Candidate, Ledger},
};
use crate::{
    ids::{InvitationId, MeshId, NodeId},
    names::{MeshName, NodeName},
    roles::Role,
    signed::{Purpose, Signed, Verify},
};

/// Who belongs to the mesh.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Constitution {
    pub(super) founder: Option<NodeId>,
    pub(super) mesh_name: Option<MeshName>,
    pub(super) members: BTreeMap<NodeId, Member>,
    /// How many members entered by each invitation.
    pub(super) uses: BTreeMap<InvitationId, u32>,
    /// Admitted with the role master. Giving the role up ends what a member may do, not what it has said: only a
    /// verdict has a cut that tells the two apart.
    masters: BTreeSet<NodeId>,
    /// Admissions by a cut-off master that stand; only those subjects of its that are listed.
    standing: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// Statements of the authority, judged.
pub(super) struct Authority<'a> {
    mesh: MeshId,
    verifier: &'a dyn Verify,
}

impl<'a> Authority<'a> {
    pub(super) fn of(ledger: &'a Ledger) -> Self {
        Self {
            mesh: ledger.mesh,
            verifier: &*ledger.verifier,
        }
    }

    fn open<T: serde::de::DeserializeOwned>(&self, purpose: Purpose, signed: &Signed) -> Option<T> {
        signed
            .open(
                purpose,
                &self.mesh,
                self.mesh.as_bytes(),
                self.verifier,
                VALUE_LIMIT,
            )
            .ok()
    }

    pub(super) fn founding(&self, signed: &Signed, node: &NodeId) -> Option<FoundingV1> {
        self.open(Purpose::Found, signed)
            .filter(|founding: &FoundingV1| founding.node == *node)
    }

    pub(super) fn invitation(&self, signed: &Signed) -> Option<InvitationStatementV1> {
        self.open(Purpose::Invitation, signed)
    }

    /// Whether the authority itself said this verdict.
    pub(super) fn said(&self, subject: &NodeId, verdict: &VerdictV1) -> bool {
        let (signed, revoked, generation) = match &verdict.ruling {
            Ruling::Suspended { .. } => return false,
            Ruling::Revoked { statement } => (statement, true, 0),
            Ruling::Reinstated {
                generation,
                statement,
            } => (statement, false, *generation),
        };
        self.open(Purpose::Verdict, signed)
            .is_some_and(|statement: VerdictStatementV1| {
                statement.subject == *subject
                    && statement.revoked == revoked
                    && statement.generation == generation
                    && statement.cut == verdict.cut
                    && statement.standing == verdict.standing
                    && statement.quarantine_since_ms == verdict.quarantine_since_ms
            })
    }
}

/// An admission that may count.
struct Entrance<'a> {
    node: NodeId,
    author: NodeId,
    admission: &'a AdmissionV1,
    rank: &'a Rank,
    /// Admissions of the same node by the same author that come before this one; it counts once all of them are void.
    earlier: &'a [Candidate],
}

/// By what right an entrance counts.
enum Right {
    Founded(MeshName),
    Invited(InvitationId),
}

impl Constitution {
    pub(super) fn of(ledger: &Ledger) -> Self {
        let authority = Authority::of(ledger);
        let mut entrances: Vec<Entrance<'_>> = ledger
            .kind(Kind::Admission)
            .flat_map(|(author, slot)| entrances(*author, slot))
            .collect();
        entrances.sort_by_key(|entrance| {
            (
                entrance.admission.seat,
                entrance.node,
                entrance.rank.tail().to_owned(),
            )
        });
        let verdicts = verdicts(ledger);
        let mut constitution = Self::default();
        for entrance in &entrances {
            constitution.enter(ledger, &authority, entrance, &verdicts);
        }
        constitution.judge_others(&authority, &verdicts);
        constitution.edit(ledger);
        constitution.name();
        constitution
    }

    /// Admits a node if its author was entitled to; a master is judged at once, by its seniors.
    fn enter(
        &mut self,
        ledger: &Ledger,
        authority: &Authority<'_>,
        entrance: &Entrance<'_>,
        verdicts: &Verdicts<'_>,
    ) {
        let Entrance {
            node,
            author,
            admission,
            rank,
            ..
        } = entrance;
        if self.members.contains_key(node) {
            return;
        }
        match self.right(authority, entrance) {
            None => return,
            Some(Right::Founded(mesh_name)) => {
                self.founder = Some(*node);
                self.mesh_name = Some(mesh_name);
            }
            Some(Right::Invited(invitation)) => *self.uses.entry(invitation).or_default() += 1,
        }
        let record = ledger.get(&rank.tail().position.hash);
        let mut member = Member {
            id: *node,
            seat: admission.seat,
            name: admission.name.clone(),
            wished: admission.name.clone(),
            roles: admission.roles,
            standing: Standing::Active,
            edit: 0,
            signer: admission.signer,
            admitted_by: *author,
            admission: rank.tail().position.hash,
            admitted_ms: record.map_or(0, |record| record.body().written_ms),
            cut: None,
            quarantine_since_ms: None,
        };
        if admission.roles.has(Role::Master) {
            let judges = self.judges_below((admission.seat, *node));
            self.judge(authority, verdicts, &mut member, &judges);
            self.masters.insert(*node);
        }
        self.members.insert(*node, member);
    }

    fn right(&self, authority: &Authority<'_>, entrance: &Entrance<'_>) -> Option<Right> {
        let Entrance {
            node,
            author,
            admission,
            rank,
            earlier,
        } = entrance;
        match &admission.warrant {
            Warrant::Founding(statement) => {
                let first = self.founder.is_none() && earlier.is_empty();
                let founding = authority.founding(statement, node)?;
                (first && admission.seat == 0 && author == node).then_some(Right::Founded(founding.mesh_name))
            }
            Warrant::Invitation(statement) => {
                let by = self.members.get(author)?;
                let entitled = self.counts(author, &rank.tail().position)
                    && by.seat < admission.seat
                    && !self.voids_admission(author, &rank.tail().position, node)
                    && earlier
                        .iter()
                        .all(|other| by.is_void(&other.rank.tail().position));
                let terms = entitled.then(|| authority.invitation(statement)).flatten()?;
                admission
                    .roles
                    .within(terms.roles)
                    .then_some(Right::Invited(terms.invitation))
            }
        }
    }

    /// Masters of lower seats, whose word counts for a master at `place`.
    fn judges_below(&self, place: (u64, NodeId)) -> BTreeSet<NodeId> {
        let is_senior = |id: &&NodeId| self.members.get(*id).is_some_and(|m| (m.seat, m.id) < place);
        self.masters.iter().filter(is_senior).copied().collect()
    }

    fn judge_others(&mut self, authority: &Authority<'_>, verdicts: &Verdicts<'_>) {
        let masters = self.masters.clone();
        let others: Vec<NodeId> = self
            .members
            .keys()
            .filter(|id| !masters.contains(*id))
            .copied()
            .collect();
        for id in others {
            if let Some(mut member) = self.members.remove(&id) {
                self.judge(authority, verdicts, &mut member, &masters);
                self.members.insert(id, member);
            }
        }
    }

    /// Applies the greatest verdict that counts.
    fn judge(
        &mut self,
        authority: &Authority<'_>,
        verdicts: &Verdicts<'_>,
        member: &mut Member,
        judges: &BTreeSet<NodeId>,
    ) {
        let counting: Vec<&(NodeId, &Rank, &VerdictV1)> = verdicts
            .get(&member.id)
            .into_iter()
            .flatten()
            .filter(|(author, rank, verdict)| match verdict.ruling {
                Ruling::Suspended { .. } => {
                    judges.contains(author)
                        && self
                            .members
                            .get(author)
                            .is_some_and(|by| !by.is_void(&rank.tail().position))
                }
                _ => authority.said(&member.id, verdict),
            })
            .collect();
        let Some((_, _, greatest)) = counting.iter().max_by_key(|(_, rank, _)| *rank) else {
            return;
        };
        member.standing = match greatest.ruling {
            Ruling::Revoked { .. } => Standing::Revoked,
            Ruling::Suspended { .. } => Standing::Suspended,
            Ruling::Reinstated { .. } => return,
        };
        member.cut = greatest.cut;
        member.quarantine_since_ms = quarantine(&counting);
        if member.roles.has(Role::Master) {
            let alike = counting
                .iter()
                .filter(|(_, _, other)| other.ruling.is_like(&greatest.ruling));
            let lists = alike.map(|(_, _, other)| other.standing.iter().copied().collect::<BTreeSet<_>>());
            let standing = lists.reduce(|a, b| a.intersection(&b).copied().collect());
            self.standing.insert(member.id, standing.unwrap_or_default());
        }
    }

    /// Applies edits: names, fewer roles, leaves. The leading master writes them for whoever asks, a senior's own leave
    /// too, so seats do not matter here; an edit takes back nothing that its subject has said.
    fn edit(&mut self, ledger: &Ledger) {
        let mut greatest: BTreeMap<NodeId, (&Rank, &super::kinds::MemberV1)> = BTreeMap::new();
        for (author, slot) in ledger.kind(Kind::Member) {
            for Candidate { rank, fact } in slot {
                let Fact::Member(node, value) = &**fact else {
                    continue;
                };
                if !self.counts(author, &rank.tail().position) {
                    continue;
                }
                match greatest.get(node) {
                    Some((seen, _)) if *seen >= rank => {}
                    _ => {
                        greatest.insert(*node, (rank, value));
                    }
                }
                break;
            }
        }
        for (node, (_, value)) in greatest {
            let Some(member) = self.members.get_mut(&node) else {
                continue;
            };
            member.edit = value.edit;
            member.wished = value.name.clone();
            member.roles = member.roles.and(value.roles);
            if value.left && member.standing == Standing::Active {
                member.standing = Standing::Left;
            }
        }
    }

    /// Whether what `author` said at this place counts: it may lead, and was not cut off before.
    pub(super) fn counts(&self, author: &NodeId, position: &Position) -> bool {
        self.masters.contains(author) && self.members.get(author).is_some_and(|by| !by.is_void(position))
    }

    /// Whether a verdict voids what `author` said at this place, as the word of a master.
    pub(super) fn is_void(&self, author: &NodeId, position: &Position) -> bool {
        self.masters.contains(author) && self.members.get(author).is_some_and(|by| by.is_void(position))
    }

    /// Whether `author` was ever entitled to publish, void or not.
    pub(super) fn may_publish(&self, author: &NodeId) -> bool {
        self.masters.contains(author)
    }

    /// Whether an admission by `author` fell by a verdict on it.
    pub(super) fn voids_admission(&self, author: &NodeId, position: &Position, admitted: &NodeId) -> bool {
        self.members.get(author).is_some_and(|by| {
            by.is_void(position)
                || (by.is_cut_off() && self.standing.get(author).is_some_and(|s| !s.contains(admitted)))
        })
    }

    /// Makes names unique: in the order of seats each keeps its name, or takes the next number.
    fn name(&mut self) {
        let mut order: Vec<(u64, NodeId)> = self.members.values().map(|m| (m.seat, m.id)).collect();
        order.sort();
        let mut taken = BTreeSet::new();
        for (_, id) in order {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            let wished = member.wished.as_str().to_owned();
            let name = std::iter::once(wished.clone())
                .chain((2..).map(|number| {
                    let suffix = format!("-{number}");
                    format!("{}{suffix}", &wished[..wished.len().min(63 - suffix.len())])
                }))
                .find(|name| !taken.contains(name));
            if let Some(name) = name.and_then(|name| name.parse::<NodeName>().ok()) {
                taken.insert(name.as_str().to_owned());
                member.name = name;
            }
        }
    }
}

/// The admissions of one node by one author, the first first.
fn entrances(author: NodeId, slot: &[Candidate]) -> impl Iterator<Item = Entrance<'_>> {
    slot.iter()
        .enumerate()
        .filter_map(move |(at, Candidate { rank, fact })| match &**fact {
            Fact::Admission(node, admission) => Some(Entrance {
                node: *node,
                author,
                admission,
                rank,
                earlier: &slot[..at],
            }),
            _ => None,
        })
}

/// Since when a member's packages are withdrawn: the earliest time that any verdict names, but for suspensions that a
/// reinstatement lifted. A harsher word that names no time takes nothing back.
fn quarantine(counting: &[&(NodeId, &Rank, &VerdictV1)]) -> Option<u64> {
    let lifted = counting
        .iter()
        .filter_map(|(_, _, verdict)| match verdict.ruling {
            Ruling::Reinstated { generation, .. } => Some(generation),
            _ => None,
        });
    let lifted = lifted.max().unwrap_or(0);
    let stands = |verdict: &VerdictV1| match verdict.ruling {
        Ruling::Revoked { .. } => true,
        Ruling::Suspended { generation } => generation >= lifted,
        Ruling::Reinstated { .. } => false,
    };
    counting
        .iter()
        .filter(|(_, _, verdict)| stands(verdict))
        .filter_map(|(_, _, verdict)| verdict.quarantine_since_ms)
        .min()
}

impl Ruling {
    /// The same word at the same generation: such verdicts add up.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Revoked { .. }, Self::Revoked { .. }) => true,
            (Self::Suspended { generation: a }, Self::Suspended { generation: b }) => a == b,
            _ => false,
        }
    }
}

type Verdicts<'a> = BTreeMap<NodeId, Vec<(NodeId, &'a Rank, &'a VerdictV1)>>;

fn verdicts(ledger: &Ledger) -> Verdicts<'_> {
    let mut verdicts = Verdicts::new();
    for (author, slot) in ledger.kind(Kind::Verdict) {
        for Candidate { rank, fact } in slot {
            if let Fact::Verdict(subject, verdict) = &**fact {
                verdicts
                    .entry(*subject)
                    .or_default()
                    .push((*author, rank, verdict));
            }
        }
    }
    verdicts
}
