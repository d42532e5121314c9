//! Fixed keys for tests, here and (feature `test-keys`) in other crates. Anybody can compute them: never use them
//! outside tests.
//!
//! A key is named by one byte; authorities, nodes, invitations and package keys of one byte differ from each other.

use pacmesh_protocol::entry::Credential;
use pacmesh_protocol::ids::{NodeId, RecordHash, Seat};
use pacmesh_protocol::ledger::kinds::{AdmissionV1, Value, Warrant};
use pacmesh_protocol::ledger::record::{Entry, Record, RecordV1, ReignId};
use pacmesh_protocol::roles::Roles;
use zeroize::Zeroizing;

use crate::membership::{Authority, Invitation, extend};
use crate::node_key::NodeKey;
use crate::openpgp::PackageKey;
use crate::secret::Seed;

/// When all package keys here were created: 2025-06-15, in seconds of Unix time.
pub const CREATED: u64 = 1_750_000_000;

fn seed(kind: &str, number: u8) -> Seed {
    let mut hasher = blake3::Hasher::new_derive_key("pacmesh 2026 keys for tests, known to everybody");
    hasher.update(kind.as_bytes()).update(&[number]);
    Zeroizing::new(*hasher.finalize().as_bytes()).into()
}

/// The authority number `number`.
pub fn authority(number: u8) -> Authority {
    Authority::from_seed(seed("authority", number))
}

/// The node number `number`.
pub fn node(number: u8) -> NodeKey {
    NodeKey::from_seed(&seed("node", number))
}

/// The package key of node `number`, created at [`CREATED`].
pub fn package_key(number: u8) -> PackageKey {
    let user = format!("node-{number} <node-{number}@pacmesh.invalid>");
    PackageKey::from_parts(seed("openpgp", number), &user, CREATED).expect("a short user id of our own")
}

/// The invitation `number` of the authority `by`.
pub fn invitation(by: u8, number: u8, roles: Roles, expires_ms: u64, uses: u32) -> Invitation {
    authority(by).invite_with(seed("invitation", number), roles, expires_ms, uses)
}

/// The record by which node `author` says one thing; its first in incarnation 1.
pub fn record(of: u8, author: u8, entries: Vec<Entry>) -> Record {
    let key = node(author);
    let body = RecordV1 {
        author: key.id(),
        incarnation: 1,
        sequence: 1,
        prev: RecordHash::NONE,
        reign: ReignId {
            term: 1,
            node: key.id(),
            incarnation: 1,
        },
        request: None,
        written_ms: CREATED * 1000,
        entries,
    };
    Record::write(body, &authority(of).mesh(), &key).expect("one small entry")
}

/// The entry that admits `node` under a seat with roles.
pub fn admission(node: NodeId, seat: Seat, roles: Roles, warrant: Warrant) -> Entry {
    let name = format!("node-{}", node.short())
        .parse()
        .expect("letters, digits and a dash");
    AdmissionV1 {
        seat,
        name,
        roles,
        warrant,
        signer: None,
    }
    .entry(&node)
    .expect("one small entry")
}

/// The credential of node `founder` as founder of the mesh of authority `of`.
pub fn founder(of: u8, founder: u8) -> Credential {
    let id = node(founder).id();
    let founding = authority(of)
        .found(id, "test".parse().expect("a word"))
        .expect("two small fields");
    let entry = admission(id, 0, Roles::PEER, Warrant::Founding(founding));
    extend(&Credential { links: vec![] }, &record(of, founder, vec![entry])).expect("one link")
}

/// The credential of node `joiner`, admitted by node `author`, which holds `parent`, with a seat and roles.
pub fn admitted(of: u8, parent: &Credential, author: u8, joiner: u8, seat: Seat, roles: Roles) -> Credential {
    let warrant = Warrant::Invitation(invitation(of, joiner, roles, u64::MAX, 1).statement().clone());
    let entry = admission(node(joiner).id(), seat, roles, warrant);
    extend(parent, &record(of, author, vec![entry])).expect("a short chain")
}
