//! What is in force: a pure function of the records that a ledger holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{
    constitution::{Authority, Constitution},
    door::{CompatKey, CompatV1, SealedV1},
    horizon,
    kinds::{
        BindingKey, GenerationKey, GenerationV1, InvitationV1, JobV1, Kind, PackageKey, PackageV1, ReleaseV1,
        Ruling, SettingV1, SignerV1, SourceKey, SourceV1,
    },
    member::Member,
    order::{Fact, Rank},
    record::Position,
    shelf::{Overtaken, Quarantine, Shelf, Stocktaking, Withdrawn},
    state::{Candidate, Ledger},
};
use crate::{
    ids::{Digest, Fingerprint, InvitationId, JobId, NodeId, RecordHash, RequestId, Seat},
    names::{Architecture, MeshName, PackageName, PackageVersion, RepositoryName},
    roles::Role,
    signed::Signed,
};

/// How many problems are listed.
const PROBLEM_LIMIT: usize = 32;
/// Most links of a credential (FORMATS, "Entering and meeting").
const PATH_LIMIT: usize = 16;

/// The greatest value of each key that no verdict voids, and who said so.
pub(super) type InForce<K, V> = BTreeMap<K, (Rank, V)>;

/// The state of the mesh, as far as its facts are known here.
#[derive(Debug, Default, PartialEq)]
pub struct View {
    constitution: Constitution,
    incarnations: BTreeMap<NodeId, u64>,
    positions: BTreeMap<NodeId, Position>,
    verdicts: BTreeMap<NodeId, (u64, bool)>,
    admissions: BTreeMap<NodeId, Signed>,
    invitations: InForce<InvitationId, InvitationV1>,
    signers: InForce<Fingerprint, SignerV1>,
    settings: InForce<String, SettingV1>,
    sources: InForce<SourceKey, SourceV1>,
    horizon: u32,
    jobs: BTreeMap<JobId, JobV1>,
    /// The first and the last day of jobs that were accepted on several.
    split_jobs: BTreeMap<JobId, (u32, u32)>,
    job_facts: BTreeMap<JobId, (Rank, u64)>,
    shelf: Shelf,
    generations: InForce<GenerationKey, GenerationV1>,
    pub(super) sealed: InForce<String, SealedV1>,
    pub(super) compat: InForce<CompatKey, CompatV1>,
    requests: BTreeMap<RequestId, RecordHash>,
    has_unread: bool,
    problems: Vec<String>,
}

impl View {
    /// Works out what is in force.
    pub(super) fn of(ledger: &Ledger) -> Self {
        let mut view = Self {
            constitution: Constitution::of(ledger),
            horizon: ledger.horizon(),
            ..Self::default()
        };
        for member in view.constitution.members.values() {
            view.incarnations
                .insert(member.id, ledger.greatest_incarnation(&member.id));
            if let Some(record) = ledger.get(&member.admission) {
                view.admissions.insert(member.id, record.signed().clone());
            }
        }
        let authority = Authority::of(ledger);
        for ((kind, _, author), slot) in &ledger.slots {
            // They are taken below, once it is known whose signatures are whose.
            if ![Kind::Package as u16, Kind::Binding as u16].contains(kind) {
                view.take(ledger, &authority, author, slot);
            }
        }
        view.shelf = view.stock(ledger);
        for record in ledger.records() {
            let (author, position) = (record.author(), record.position());
            let greatest = view.positions.entry(author).or_insert(position);
            *greatest = position.max(*greatest);
            let Some(request) = record.body().request else {
                continue;
            };
            if view.constitution.counts(&author, &position) {
                view.requests.insert(request, record.hash());
            }
        }
        // What a guest or a stranger wrote keeps nobody from leading, readable or not.
        view.has_unread = ledger
            .unread_records()
            .any(|record| view.constitution.counts(&record.author(), &record.position()));
        view.find_problems(ledger);
        view
    }

