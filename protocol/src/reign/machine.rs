//! The machine: when a node claims, and what it does with a majority. What others send is judged beside it, and the
//! time of leading is kept there too; here is what ties them together.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    ballot::KeptBallot,
    candidacy::Candidacy,
    document::{Ballot, Claim, Document},
    identity::Identity,
    io::{Input, Output, Setup},
    lead::Lead,
    peers::{Peers, Strength},
    proof::{VerifiedReign, verify_document},
    rank::{self, Dice},
    role::{Obedience, Role},
};
use crate::{
    ids::{Digest, Incarnation, NodeId, Term},
    ledger::record::ReignId,
    machine::{Instant, Machine},
};

/// A node that handed over leaves the others this long to claim before it does so itself.
const HANDOVER_PAUSE: Duration = Duration::from_secs(3);

/// How long a master that was just proven may take to be seen alive. Where a cut heals, documents arrive before the first
/// ping is answered; whoever claimed meanwhile would begin a reign above the one that it was just shown.
const EXPECTED: Duration = Duration::from_secs(3);

/// Who is there, in which life.
type Lives = BTreeMap<NodeId, Incarnation>;

#[derive(Debug)]
pub(super) enum State {
    Idle,
    Claiming(Box<Candidacy>),
    Leading(Box<Lead>),
}

/// A claim that waits for its turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    since: Instant,
    jitter: Duration,
}

/// Who leads, as one node sees it.
#[derive(Debug)]
pub struct ReignMachine {
    pub(super) identity: Identity,
    pub(super) dice: Dice,
    pub(super) kept: KeptBallot,
    pub(super) highest: Option<VerifiedReign>,
    pub(super) highest_at: Instant,
    pub(super) peers: Peers,
    pub(super) ledger: Digest,
    doubt: bool,
    eligible: bool,
    urgent: bool,
    pub(super) state: State,
    pub(super) own_document: Option<Document>,
    shown: Role,
    pub(super) last_grant: Option<(Digest, Ballot)>,
    pub(super) refused_term: Term,
    pub(super) wait: Option<Wait>,
    pub(super) not_before: Instant,
    /// Until then the master of the highest reign is expected to be seen alive.
    pub(super) expected_until: Option<Instant>,
    /// The grants of the reign that this node gave up in order to claim a common one.
    pub(super) settling: Option<usize>,
}

impl ReignMachine {
    /// A node at the start of a life.
    pub fn new(setup: Setup) -> Self {
        let node = setup.key.node();
        // Judged before it was kept; members that left since take nothing away from it.
        let highest = setup
            .kept
            .highest
            .as_ref()
            .and_then(|document| verify_document(document, &setup.mesh, &*setup.verifier, |_| true).ok());
        Self {
            identity: Identity {
                mesh: setup.mesh,
                node,
                incarnation: setup.incarnation,
                key: setup.key,
                verifier: setup.verifier,
            },
            dice: Dice::new(setup.seed),
            kept: setup.kept,
            highest,
            highest_at: Instant::default(),
            peers: Peers::new(node),
            ledger: setup.ledger,
            doubt: true,
            eligible: true,
            urgent: false,
            state: State::Idle,
            own_document: None,
            shown: Role::Standby,
            last_grant: None,
            refused_term: 0,
            wait: None,
            not_before: Instant::default(),
            expected_until: None,
            settling: None,
        }
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        match &self.state {
            State::Claiming(candidacy) => Role::Claiming {
                reign: candidacy.reign(),
            },
            State::Leading(lead) => Role::Leading {
                reign: lead.verified.reign,
                ready: lead.merging.is_empty() && !self.in_doubt(),
            },
            State::Idle => match self.followed() {
                Some(reign) => Role::Following { reign },
                None => Role::Standby,
            },
        }
    }

    /// The highest reign that this node has verified.
    pub fn highest_reign(&self) -> Option<ReignId> {
        self.highest.as_ref().map(|highest| highest.reign)
    }

    /// The document of the highest reign that this node has verified.
    pub const fn document(&self) -> Option<&Document> {
        self.kept.highest.as_ref()
    }

    /// Whether an order of `reign` is obeyed here.
    pub fn obedience(&self, reign: ReignId) -> Obedience {
        match self.highest_reign() {
            Some(highest) if reign < highest => Obedience::Lower,
            Some(highest) if reign == highest => Obedience::Obey,
            _ => Obedience::Unproven,
        }
    }

    pub(super) fn highest_term(&self) -> Term {
        self.highest.as_ref().map_or(0, |highest| highest.reign.term)
    }

    /// No claim up to this term can be granted here.
    pub(super) fn spent_term(&self) -> Term {
        self.kept.granted.max(self.highest_term())
    }

    pub(super) fn in_doubt(&self) -> bool {
        self.doubt && self.peers.has_others()
    }

    pub(super) fn may_lead(&self) -> bool {
        self.eligible && self.peers.is_entitled(&self.identity.node)
    }

