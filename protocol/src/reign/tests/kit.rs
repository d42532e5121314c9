//! One machine on a desk: fed by hand, at moments told by hand. Keys are toys: whoever knows an id can sign for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    ids::{Digest, Incarnation, MeshId, NodeId, Term},
    ledger::record::ReignId,
    machine::{Instant, Machine},
    reign::{
        Input, KeptBallot, Output, ReignMachine, Setup,
        document::{Ballot, CLAIM_LIMIT, Claim, Document, Grant, RefusalCause},
    },
    signed::{Purpose, Sign, Signature, Signed, Verify},
};

pub(super) const MESH: MeshId = MeshId([9; 32]);
pub(super) const LEDGER: Digest = Digest([1; 32]);
pub(super) const OTHER_LEDGER: Digest = Digest([2; 32]);

#[derive(Debug)]
pub(super) struct Toy(pub(super) u8);

fn toy(public: &[u8; 32], message: &[u8]) -> Signature {
    let hash = *blake3::keyed_hash(public, message).as_bytes();
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&hash);
    Signature::from_bytes(&bytes)
}

impl Sign for Toy {
    fn public(&self) -> [u8; 32] {
        [self.0; 32]
    }

    fn sign(&self, message: &[u8]) -> Signature {
        toy(&self.public(), message)
    }
}

impl Verify for Toy {
    fn verify(&self, public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        toy(public, message) == *signature
    }
}

pub(super) fn id(n: u8) -> NodeId {
    NodeId([n; 32])
}

pub(super) fn reign(term: Term, n: u8) -> ReignId {
    ReignId {
        term,
        node: id(n),
        incarnation: 1,
    }
}

pub(super) fn claim(term: Term, n: u8, asked: &[u8]) -> Signed {
    let claim = Claim {
        term,
        node: id(n),
        incarnation: 1,
        asked: asked.iter().map(|n| id(*n)).collect(),
        ledger: LEDGER,
    };
    Signed::seal(&claim, Purpose::Claim, &MESH, &Toy(n), CLAIM_LIMIT).unwrap()
}

pub(super) fn grant(claim: &Signed, n: u8) -> Signed {
    let grant = Grant {
        claim: Digest::of(&claim.body),
        granter: id(n),
        incarnation: 1,
    };
    Signed::seal(&grant, Purpose::Grant, &MESH, &Toy(n), CLAIM_LIMIT).unwrap()
}

/// The proof that `n` leads `term`, asked of `asked` and granted by `granters`.
pub(super) fn document(term: Term, n: u8, asked: &[u8], granters: &[u8]) -> Document {
    let claim = claim(term, n, asked);
    let grants = granters.iter().map(|n| grant(&claim, *n)).collect();
    Document { claim, grants }
}

pub(super) struct Desk {
    pub(super) machine: ReignMachine,
    pub(super) now: Instant,
}

impl Desk {
    /// Node `n` of a mesh whose master-capable `members` have their numbers as seats; nobody is alive yet, no doubt.
    pub(super) fn new(n: u8, members: &[u8]) -> Self {
        let mut desk = Self::restarted(n, members, 1, KeptBallot::default());
        desk.feed(Input::Doubt(false));
        desk
    }

    /// The same in a later life, still in doubt.
    pub(super) fn restarted(n: u8, members: &[u8], incarnation: Incarnation, kept: KeptBallot) -> Self {
        let machine = ReignMachine::new(Setup {
            mesh: MESH,
            incarnation,
            key: Arc::new(Toy(n)),
            verifier: Arc::new(Toy(n)),
            kept,
            ledger: LEDGER,
            seed: 7,
        });
        let now = Instant::at(Duration::from_secs(100));
        let mut desk = Self { machine, now };
        let seats = members.iter().map(|n| (id(*n), u64::from(*n))).collect();
        desk.feed(Input::Eligible(false));
        desk.feed(Input::Members(seats));
        desk
    }

    /// May lead from now on.
    pub(super) fn eligible(&mut self) -> Vec<Output> {
        self.feed(Input::Eligible(true))
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.handle(self.now, input, &mut out);
        out
    }

    pub(super) fn alive(&mut self, alive: &[u8]) -> Vec<Output> {
        let alive: BTreeMap<_, _> = alive.iter().map(|n| (id(*n), 1)).collect();
        self.feed(Input::Alive(alive))
    }

    pub(super) fn later(&mut self, milliseconds: u64) {
        self.now = self.now + Duration::from_millis(milliseconds);
    }

    /// Goes to the moment that the machine asked for.
    pub(super) fn wake(&mut self) -> Vec<Output> {
        self.now = self.machine.next_wakeup().expect("nothing to wait for");
        self.feed(Input::Wake)
    }

    pub(super) fn show(&mut self, from: u8, document: &Document) -> Vec<Output> {
        let document = document.clone();
        self.feed(Input::DocumentReceived {
            from: id(from),
            document,
        })
    }

    pub(super) fn hear(&mut self, member: u8, reign: Option<ReignId>) -> Vec<Output> {
        self.feed(Input::Heard {
            member: id(member),
            reign,
        })
    }

    pub(super) fn ask(&mut self, claim: &Signed, from: u8) -> Vec<Output> {
        let claim = claim.clone();
        self.feed(Input::ClaimReceived {
            from: id(from),
            claim,
        })
    }

    /// Node `n` grants the claim among `outputs`.
    pub(super) fn granted_by(&mut self, n: u8, outputs: &[Output], ledger: Digest) -> Vec<Output> {
        let (claim, digest) = sent_claim(outputs).expect("no claim was sent");
        let grant = grant(&claim, n);
        self.feed(Input::BallotReceived {
            from: id(n),
            claim: digest,
            ballot: Ballot::Granted { grant, ledger },
        })
    }
}

pub(super) fn sent_claim(outputs: &[Output]) -> Option<(Signed, Digest)> {
    outputs.iter().find_map(|output| match output {
        Output::SendClaim { claim, digest, .. } => Some((claim.clone(), *digest)),
        _ => None,
    })
}

pub(super) fn opened(outputs: &[Output]) -> Option<Claim> {
    Some(sent_claim(outputs)?.0.peek(CLAIM_LIMIT).unwrap())
}

pub(super) fn granted(outputs: &[Output]) -> bool {
    answers(outputs).any(|ballot| matches!(ballot, Ballot::Granted { .. }))
}

pub(super) fn refused(outputs: &[Output]) -> Option<RefusalCause> {
    answers(outputs).find_map(|ballot| match ballot {
        Ballot::Refused { cause, .. } => Some(*cause),
        Ballot::Granted { .. } => None,
    })
}

fn answers(outputs: &[Output]) -> impl Iterator<Item = &Ballot> {
    outputs.iter().filter_map(|output| match output {
        Output::Reply { ballot, .. } => Some(&**ballot),
        _ => None,
    })
}

/// The words of the outputs, for tests about their order.
pub(super) fn words(outputs: &[Output]) -> Vec<&'static str> {
    outputs
        .iter()
        .map(|output| match output {
            Output::Persist(_) => "persist",
            Output::SendClaim { .. } => "claim",
            Output::Reply { .. } => "reply",
            Output::MergeFrom { .. } => "merge",
            Output::Broadcast(_) => "broadcast",
            Output::SendDocument { .. } => "document",
            Output::SendAbdicate { .. } => "abdicate",
            Output::Relinquish { .. } => "relinquish",
            Output::Became(_) => "became",
        })
        .collect()
}