    /// Takes the greatest unvoided value of one author for one key.
    fn take(&mut self, ledger: &Ledger, authority: &Authority<'_>, author: &NodeId, slot: &[Candidate]) {
        for candidate in slot {
            if horizon::is_before(&candidate.fact, self.horizon) {
                continue;
            }
            if let Fact::Invitation(id, value) = &*candidate.fact {
                self.take_invitation(authority, author, id, value, &candidate.rank);
                continue;
            }
            let counts = match &*candidate.fact {
                Fact::Verdict(subject, value) if authority.said(subject, value) => true,
                _ => self.constitution.counts(author, &candidate.rank.tail().position),
            };
            if counts {
                self.take_fact(ledger, &candidate.rank, &candidate.fact);
                return;
            }
        }
    }

    /// The authority opens an invitation, whoever carries its statement; only a master's word closes it.
    fn take_invitation(
        &mut self,
        authority: &Authority<'_>,
        author: &NodeId,
        id: &InvitationId,
        value: &InvitationV1,
        rank: &Rank,
    ) {
        let said = authority
            .invitation(&value.statement)
            .is_some_and(|terms| terms.invitation == *id);
        if !said {
            return;
        }
        let closed = value.closed && self.constitution.counts(author, &rank.tail().position);
        let value = InvitationV1 {
            statement: value.statement.clone(),
            closed,
        };
        let rank = Fact::Invitation(*id, value.clone()).rank(*rank.tail());
        raise(&mut self.invitations, id, &rank, &value);
    }

    fn take_fact(&mut self, ledger: &Ledger, rank: &Rank, fact: &Fact) {
        match fact {
            Fact::Signer(key, value) => raise(&mut self.signers, key, rank, value),
            Fact::Setting(key, value) => raise(&mut self.settings, key, rank, value),
            Fact::Source(key, value) => raise(&mut self.sources, key, rank, value),
            Fact::Generation(key, value) => raise(&mut self.generations, key, rank, value),
            Fact::Sealed(key, value) => raise(&mut self.sealed, key, rank, value),
            Fact::Compat(key, value) => raise(&mut self.compat, key, rank, value),
            Fact::Job(key, value) => {
                if let Some(other) = self.jobs.get(key).filter(|other| other.day != value.day) {
                    let (first, last) = self.split_jobs.entry(*key).or_insert((other.day, other.day));
                    (*first, *last) = ((*first).min(value.day), (*last).max(value.day));
                }
                if self.job_facts.get(key).is_none_or(|(seen, _)| seen < rank) {
                    let written = ledger
                        .get(&rank.tail().position.hash)
                        .map_or(0, |r| r.body().written_ms);
                    self.job_facts.insert(*key, (rank.clone(), written));
                    self.jobs.insert(*key, (**value).clone());
                }
            }
            Fact::Verdict(subject, value) => {
                let said = match value.ruling {
                    Ruling::Revoked { .. } => return,
                    Ruling::Suspended { generation } => (generation, false),
                    Ruling::Reinstated { generation, .. } => (generation, true),
                };
                let greatest = self.verdicts.entry(*subject).or_insert(said);
                *greatest = said.max(*greatest);
            }
            Fact::Admission(..)
            | Fact::Member(..)
            | Fact::Invitation(..)
            | Fact::Package(..)
            | Fact::Binding(..)
            | Fact::Unread => {}
        }
    }

    fn stock(&self, ledger: &Ledger) -> Shelf {
        let signers = self.signers.iter();
        let signers = signers.filter_map(|(key, (_, value))| Some((*key, value.node?)));
        let quarantine = Quarantine::of(&self.constitution, signers);
        let mut taking = Stocktaking::new(ledger, &self.constitution);
        let first = (Kind::Package as u16, Vec::new(), NodeId([0; 32]));
        for ((kind, _, author), slot) in ledger.slots.range(first..) {
            match *kind {
                kind if kind == Kind::Package as u16 => taking.take_packages(&quarantine, author, slot),
                kind if kind == Kind::Binding as u16 => taking.take_bindings(author, slot),
                _ => break,
            }
        }
        taking.finish()
    }

    fn find_problems(&mut self, ledger: &Ledger) {
        for (node, incarnation, sequence) in ledger.forks() {
            let name = self
                .member(node)
                .map_or_else(|| node.short(), |member| member.name.to_string());
            self.problem(format!(
                "{name} wrote two records at one place ({incarnation}/{sequence}): was its home cloned or restored while it ran?"
            ));
        }
        if self.has_unread {
            self.problem("some records are of a later version of pacmesh: update this node".to_owned());
        }
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEM_LIMIT && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }
}

