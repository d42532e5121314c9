//! Keys, statements and records of a small mesh.
//!
//! The signatures are toys: a BLAKE3 tag keyed by the public key, which anybody can make. They tell a forged statement
//! (made with another key, for another mesh or purpose) from a true one, and that is all that these tests need.

use std::sync::Arc;

use crate::{
    ids::{Digest, InvitationId, JobId, MeshId, NodeId, RecordHash, Seat},
    ledger::{
        Ledger,
        kinds::*,
        record::{Entry, Position, Record, RecordV1, ReignId},
    },
    names::{PackageName, PackageVersion},
    roles::Roles,
    signed::{Purpose, Sign, Signature, Signed, Verify},
};

#[derive(Debug, Clone, Copy)]
pub(super) struct ToyKey(pub(super) [u8; 32]);

#[derive(Debug)]
pub(super) struct ToyVerifier;

fn tag(public: &[u8; 32], message: &[u8]) -> Signature {
    let tag = blake3::keyed_hash(public, message);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(tag.as_bytes());
    Signature::from_bytes(&bytes)
}

impl Sign for ToyKey {
    fn public(&self) -> [u8; 32] {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        tag(&self.0, message)
    }
}

impl Verify for ToyVerifier {
    fn verify(&self, public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        tag(public, message) == *signature
    }
}

/// The authority's key; the mesh is named after it.
pub(super) const AUTHORITY: ToyKey = ToyKey([0xaa; 32]);
pub(super) const MESH: MeshId = MeshId(AUTHORITY.0);

/// The key of the node with this number; lower numbers have lower ids.
pub(super) fn key(number: usize) -> ToyKey {
    ToyKey([number as u8 + 1; 32])
}

pub(super) fn node(number: usize) -> NodeId {
    NodeId(key(number).0)
}

/// One author after the other adds records.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The next place of each author.
    places: Vec<(u64, u64)>,
    pub(super) records: Vec<Record>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            places: vec![(1, 1); 8],
            records: Vec::new(),
        }
    }

    /// Node 0 founds; it admits nodes 1 to `masters - 1` as peers with the seats of their numbers.
    pub(super) fn with_masters(masters: usize) -> Self {
        let mut world = Self::new();
        world.write(0, [founding(0)]);
        for number in 1..masters {
            world.write(0, [admission(number, number as Seat, Roles::PEER)]);
        }
        world
    }

    /// The author's next record.
    pub(super) fn write(&mut self, author: usize, entries: impl IntoIterator<Item = Entry>) -> Record {
        let (incarnation, sequence) = self.places[author];
        self.places[author].1 += 1;
        self.write_at(author, (incarnation, sequence), entries)
    }

    /// A record at a place of choice: a fork, or one that was backdated.
    pub(super) fn write_at(
        &mut self,
        author: usize,
        (incarnation, sequence): (u64, u64),
        entries: impl IntoIterator<Item = Entry>,
    ) -> Record {
        let body = RecordV1 {
            author: node(author),
            incarnation,
            sequence,
            prev: RecordHash::NONE,
            reign: ReignId {
                term: 1,
                node: node(author),
                incarnation,
            },
            request: None,
            written_ms: self.records.len() as u64,
            entries: entries.into_iter().collect(),
        };
        self.push(body, author)
    }

    pub(super) fn push(&mut self, body: RecordV1, author: usize) -> Record {
        let record = Record::write(body, &MESH, &key(author)).unwrap();
        self.records.push(record.clone());
        record
    }

    pub(super) fn restart(&mut self, author: usize) {
        self.places[author] = (self.places[author].0 + 1, 1);
    }

    pub(super) fn ledger(&self) -> Ledger {
        ledger_of(&self.records)
    }
}

pub(super) fn empty() -> Ledger {
    Ledger::new(MESH, node(0), Arc::new(ToyVerifier))
}

/// A ledger that got these records in this order.
pub(super) fn ledger_of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Ledger {
    let mut ledger = empty();
    for record in records {
        ledger.merge(record.clone());
    }
    ledger
}

/// As a node merges what came in one transaction: verdicts, then admissions first.
pub(super) fn merge_batch(ledger: &mut Ledger, mut records: Vec<Record>) {
    records.sort_by_cached_key(|record| (Ledger::turn(record), record.author(), record.position()));
    for record in records {
        ledger.merge(record);
    }
}

pub(super) fn hashes(ledger: &Ledger) -> Vec<RecordHash> {
    ledger.records().map(Record::hash).collect()
}

pub(super) fn seal<T: serde::Serialize>(value: &T, purpose: Purpose, mesh: &MeshId, key: &ToyKey) -> Signed {
    Signed::seal(value, purpose, mesh, key, 16 << 10).unwrap()
}

