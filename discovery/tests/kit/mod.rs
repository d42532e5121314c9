//! Real nodes on loopback: keys from libp2p, ports that were free a moment ago, waits for a condition with a deadline.

#![expect(
    clippy::unwrap_used,
    reason = "the kit runs in tests only, where a panic is the report"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use libp2p::identity::ed25519;
use pacmesh_discovery::{Config, Discovery, DiscoveryError, DiscoveryHandle, Event};
use pacmesh_protocol::{
    ids::{Digest, MeshId, NodeId},
    membership::{MemberHint, MemberState, NodeRecord, Table},
    roles::Roles,
    signed::{Sign, Signature, Verify},
};
use tokio::sync::mpsc;

/// Longest wait for anything: generous, since two cores may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Signer(ed25519::Keypair);

impl Sign for Signer {
    fn public(&self) -> [u8; 32] {
        self.0.public().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let bytes: [u8; 64] = self.0.sign(message).try_into().unwrap();
        Signature::from_bytes(&bytes)
    }
}

#[derive(Debug)]
struct Verifier;

impl Verify for Verifier {
    fn verify(&self, public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        ed25519::PublicKey::try_from_bytes(public).is_ok_and(|key| key.verify(message, &signature.to_bytes()))
    }
}

/// A node before it runs: it may run more than once.
pub(crate) struct Identity {
    seed: [u8; 32],
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    incarnation: u64,
}

impl Identity {
    pub(crate) fn new(seed: u8) -> Self {
        let key = keypair([seed; 32]);
        Self {
            seed: [seed; 32],
            id: NodeId(key.public().to_bytes()),
            address: free_address(),
            incarnation: 1,
        }
    }

    pub(crate) async fn start(&mut self) -> Node {
        for _ in 0..10 {
            match self.try_start().await {
                Ok(node) => return node,
                Err(DiscoveryError::Listen { .. }) => self.address = free_address(),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no free port in ten tries");
    }

    pub(crate) async fn try_start(&mut self) -> Result<Node, DiscoveryError> {
        self.incarnation += 1;
        let config = Config {
            seed: self.seed.into(),
            mesh: MeshId([3; 32]),
            listen: vec![self.address],
            mdns: false,
            sign: Arc::new(Signer(keypair(self.seed))),
            verify: Arc::new(Verifier),
        };
        let (handle, events) = Discovery::start(config, self.record()).await?;
        Ok(Node {
            id: self.id,
            address: self.address,
            handle,
            events,
        })
    }

    fn record(&self) -> NodeRecord {
        NodeRecord {
            node: self.id,
            incarnation: self.incarnation,
            sequence: 0,
            name: "fresh".parse().unwrap(),
            addresses: vec![SocketAddr::new(self.address.ip(), self.address.port() + 1)],
            repository_port: None,
            roles: Roles::PEER,
            environment: "arch:clean".parse().unwrap(),
            arches: vec![],
            slots: 1,
            running: 0,
            load: 0,
            free_mib: 0,
            version: "0".into(),
            reign: None,
            ledger: Digest([0; 32]),
            draining: false,
            goodbye: false,
        }
    }
}

fn keypair(mut seed: [u8; 32]) -> ed25519::Keypair {
    ed25519::SecretKey::try_from_bytes(&mut seed).unwrap().into()
}

fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A running node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) handle: DiscoveryHandle,
    pub(crate) events: mpsc::Receiver<Event>,
}

impl Node {
    pub(crate) async fn admit(&self, members: &[NodeId], barred: &[NodeId]) {
        let hint = MemberHint { master_capable: true };
        let members: BTreeMap<_, _> = members.iter().map(|node| (*node, hint)).collect();
        let barred: BTreeSet<_> = barred.iter().copied().collect();
        self.handle.set_members(members, barred).await;
    }

    pub(crate) async fn rename(&self, name: &'static str) {
        self.handle
            .update(move |own| own.name = name.parse().unwrap())
            .await;
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.handle.table().borrow().clone()
    }

    /// Waits until the table is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl FnMut(&Arc<Table>) -> bool) {
        let mut tables = self.handle.table();
        let waiting = tokio::time::timeout(PATIENCE, tables.wait_for(wanted)).await;
        assert!(
            matches!(waiting, Ok(Ok(_))),
            "never happened: {what}; {:#?}",
            self.table()
        );
    }

    pub(crate) async fn until_state(&self, node: NodeId, state: MemberState) {
        self.until(state.name(), |table| table.state(&node) == Some(state))
            .await;
    }

    pub(crate) async fn until_named(&self, node: NodeId, name: &str) {
        let named = |table: &Arc<Table>| {
            table
                .record(&node)
                .is_some_and(|record| record.name.as_str() == name)
        };
        self.until(name, named).await;
    }

    pub(crate) async fn until_all_alive(&self, count: usize) {
        let all = |table: &Arc<Table>| {
            table.alive().filter(|(_, seen)| seen.record.is_some()).count() == count && !table.in_doubt
        };
        self.until("all alive and heard", all).await;
    }
}

/// `count` nodes that admit each other; all but the first dial the first.
pub(crate) async fn mesh(count: u8) -> Vec<Node> {
    let mut nodes = Vec::new();
    for seed in 1..=count {
        nodes.push(Identity::new(seed).start().await);
    }
    let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
    for node in &nodes {
        node.admit(&ids, &[]).await;
    }
    for node in &nodes[1..] {
        node.handle.dial(nodes[0].id, nodes[0].address).await;
    }
    for node in &nodes {
        node.until_all_alive(usize::from(count) - 1).await;
    }
    nodes
}