fn raise<K: Ord + Clone, V: Clone>(map: &mut InForce<K, V>, key: &K, rank: &Rank, value: &V) {
    if map.get(key).is_none_or(|(seen, _)| seen < rank) {
        map.insert(key.clone(), (rank.clone(), value.clone()));
    }
}

/// Members.
impl View {
    /// The display name of the mesh, as its founding says.
    pub fn mesh_name(&self) -> Option<&MeshName> {
        self.constitution.mesh_name.as_ref()
    }

    /// The founder.
    pub fn founder(&self) -> Option<&Member> {
        self.member(self.constitution.founder.as_ref()?)
    }

    /// All nodes with a valid admission, those that left or are cut off among them, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.constitution.members.values()
    }

    /// A node with a valid admission.
    pub fn member(&self, node: &NodeId) -> Option<&Member> {
        self.constitution.members.get(node)
    }

    /// Whether a node belongs to the mesh now.
    pub fn is_member(&self, node: &NodeId) -> bool {
        self.member(node).is_some_and(Member::is_active)
    }

    /// Whether an active member has a role.
    pub fn has_role(&self, node: &NodeId, role: Role) -> bool {
        self.member(node)
            .is_some_and(|member| member.is_active() && member.roles.has(role))
    }

    /// Whether the word of `author` at a place counts now.
    pub(super) fn counts(&self, author: &NodeId, position: &Position) -> bool {
        self.constitution.counts(author, position)
    }

    /// Whether a node is suspended or revoked.
    pub fn is_cut_off(&self, node: &NodeId) -> bool {
        self.member(node).is_some_and(Member::is_cut_off)
    }

    /// The active members that may lead, with their seats.
    pub fn master_capable(&self) -> BTreeMap<NodeId, Seat> {
        let may_lead = |member: &&Member| member.is_active() && member.roles.has(Role::Master);
        self.members()
            .filter(may_lead)
            .map(|member| (member.id, member.seat))
            .collect()
    }

    /// 1 + the greatest seat that is known.
    pub fn next_seat(&self) -> Seat {
        self.members()
            .map(|member| member.seat)
            .max()
            .map_or(0, |seat| seat + 1)
    }

    /// The greatest life of a member of which a record is held; 0 for none.
    pub fn greatest_incarnation(&self, node: &NodeId) -> u64 {
        self.incarnations.get(node).copied().unwrap_or(0)
    }

    /// The greatest place of a member's records that are held: where a verdict on it cuts.
    pub fn greatest_position(&self, node: &NodeId) -> Option<Position> {
        self.positions.get(node).copied()
    }

    /// The greatest generation of suspensions and reinstatements of a node, and whether a reinstatement has it;
    /// `(0, false)` for one that was never judged.
    pub fn verdict(&self, node: &NodeId) -> (u64, bool) {
        self.verdicts.get(node).copied().unwrap_or((0, false))
    }

    /// The admission records from the founder to `node`: its credential.
    pub fn credential_path(&self, node: &NodeId) -> Option<Vec<Signed>> {
        let (mut path, mut at) = (Vec::new(), *node);
        for _ in 0..PATH_LIMIT {
            let member = self.member(&at)?;
            path.push(self.admissions.get(&at)?.clone());
            if member.admitted_by == at {
                path.reverse();
                return Some(path);
            }
            at = member.admitted_by;
        }
        None
    }

    /// Whether an admission by `author` fell by a verdict on it.
    pub fn voids_admission(&self, author: &NodeId, position: &Position, admitted: &NodeId) -> bool {
        self.constitution.voids_admission(author, position, admitted)
    }

    /// An invitation by its public key.
    pub fn invitation(&self, id: &InvitationId) -> Option<&InvitationV1> {
        self.invitations.get(id).map(|(_, value)| value)
    }

    /// All invitations that are not closed.
    pub fn open_invitations(&self) -> impl Iterator<Item = &InvitationV1> {
        self.invitations
            .values()
            .map(|(_, value)| value)
            .filter(|value| !value.closed)
    }

    /// How many members entered by an invitation.
    pub fn invitation_uses(&self, id: &InvitationId) -> u32 {
        self.constitution.uses.get(id).copied().unwrap_or(0)
    }

    /// All certificates that packages may be signed with, distrusted ones included.
    pub fn signers(&self) -> impl Iterator<Item = (&Fingerprint, &SignerV1)> {
        self.signers.iter().map(|(key, (_, value))| (key, value))
    }

    /// A certificate.
    pub fn signer(&self, fingerprint: &Fingerprint) -> Option<&SignerV1> {
        self.signers.get(fingerprint).map(|(_, value)| value)
    }
}