pub(super) fn founding_by(signer: &ToyKey, mesh: &MeshId, number: usize) -> Entry {
    let founding = FoundingV1 {
        node: node(number),
        mesh_name: "home".parse().unwrap(),
    };
    AdmissionV1 {
        seat: 0,
        name: format!("n{number}").parse().unwrap(),
        roles: Roles::PEER,
        warrant: Warrant::Founding(seal(&founding, Purpose::Found, mesh, signer)),
        signer: None,
    }
    .entry(&node(number))
    .unwrap()
}

pub(super) fn founding(number: usize) -> Entry {
    founding_by(&AUTHORITY, &MESH, number)
}

pub(super) const fn invitation_id(number: u8) -> InvitationId {
    InvitationId([number; 32])
}

pub(super) fn invitation_by(signer: &ToyKey, mesh: &MeshId, number: u8, roles: Roles) -> Signed {
    let terms = InvitationStatementV1 {
        invitation: invitation_id(number),
        roles,
        expires_ms: 1,
        uses: 9,
    };
    seal(&terms, Purpose::Invitation, mesh, signer)
}

pub(super) fn admission_as(number: usize, seat: Seat, roles: Roles, name: &str, statement: Signed) -> Entry {
    AdmissionV1 {
        seat,
        name: name.parse().unwrap(),
        roles,
        warrant: Warrant::Invitation(statement),
        signer: None,
    }
    .entry(&node(number))
    .unwrap()
}

pub(super) fn admission(number: usize, seat: Seat, roles: Roles) -> Entry {
    let statement = invitation_by(&AUTHORITY, &MESH, 1, Roles::PEER);
    admission_as(number, seat, roles, &format!("n{number}"), statement)
}

pub(super) fn edit(number: usize, edit: u64, roles: Roles, left: bool) -> Entry {
    MemberV1 {
        edit,
        name: format!("n{number}").parse().unwrap(),
        roles,
        left,
    }
    .entry(&node(number))
    .unwrap()
}

/// What a verdict says beside its word.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub(super) cut: Option<Position>,
    pub(super) standing: Vec<NodeId>,
    pub(super) quarantine: Option<u64>,
}

impl From<&Record> for Terms {
    /// The subject's word ends with this record.
    fn from(last: &Record) -> Self {
        Self {
            cut: Some(last.position()),
            ..Self::default()
        }
    }
}

pub(super) fn suspension(subject: usize, generation: u64, terms: impl Into<Terms>) -> Entry {
    verdict(subject, Ruling::Suspended { generation }, &terms.into())
}

fn verdict(subject: usize, ruling: Ruling, terms: &Terms) -> Entry {
    VerdictV1 {
        ruling,
        cut: terms.cut,
        standing: terms.standing.clone(),
        quarantine_since_ms: terms.quarantine,
    }
    .entry(&node(subject))
    .unwrap()
}

fn statement(signer: &ToyKey, mesh: &MeshId, subject: usize, revoked: Option<u64>, terms: &Terms) -> Signed {
    let value = VerdictStatementV1 {
        subject: node(subject),
        revoked: revoked.is_none(),
        generation: revoked.unwrap_or(0),
        cut: terms.cut,
        standing: terms.standing.clone(),
        quarantine_since_ms: terms.quarantine,
    };
    seal(&value, Purpose::Verdict, mesh, signer)
}

pub(super) fn revocation_by(
    signer: &ToyKey,
    mesh: &MeshId,
    subject: usize,
    terms: impl Into<Terms>,
) -> Entry {
    let terms = terms.into();
    let statement = statement(signer, mesh, subject, None, &terms);
    verdict(subject, Ruling::Revoked { statement }, &terms)
}

pub(super) fn revocation(subject: usize, terms: impl Into<Terms>) -> Entry {
    revocation_by(&AUTHORITY, &MESH, subject, terms)
}

pub(super) fn reinstatement_by(signer: &ToyKey, mesh: &MeshId, subject: usize, generation: u64) -> Entry {
    let terms = Terms::default();
    let statement = statement(signer, mesh, subject, Some(generation), &terms);
    let ruling = Ruling::Reinstated {
        generation,
        statement,
    };
    verdict(subject, ruling, &terms)
}

pub(super) fn reinstatement(subject: usize, generation: u64) -> Entry {
    reinstatement_by(&AUTHORITY, &MESH, subject, generation)
}

pub(super) fn invitation(number: u8, closed: bool) -> Entry {
    InvitationV1 {
        statement: invitation_by(&AUTHORITY, &MESH, number, Roles::PEER),
        closed,
    }
    .entry(&invitation_id(number))
    .unwrap()
}

pub(super) fn setting(name: &str, version: u64, value: &str) -> Entry {
    SettingV1 {
        version,
        value: value.to_owned(),
    }
    .entry(&name.to_owned())
    .unwrap()
}

