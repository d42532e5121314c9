//! When this node distrusts itself, and how it comes to trust itself again.

use crate::{
    machine::Instant,
    membership::{MemberState, Membership, io::Output, numbers::LATE},
};

impl Membership {
    /// A wake-up that is overdue by more than a second: others may have lost this node by now.
    pub(super) fn notice_lateness(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.promised.is_some_and(|promised| now.since(promised) > LATE) {
            self.awareness.raise(now);
            self.begin_doubt(now, out);
        }
    }

    /// Begins every timer anew. Those lost before may have returned meanwhile, so they are asked again, too.
    pub(super) fn begin_doubt(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.awareness.begin_doubt(now) {
            out.push(Output::Doubt(true));
        }
        let answers = self.relays.clear().into_iter();
        out.extend(answers.map(|ask| Output::Answer { ask, reached: None }));
        for (node, peer) in self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.state != MemberState::Left)
        {
            peer.reset();
            peer.unproven = true;
            if peer.state == MemberState::Lost && peer.enter(now, MemberState::Suspect) {
                let (node, state) = (*node, MemberState::Suspect);
                out.push(Output::Changed { node, state });
            }
        }
    }

    pub(super) fn end_doubt(&mut self, out: &mut Vec<Output>) {
        self.awareness.end_doubt();
        out.push(Output::Doubt(false));
    }

    /// Every other member was lost by a timer begun since the doubt, or there is none.
    pub(super) fn settle_doubt(&mut self, out: &mut Vec<Output>) {
        let alone = self
            .peers
            .values()
            .all(|peer| matches!(peer.state, MemberState::Lost | MemberState::Left));
        if self.introduced && alone && self.in_doubt() {
            self.end_doubt(out);
        }
    }
}