/// Settings, sources and jobs.
impl View {
    /// A setting; empty means "as by default".
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|(_, value)| value.value.as_str())
    }

    /// The version of a setting; 0 for one that was never made.
    pub fn setting_version(&self, name: &str) -> u64 {
        self.settings.get(name).map_or(0, |(_, value)| value.version)
    }

    /// All settings, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings
            .iter()
            .map(|(name, (_, value))| (name.as_str(), value.value.as_str()))
    }

    /// A tracked source, removed or not.
    pub fn source(&self, key: &SourceKey) -> Option<&SourceV1> {
        self.sources.get(key).map(|(_, value)| value)
    }

    /// All sources, removed ones included.
    pub fn sources(&self) -> impl Iterator<Item = (&SourceKey, &SourceV1)> {
        self.sources.iter().map(|(key, (_, value))| (key, value))
    }

    /// All jobs, by id.
    pub fn jobs(&self) -> impl Iterator<Item = (&JobId, &JobV1)> {
        self.jobs.iter()
    }

    /// A job.
    pub fn job(&self, id: &JobId) -> Option<&JobV1> {
        self.jobs.get(id)
    }

    /// Jobs of days before this one are forgotten, in days since the founding.
    pub const fn horizon(&self) -> u32 {
        self.horizon
    }

    /// The first and the last day of a job that was accepted on several.
    pub(super) fn job_days(&self, id: &JobId) -> Option<(u32, u32)> {
        self.split_jobs.get(id).copied()
    }

    pub(super) fn split_days(&self) -> impl Iterator<Item = (u32, u32)> {
        self.split_jobs.values().copied()
    }

    /// When the value of a job that is in force was written, milliseconds since 1970; shown only.
    pub fn job_written_ms(&self, id: &JobId) -> Option<u64> {
        self.job_facts.get(id).map(|(_, written)| *written)
    }

    /// The last job of a base for each repository and architecture, by the time of its submission.
    pub fn last_jobs_of(
        &self,
        base: &PackageName,
        repository: Option<&RepositoryName>,
    ) -> Vec<(JobId, JobV1)> {
        let mut last: BTreeMap<(&RepositoryName, &Architecture), (&JobId, &JobV1)> = BTreeMap::new();
        let jobs = self.jobs().filter(|(_, job)| {
            job.base == *base && repository.is_none_or(|repository| job.repository == *repository)
        });
        for (id, job) in jobs {
            let key = (&job.repository, &job.arch);
            if last
                .get(&key)
                .is_none_or(|(_, seen)| seen.submitted_ms <= job.submitted_ms)
            {
                last.insert(key, (id, job));
            }
        }
        last.into_values().map(|(id, job)| (*id, job.clone())).collect()
    }

    /// The record that answered a request.
    pub fn request(&self, request: &RequestId) -> Option<&RecordHash> {
        self.requests.get(request)
    }
}

/// Packages, bindings and generations.
impl View {
    /// A package in force, or its tombstone.
    pub fn package(&self, key: &PackageKey) -> Option<&PackageV1> {
        self.shelf.packages().get(key).map(|(_, value)| value)
    }

    /// Where a package in force, or its tombstone, stands among its rivals.
    pub fn package_rank(&self, key: &PackageKey) -> Option<&Rank> {
        self.shelf.packages().get(key).map(|(rank, _)| rank)
    }