pub(super) fn package_key(name: &str) -> PackageKey {
    PackageKey {
        repository: "repo".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

pub(super) fn package_value(name: &str, generation: u64, version: Option<&str>) -> PackageV1 {
    let release = version.map(|version| ReleaseV1 {
        version: version.parse().unwrap(),
        base: name.parse().unwrap(),
        file: format!("{name}-{version}-x86_64.pkg.tar.zst").parse().unwrap(),
        size: 1,
        sha256: crate::ids::Sha256([0; 32]),
        archive: Digest::of(version.as_bytes()),
        signature: None,
        signer: None,
        meta: Digest::of(b"meta"),
        job: JobId([0; 32]),
        worker: node(0),
        built_at: 0,
    });
    PackageV1 { generation, release }
}

/// A release, or a tombstone.
pub(super) fn package(name: &str, generation: u64, version: Option<&str>) -> Entry {
    package_value(name, generation, version)
        .entry(&package_key(name))
        .unwrap()
}

/// A release that a node built.
pub(super) fn package_by(worker: usize, name: &str, generation: u64, version: &str) -> Entry {
    let mut value = package_value(name, generation, Some(version));
    if let Some(release) = &mut value.release {
        release.worker = node(worker);
    }
    value.entry(&package_key(name)).unwrap()
}

pub(super) fn binding(name: &str, version: &str, archive: &[u8]) -> Entry {
    let key = BindingKey {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    };
    BindingV1 {
        archive: Digest::of(archive),
    }
    .entry(&key)
    .unwrap()
}

pub(super) const fn job_id(number: u8) -> JobId {
    JobId([number; 32])
}

pub(super) fn job_value(generation: u64, state: JobState) -> JobV1 {
    JobV1 {
        generation,
        state,
        repository: "repo".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        base: "foo".parse().unwrap(),
        version: "1-1".parse().unwrap(),
        tree: Digest::of(b"tree"),
        origin: Origin::Directory,
        options: BuildOptions::default(),
        nonce: None,
        makepkg_conf: Digest::of(b"conf"),
        snapshot: None,
        environment: "arch:clean".parse().unwrap(),
        epoch: 0,
        day: 0,
        submitter: node(0),
        submitted_ms: 0,
        deliver: Deliver::Repository,
        end: None,
    }
}

pub(super) fn job(number: u8, generation: u64, state: JobState) -> Entry {
    job_value(generation, state).entry(&job_id(number)).unwrap()
}

/// The same job, accepted on another day.
pub(super) fn job_on(day: u32, number: u8, generation: u64, state: JobState) -> Entry {
    let value = JobV1 {
        day,
        ..job_value(generation, state)
    };
    value.entry(&job_id(number)).unwrap()
}

pub(super) fn failed() -> JobState {
    JobState::Failed {
        class: crate::work::FailureClass::Build,
        error: "no".to_owned(),
    }
}

pub(super) fn source(version: u64, removed: bool) -> Entry {
    let key = SourceKey {
        repository: "repo".parse().unwrap(),
        base: "foo".parse().unwrap(),
    };
    SourceV1 {
        version,
        removed,
        origin: Origin::Aur,
        tree: Digest::of(b"tree"),
        arches: Vec::new(),
        patches: Vec::new(),
        hold: false,
        options: BuildOptions::default(),
    }
    .entry(&key)
    .unwrap()
}

pub(super) fn generation(number: u64) -> Entry {
    let key = GenerationKey {
        repository: "repo".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    };
    GenerationV1 {
        number,
        index: Digest::of(b"index"),
        db: Digest::of(b"db"),
        files: Digest::of(b"files"),
        db_signature: None,
        files_signature: None,
        time: number,
    }
    .entry(&key)
    .unwrap()
}

pub(super) fn signer(generation: u64, distrusted: bool) -> Entry {
    SignerV1 {
        generation,
        distrusted,
        certificate: Vec::new(),
        node: None,
    }
    .entry(&crate::ids::Fingerprint([7; 20]))
    .unwrap()
}

/// An entry of a kind, or of a form, that this binary does not know.
pub(super) fn unread(kind: u16, version: u16, key: &[u8]) -> Entry {
    Entry {
        kind,
        version,
        key: key.to_vec(),
        value: b"?".to_vec(),
    }
}

/// The version in force of a package, if it is not removed.
pub(super) fn version_of(ledger: &mut Ledger, name: &str) -> Option<String> {
    let view = ledger.view();
    let release = view.package(&package_key(name))?.release.clone()?;
    Some(release.version.to_string())
}

pub(super) fn bound(ledger: &mut Ledger, name: &str, version: &str) -> Option<Digest> {
    let name: PackageName = name.parse().unwrap();
    let version: PackageVersion = version.parse().unwrap();
    ledger.view().binding(&name, &version, &"x86_64".parse().unwrap())
}