    pub(super) fn persist(&self, out: &mut Vec<Output>) {
        // A verified document is within its limit: 256 grants of less than 300 bytes.
        if let Ok(bytes) = self.kept.encode() {
            out.push(Output::Persist(bytes));
        }
    }

    /// A higher reign is proven.
    pub(super) fn raise(
        &mut self,
        verified: VerifiedReign,
        document: Document,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        self.kept.highest = Some(document);
        self.highest = Some(verified);
        self.highest_at = now;
        self.persist(out);
    }

    /// The highest reign, while its master lives: in direct reach, or beyond a member that follows it.
    pub(super) fn followed(&self) -> Option<ReignId> {
        let highest = self.highest_reign()?;
        let living = self.peers.living_reign(&highest.node);
        let leads = living.is_some_and(|living| living.reign == highest);
        (leads || self.peers.leads_beyond(highest)).then_some(highest)
    }

    fn may_claim(&self) -> bool {
        self.may_lead() && !self.in_doubt() && !self.is_blocked()
    }

    /// Whether a living master stands against a claim; a settling node claims over those that it is stronger than.
    fn is_blocked(&self) -> bool {
        let node = self.identity.node;
        let weaker = |other: Strength| {
            self.settling
                .is_some_and(|grants| self.peers.stronger(Strength { grants, node }, other))
        };
        self.peers.living().any(|master| !weaker(master.into()))
            || (self.settling.is_none() && (self.expected_until.is_some() || self.peers.hears_master()))
    }

    /// Expects the master of the highest reign, if it is not seen yet.
    pub(super) fn expect_master(&mut self, now: Instant) {
        self.expected_until = Some(now + EXPECTED).filter(|_| self.followed().is_none());
    }

    /// The moment of the claim that waits; at once where nobody else would be asked, or where it is wanted.
    fn claim_at(&self, wait: Wait) -> Instant {
        if self.urgent || self.peers.electorate().len() == 1 {
            return wait.since;
        }
        (wait.since + rank::claim_wait(self.peers.rank(), wait.jitter)).max(self.not_before)
    }

    fn decide(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.expected_until.is_some_and(|until| until <= now) || self.followed().is_some() {
            self.expected_until = None;
        }
        if matches!(self.state, State::Leading(_)) {
            self.hold(now, out);
        }
        if matches!(self.state, State::Claiming(_)) {
            self.press(now, out);
        }
        if matches!(self.state, State::Idle) {
            self.linger(now, out);
        }
        let role = self.role();
        if role != self.shown {
            self.shown = role;
            out.push(Output::Became(role));
        }
    }

    fn linger(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.settling = None;
        if !self.may_claim() {
            self.wait = None;
            self.urgent = false;
            return;
        }
        let wait = match self.wait {
            Some(wait) => wait,
            None => *self.wait.insert(Wait {
                since: now,
                jitter: self.dice.claim_jitter(),
            }),
        };
        if self.claim_at(wait) <= now {
            self.claim(now, out);
        }
    }

    fn press(&mut self, now: Instant, out: &mut Vec<Output>) {
        let State::Claiming(candidacy) = &self.state else {
            return;
        };
        let late = now >= candidacy.retry_at;
        if candidacy.has_majority() {
            self.win(now, out);
        } else if !self.may_claim() {
            self.state = State::Idle;
        } else if late || candidacy.waits_for_lost(|node| self.peers.is_alive(node)) {
            if late {
                self.settling = None;
            }
            self.state = State::Idle;
            if self.may_claim() {
                self.claim(now, out);
            }
        }
    }

    /// The next term; alone, a node may use again the one that it granted to itself, in a new life.
    fn next_term(&self, asked: &[NodeId]) -> Option<Term> {
        let node = self.identity.node;
        let again = ReignId {
            term: self.kept.claimed,
            node,
            incarnation: self.identity.incarnation,
        };
        let own = self.kept.granted_to == Some(node) && self.kept.granted == self.kept.claimed;
        let higher = self.highest_reign().is_none_or(|highest| again > highest);
        if asked == [node] && own && higher && self.kept.claimed == self.highest_term() {
            return Some(self.kept.claimed);
        }
        let spent = self.spent_term().max(self.kept.claimed).max(self.refused_term);
        spent.checked_add(1)
    }

    /// Claims the next term: kept first, then asked of everybody else.
    pub(super) fn claim(&mut self, now: Instant, out: &mut Vec<Output>) {
        let asked = self.peers.electorate();
        let Some(candidacy) = self.candidacy(now, asked) else {
            return;
        };
        self.urgent = false;
        self.wait = None;
        self.kept.claimed = candidacy.reign().term;
        self.kept.granted = candidacy.reign().term;
        self.kept.granted_to = Some(self.identity.node);
        let alone = candidacy.has_majority();
        if !alone {
            self.persist(out);
            let others = candidacy
                .asked()
                .iter()
                .filter(|node| **node != self.identity.node);
            out.extend(others.map(|to| Output::SendClaim {
                to: *to,
                claim: candidacy.claim().clone(),
                digest: candidacy.digest(),
            }));
        }
        self.state = State::Claiming(Box::new(candidacy));
        if alone {
            self.win(now, out);
        }
    }