    /// The package generation that a publication takes: that of its key, + 1 over a tombstone, never below one that a
    /// quarantine withdrew and a reinstatement may bring back.
    pub fn publication_generation(&self, key: &PackageKey) -> u64 {
        let in_force = self
            .package(key)
            .map_or(0, |seen| seen.generation + u64::from(seen.release.is_none()));
        let withdrawn = self.shelf.withdrawn().get(key).map_or(0, |seen| seen.generation);
        in_force.max(withdrawn)
    }

    /// By key the greatest release that a quarantine withdrew and that nothing in force outranks.
    pub fn withdrawn(&self) -> impl Iterator<Item = (&PackageKey, &Withdrawn)> {
        self.shelf.withdrawn().iter()
    }

    /// Releases that a removal outranks although whoever removed did not know of them.
    pub fn overtaken(&self) -> impl Iterator<Item = (&PackageKey, &Overtaken)> {
        self.shelf.overtaken().iter()
    }

    /// Whether an archive was published, and every word that did so is void or withdrawn.
    pub fn is_voided(&self, archive: &Digest) -> bool {
        self.shelf.is_voided(archive)
    }

    /// Names that two authors bound, each on its side of a cut, with all archives.
    pub fn bound_twice(&self) -> impl Iterator<Item = (&BindingKey, &BTreeSet<Digest>)> {
        self.shelf.bound_twice().iter()
    }

    /// All names that are bound, with the archive in force of each.
    pub fn bindings(&self) -> impl Iterator<Item = (&BindingKey, &Digest)> {
        self.shelf
            .bindings()
            .iter()
            .map(|(key, (.., archive))| (key, archive))
    }

    /// The packages in force of one place, tombstones included, by name.
    pub fn packages_of<'a>(
        &'a self,
        repository: &'a RepositoryName,
        arch: &'a Architecture,
    ) -> impl Iterator<Item = (&'a PackageKey, &'a PackageV1)> {
        // '+' is the least of the bytes that a package name may begin with, and no name is shorter.
        let least = "+".parse().ok().map(|name| PackageKey {
            repository: repository.clone(),
            arch: arch.clone(),
            name,
        });
        self.shelf
            .packages()
            .range((least.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded))
            .take_while(move |(key, _)| key.repository == *repository && key.arch == *arch)
            .map(|(key, (_, value))| (key, value))
    }

    /// The releases in force of one place, by name.
    pub fn releases<'a>(
        &'a self,
        repository: &'a RepositoryName,
        arch: &'a Architecture,
    ) -> impl Iterator<Item = (&'a PackageKey, &'a ReleaseV1)> {
        self.packages_of(repository, arch)
            .filter_map(|(key, value)| Some((key, value.release.as_ref()?)))
    }

    /// All releases in force, of all places.
    pub fn all_releases(&self) -> impl Iterator<Item = (&PackageKey, &ReleaseV1)> {
        self.shelf
            .packages()
            .iter()
            .filter_map(|(key, (_, value))| Some((key, value.release.as_ref()?)))
    }

    /// The archive that a name is bound to, for ever.
    pub fn binding(
        &self,
        name: &PackageName,
        version: &PackageVersion,
        arch: &Architecture,
    ) -> Option<Digest> {
        let key = BindingKey {
            name: name.clone(),
            version: version.clone(),
            arch: arch.clone(),
        };
        self.shelf.bindings().get(&key).map(|(.., archive)| *archive)
    }

    /// The newest generation of a place.
    pub fn generation(&self, key: &GenerationKey) -> Option<&GenerationV1> {
        self.generations.get(key).map(|(_, value)| value)
    }

    /// The newest generations of all places.
    pub fn generations(&self) -> impl Iterator<Item = (&GenerationKey, &GenerationV1)> {
        self.generations.iter().map(|(key, (_, value))| (key, value))
    }

    /// A record is held that this binary cannot read: its node does not lead.
    pub const fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// What somebody should look at.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bases: BTreeSet<_> = self.all_releases().map(|(_, release)| &release.base).collect();
        write!(
            f,
            "{} members, {} jobs, {} bases",
            self.constitution.members.len(),
            self.jobs.len(),
            bases.len()
        )
    }
}
