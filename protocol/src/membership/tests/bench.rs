//! The bench: runs one machine along virtual time and lets a script answer what it sends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    ids::{Digest, NodeId},
    ledger::record::ReignId,
    machine::{Instant, Machine},
    membership::{Heard, Input, MemberHint, MemberState, Membership, NodeRecord, Output},
    roles::Roles,
    signed::{Signature, Signed},
};

pub(super) const OWN: NodeId = node(0);
pub(super) const B: NodeId = node(1);
pub(super) const C: NodeId = node(2);
pub(super) const D: NodeId = node(3);

pub(super) const fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) const fn at(milliseconds: u64) -> Instant {
    Instant::at(ms(milliseconds))
}

pub(super) fn record(node: NodeId, incarnation: u64, sequence: u64) -> NodeRecord {
    NodeRecord {
        node,
        incarnation,
        sequence,
        name: "desk".parse().unwrap(),
        addresses: vec![],
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

pub(super) fn heard(record: NodeRecord) -> Input {
    let signature = Signature::from_bytes(&[0; 64]);
    let signed = Arc::new(Signed {
        body: vec![],
        signature,
    });
    let record = Arc::new(record);
    Input::Heard(Heard { record, signed })
}

/// How the others answer: what comes back after how long, if anything.
pub(super) type Script = fn(Instant, &Output) -> Option<(Duration, Input)>;

/// Everybody acknowledges within a millisecond.
pub(super) fn all_answer(_: Instant, output: &Output) -> Option<(Duration, Input)> {
    acknowledge(output).map(|input| (ms(1), input))
}

pub(super) fn nobody_answers(_: Instant, _: &Output) -> Option<(Duration, Input)> {
    None
}

pub(super) fn acknowledge(output: &Output) -> Option<Input> {
    match *output {
        Output::Ping { node, nonce } => Some(Input::Ack { node, nonce }),
        _ => None,
    }
}

pub(super) fn answer(output: &Output, reached: bool) -> Option<Input> {
    match *output {
        Output::AskIndirect {
            via, about, nonce, ..
        } => Some(Input::Answered {
            via,
            about,
            nonce,
            reached,
        }),
        _ => None,
    }
}

pub(super) struct Bench {
    pub(super) machine: Membership,
    pub(super) now: Instant,
    pub(super) script: Script,
    arriving: BTreeMap<(Instant, u64), Input>,
    count: u64,
    pub(super) log: Vec<(Instant, Output)>,
}

impl Bench {
    /// A peer that knows these members, all of which may lead if `master_capable`.
    pub(super) fn new(members: impl IntoIterator<Item = NodeId>, master_capable: bool) -> Self {
        Self::with_script(all_answer, members, master_capable)
    }

    pub(super) fn with_script(
        script: Script,
        members: impl IntoIterator<Item = NodeId>,
        master_capable: bool,
    ) -> Self {
        let mut bench = Self {
            machine: Membership::new(at(0), record(OWN, 1, 0), 7),
            now: at(0),
            script,
            arriving: BTreeMap::new(),
            count: 0,
            log: vec![],
        };
        bench.members(members, master_capable);
        bench
    }

    /// As [`Self::new`], and everybody was met: ten seconds have passed.
    pub(super) fn settled(members: impl IntoIterator<Item = NodeId>, master_capable: bool) -> Self {
        let mut bench = Self::new(members, master_capable);
        bench.run_to(at(10_000));
        bench.log.clear();
        bench
    }

    pub(super) fn members(&mut self, members: impl IntoIterator<Item = NodeId>, master_capable: bool) {
        let members = members
            .into_iter()
            .map(|node| (node, MemberHint { master_capable }));
        let members = members.collect();
        self.input(Input::Members {
            members,
            barred: [node(99)].into(),
        });
    }

    pub(super) fn input(&mut self, input: Input) {
        let mut out = vec![];
        self.machine.handle(self.now, input, &mut out);
        for output in out {
            if let Some((delay, reply)) = (self.script)(self.now, &output) {
                self.count += 1;
                self.arriving.insert((self.now + delay, self.count), reply);
            }
            self.log.push((self.now, output));
        }
    }

    /// Lets time pass: what arrives and what was to wake the machine happens when it is due.
    pub(super) fn run_to(&mut self, end: Instant) {
        loop {
            let arrival = self.arriving.first_key_value().map(|((moment, _), _)| *moment);
            let wakeup = self.machine.next_wakeup();
            let Some(next) = arrival
                .into_iter()
                .chain(wakeup)
                .min()
                .filter(|next| *next <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            match self
                .arriving
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                Some(entry) => {
                    let input = entry.remove();
                    self.input(input);
                }
                None => self.input(Input::Tick),
            }
        }
        self.now = self.now.max(end);
    }

    /// The process gets no turn until `end`; everything that is due then happens late, timers before what arrived.
    pub(super) fn stall_to(&mut self, end: Instant) {
        self.now = end;
        self.input(Input::Tick);
    }

    pub(super) fn state(&self, node: NodeId) -> MemberState {
        self.machine.table().state(&node).unwrap()
    }

    /// When `node` entered `state`, as logged.
    pub(super) fn when(&self, node: NodeId, state: MemberState) -> Option<Instant> {
        self.find(&Output::Changed { node, state })
    }

    pub(super) fn find(&self, wanted: &Output) -> Option<Instant> {
        let found = self.log.iter().find(|(_, output)| output == wanted);
        found.map(|(moment, _)| *moment)
    }

    pub(super) fn pings(&self, to: NodeId) -> usize {
        let to = |output: &Output| matches!(output, Output::Ping { node, .. } if *node == to);
        self.log.iter().filter(|(_, output)| to(output)).count()
    }

    pub(super) fn published(&self) -> Vec<(Instant, NodeRecord)> {
        let records = self.log.iter().filter_map(|(moment, output)| match output {
            Output::Publish(record) => Some((*moment, (**record).clone())),
            _ => None,
        });
        records.collect()
    }

    /// Says of itself that it follows this node's reign.
    pub(super) fn follow(&mut self, master: NodeId) {
        let mut own = self.machine.own().clone();
        own.reign = Some(ReignId {
            term: 1,
            node: master,
            incarnation: 1,
        });
        self.input(Input::Own(Box::new(own)));
    }
}
