//! Judging what others send: a claim is granted once and durably or refused with its cause; a document is verified.

use std::time::Duration;

use super::{
    document::{Ballot, Claim, Document, RefusalCause},
    io::Output,
    machine::{ReignMachine, State},
    peers::Strength,
    proof::{open_claim, verify_document},
};
use crate::{
    ids::{Digest, NodeId, Term},
    ledger::record::ReignId,
    machine::Instant,
    signed::Signed,
};

/// A claim more than this above the highest verified term is refused (FORMATS, "Reign").
pub(super) const TERM_LEAP: Term = 1 << 16;
/// A follower passes on a document only when its master's own broadcast had this long: to those who speak of a lower reign,
/// and to those who speak of none, since their master may be out of their reach.
const HEARSAY_AGE: Duration = Duration::from_secs(2);

impl ReignMachine {
    pub(super) fn on_claim(&mut self, now: Instant, from: NodeId, signed: &Signed, out: &mut Vec<Output>) {
        let claim = Digest::of(&signed.body);
        let ballot = match &self.last_grant {
            // The same question again, its answer was lost.
            Some((granted, ballot)) if *granted == claim => ballot.clone(),
            _ => match self.judge_claim(from, signed) {
                Ok(body) => match self.grant(now, claim, &body, out) {
                    Some(ballot) => ballot,
                    None => return,
                },
                Err(cause) => self.refusal(cause),
            },
        };
        out.push(Output::Reply {
            to: from,
            claim,
            ballot: Box::new(ballot),
        });
    }

    fn judge_claim(&self, from: NodeId, signed: &Signed) -> Result<Claim, RefusalCause> {
        let claim = open_claim(signed, &self.identity.mesh, &*self.identity.verifier)
            .map_err(|_| RefusalCause::NotEntitled)?;
        if claim.node != from || !self.peers.is_entitled(&from) {
            return Err(RefusalCause::NotEntitled);
        }
        if self.in_doubt() {
            return Err(RefusalCause::Doubt);
        }
        if claim.term > self.highest_term().saturating_add(TERM_LEAP) {
            return Err(RefusalCause::TooHigh);
        }
        if self.knows_master_besides(&from) {
            return Err(RefusalCause::MasterAlive);
        }
        if claim.term <= self.spent_term() {
            return Err(RefusalCause::Granted);
        }
        Ok(claim)
    }

    /// A living master other than the claimant stands against a claim, unless the claimant leads too and is stronger.
    fn knows_master_besides(&self, claimant: &NodeId) -> bool {
        let beyond = self
            .highest_reign()
            .is_some_and(|highest| self.peers.leads_beyond_others_than(Some(claimant), highest));
        let strength = self.peers.living_reign(claimant).map(Strength::from);
        let weaker = |other| strength.is_some_and(|own| self.peers.stronger(own, other));
        beyond
            || matches!(self.state, State::Leading(_))
            || self
                .peers
                .living()
                .any(|master| master.reign.node != *claimant && !weaker(master.into()))
    }

    fn grant(&mut self, now: Instant, claim: Digest, body: &Claim, out: &mut Vec<Output>) -> Option<Ballot> {
        let grant = self.identity.grant(claim).ok()?;
        self.kept.granted = body.term;
        self.kept.granted_to = Some(body.node);
        self.persist(out);
        if matches!(self.state, State::Claiming(_)) {
            self.state = State::Idle;
        }
        self.wait = None;
        self.not_before = now + self.dice.retry_wait();
        let ballot = Ballot::Granted {
            grant,
            ledger: self.ledger,
        };
        self.last_grant = Some((claim, ballot.clone()));
        Some(ballot)
    }

    fn refusal(&self, cause: RefusalCause) -> Ballot {
        let master = match cause {
            RefusalCause::MasterAlive => self.kept.highest.clone(),
            _ => None,
        };
        Ballot::Refused {
            cause,
            highest: self.spent_term(),
            master,
        }
    }

    pub(super) fn on_ballot(
        &mut self,
        now: Instant,
        from: NodeId,
        claim: Digest,
        ballot: Ballot,
        out: &mut Vec<Output>,
    ) {
        match ballot {
            Ballot::Granted { grant, ledger } => {
                let State::Claiming(candidacy) = &mut self.state else {
                    return;
                };
                if candidacy.digest() == claim {
                    candidacy.accept(&self.identity, from, grant, ledger);
                }
            }
            Ballot::Refused { highest, master, .. } => {
                if highest <= self.highest_term().saturating_add(TERM_LEAP) {
                    self.refused_term = self.refused_term.max(highest);
                }
                if let Some(document) = master {
                    self.on_document(now, from, document, out);
                }
            }
        }
    }

    pub(super) fn on_document(
        &mut self,
        now: Instant,
        from: NodeId,
        document: Document,
        out: &mut Vec<Output>,
    ) {
        let entitled = |node: &NodeId| self.peers.is_entitled(node);
        let Ok(verified) =
            verify_document(&document, &self.identity.mesh, &*self.identity.verifier, entitled)
        else {
            return;
        };
        let (reign, known) = (verified.reign, self.highest_reign());
        let raises = known.is_none_or(|known| reign > known);
        if raises {
            for granter in document
                .grants
                .iter()
                .filter_map(granter)
                .filter(|n| *n != reign.node)
            {
                self.peers.unprove(&granter);
            }
            self.raise(verified.clone(), document, now, out);
        } else if known != Some(reign) && from == reign.node {
            self.correct(from, out);
        }
        // A third node's word for a reign that is known proves nothing about its master's life: nodes that refuse each
        // other with the same document would keep a dead reign alive for ever.
        if reign.node != self.identity.node && (raises || from == reign.node) {
            self.peers.prove(verified, now);
            if raises {
                self.expect_master(now);
            }
        }
    }

    pub(super) fn on_heard(
        &mut self,
        now: Instant,
        member: NodeId,
        reign: Option<ReignId>,
        out: &mut Vec<Output>,
    ) {
        self.peers.hear(member, reign, now);
        if self.followed().is_some() && self.peers.is_forlorn(&member, HEARSAY_AGE, now) {
            self.correct(member, out);
        }
        let Some((highest, reign)) = self.highest_reign().zip(reign) else {
            return;
        };
        let settled = now.since(self.highest_at) >= HEARSAY_AGE;
        if reign < highest && (settled || reign.node == member) {
            self.correct(member, out);
        }
    }

    /// Shows the highest document to a node that speaks of a lower reign.
    fn correct(&self, to: NodeId, out: &mut Vec<Output>) {
        if let Some(document) = self.kept.highest.clone() {
            let document = Box::new(document);
            out.push(Output::SendDocument { to, document });
        }
    }
}

/// Who made a grant of a document that was verified.
fn granter(grant: &Signed) -> Option<NodeId> {
    let grant: super::document::Grant = grant.peek(super::document::CLAIM_LIMIT).ok()?;
    Some(grant.granter)
}