    fn candidacy(&mut self, now: Instant, asked: Vec<NodeId>) -> Option<Candidacy> {
        let term = self.next_term(&asked)?;
        let identity = &self.identity;
        // Only more members than a mesh may have would make a claim too long.
        let claim = identity.claim(term, asked.clone(), self.ledger).ok()?;
        let grant = identity.grant(Digest::of(&claim.body)).ok()?;
        let body = Claim {
            term,
            node: identity.node,
            incarnation: identity.incarnation,
            asked,
            ledger: self.ledger,
        };
        let retry_at = now + self.dice.retry_wait();
        Some(Candidacy::new(claim, body, (self.identity.node, grant), retry_at))
    }

    /// A majority granted: the reign is kept, its granters' ledgers are asked for, then it is told.
    fn win(&mut self, now: Instant, out: &mut Vec<Output>) {
        let State::Claiming(candidacy) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let document = candidacy.document();
        let merging: BTreeSet<_> = candidacy.to_merge(self.ledger, self.identity.node).collect();
        self.settling = None;
        self.refused_term = 0;
        self.peers.unprove_all();
        self.raise(candidacy.verified(), document.clone(), now, out);
        out.extend(
            merging
                .iter()
                .map(|granter| Output::MergeFrom { granter: *granter }),
        );
        self.own_document = Some(document.clone());
        self.state = State::Leading(Box::new(Lead::new(candidacy.verified(), merging, now)));
        out.push(Output::Broadcast(Box::new(document)));
    }

    fn on_reach(&mut self, now: Instant, alive: Lives, relayed: Lives, out: &mut Vec<Output>) {
        self.peers.set_relayed(relayed);
        let came = self.peers.set_alive(alive);
        if came.is_empty() {
            return;
        }
        if let State::Leading(lead) = &mut self.state {
            lead.members_came(now);
        }
        if !self.in_doubt() {
            self.tell(came, out);
        }
    }

    fn on_doubt(&mut self, now: Instant, doubt: bool) {
        self.doubt = doubt;
        self.wait = None;
        if let State::Leading(lead) = &mut self.state {
            lead.doubted(now);
        }
    }

    fn on_abdicate(&mut self, now: Instant, to: Option<NodeId>, out: &mut Vec<Output>) {
        let State::Leading(lead) = &self.state else {
            return;
        };
        let reign = lead.verified.reign;
        let heir = to
            .filter(|node| self.peers.is_alive(node))
            .or_else(|| self.peers.heir());
        self.step_down(out);
        self.not_before = now + HANDOVER_PAUSE;
        out.extend(heir.map(|to| Output::SendAbdicate { to, reign }));
    }

    fn on_abdicated(&mut self, from: NodeId, reign: ReignId) {
        if reign.node == from && self.highest_reign() == Some(reign) {
            self.peers.unprove(&from);
            self.peers.forget(&from);
            self.urgent = true;
        }
    }

    fn on_merged(&mut self, granter: NodeId) {
        if let State::Leading(lead) = &mut self.state {
            lead.merging.remove(&granter);
        }
    }

    fn on_merge_failed(&mut self, now: Instant, granter: NodeId) {
        if let State::Leading(lead) = &mut self.state {
            lead.merge_failed(granter, now);
        }
    }
}

impl Machine for ReignMachine {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Members(members) => self.peers.set_members(members),
            Input::Alive(alive) => self.on_reach(now, alive, Lives::new(), out),
            Input::Reach { alive, relayed } => self.on_reach(now, alive, relayed, out),
            Input::Heard { member, reign } => self.on_heard(now, member, reign, out),
            Input::Doubt(doubt) => self.on_doubt(now, doubt),
            Input::Eligible(eligible) => self.eligible = eligible,
            Input::Ledger(root) => self.ledger = root,
            Input::ClaimReceived { from, claim } => self.on_claim(now, from, &claim, out),
            Input::BallotReceived { from, claim, ballot } => {
                self.on_ballot(now, from, claim, ballot, out);
            }
            Input::DocumentReceived { from, document } => self.on_document(now, from, document, out),
            Input::Merged { granter } => self.on_merged(granter),
            Input::MergeFailed { granter } => self.on_merge_failed(now, granter),
            Input::LeadWanted => self.urgent = true,
            Input::Abdicate { to } => self.on_abdicate(now, to, out),
            Input::Abdicated { from, reign } => self.on_abdicated(from, reign),
            Input::Wake => {}
        }
        self.decide(now, out);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => self.wait.map(|wait| self.claim_at(wait)).or(self.expected_until),
            State::Claiming(candidacy) => Some(candidacy.retry_at),
            State::Leading(lead) => lead.next_wakeup(),
        }
    }
}
