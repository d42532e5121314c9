//! How a simulated mesh began: the authority founded it with node 0, which admitted all others by one invitation.
//! Every value is constant and within its bound, so that none of the `expect`s can fail.

use pacmesh_protocol::{
    ids::{InvitationId, NodeId, RecordHash},
    ledger::{
        kinds::{AdmissionV1, FoundingV1, InvitationStatementV1, Value, Warrant},
        record::{RECORD_LIMIT, Record, RecordV1, ReignId},
    },
    roles::Roles,
    signed::{Purpose, Signed},
};

use super::keys::{MESH, ToyKey, node_id};

/// The mesh is named by the authority's public key.
const AUTHORITY: ToyKey = ToyKey(NodeId(MESH.0));

/// The admissions of all nodes, in the order of their seats; node 0 wrote them before its first simulated life.
pub fn admissions(nodes: usize) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for number in 0..nodes {
        let prev = records.last().map_or(RecordHash::NONE, Record::hash);
        records.push(admission(number, prev));
    }
    records
}

fn admission(number: usize, prev: RecordHash) -> Record {
    let author = node_id(0);
    let value = AdmissionV1 {
        seat: number as u64,
        name: format!("n{number}").parse().expect("a name"),
        roles: Roles::PEER,
        warrant: if number == 0 {
            founding(author)
        } else {
            invitation()
        },
        signer: None,
    };
    let body = RecordV1 {
        author,
        incarnation: 0,
        sequence: number as u64 + 1,
        prev,
        reign: ReignId {
            term: 0,
            node: author,
            incarnation: 0,
        },
        request: None,
        written_ms: 0,
        entries: vec![value.entry(&node_id(number)).expect("an entry")],
    };
    Record::write(body, &MESH, &ToyKey(author)).expect("a record")
}

fn founding(node: NodeId) -> Warrant {
    let mesh_name = "sim".parse().expect("a name");
    let statement = FoundingV1 { node, mesh_name };
    let signed = Signed::seal(&statement, Purpose::Found, &MESH, &AUTHORITY, RECORD_LIMIT);
    Warrant::Founding(signed.expect("a statement"))
}

fn invitation() -> Warrant {
    let statement = InvitationStatementV1 {
        invitation: InvitationId([0xdd; 32]),
        roles: Roles::PEER,
        expires_ms: u64::MAX,
        uses: u32::MAX,
    };
    let signed = Signed::seal(&statement, Purpose::Invitation, &MESH, &AUTHORITY, RECORD_LIMIT);
    Warrant::Invitation(signed.expect("a statement"))
}
