//! One simulated node: the real reign machine, a ledger, and a driver that obeys outputs strictly in order.
//!
//! Everything that a node does stands in one queue. A write blocks what is behind it until it is synced; a crash
//! drops the queue, and with it all that was decided but not done.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    ids::{Digest, Incarnation, RecordHash},
    ledger::{
        kinds::{SettingV1, Value},
        record::{Record, RecordV1, ReignId},
    },
    machine::{Instant, Machine},
    reign::{Input, Obedience, Output, ReignMachine, Role, Setup, document::Document},
};

use super::{
    disk::{Disk, Write},
    facts::Facts,
    faults::Planted,
    keys::{MESH, ToyKey, node_id, number},
    membership::Membership,
    message::{Message, Notice},
};

/// An exchange for a merge that takes longer has failed.
const MERGE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two exchanges with one node (FORMATS, "Numbers").
const EXCHANGE_PAUSE: Duration = Duration::from_secs(1);

/// What a node does, in order.
#[derive(Debug)]
pub enum Effect {
    /// Syncs; what is behind waits.
    Save(Write),
    /// Sends.
    Send(usize, Message),
    /// Sends to everybody.
    Broadcast(Box<Document>),
    /// Tells its own machine.
    Feed(Input),
    /// A record is synced here: one copy.
    Copied(RecordHash),
    /// An exchange of that number is complete on this side.
    Met(u64, usize),
    /// For the event log.
    Tell(String),
}

/// A node, dead or alive.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub number: usize,
    /// What survives.
    pub disk: Disk,
    /// What does not.
    pub life: Option<Life>,
    /// It sleeps until then.
    pub asleep_until: Option<Instant>,
}

/// One life of a node.
#[derive(Debug)]
pub struct Life {
    number: usize,
    planted: Planted,
    /// Which one.
    pub incarnation: Incarnation,
    /// Who leads, as it sees it.
    pub machine: ReignMachine,
    /// Its ledger in memory.
    pub facts: Facts,
    /// Who is there.
    pub members: Membership,
    /// What is left to do.
    pub queue: VecDeque<Effect>,
    /// What is being synced.
    pub saving: Option<Write>,
    /// The moment for which a wake-up is arranged.
    pub wake_at: Option<Instant>,
    /// Records not yet answered, with the nodes that synced them.
    pub copies: BTreeMap<RecordHash, BTreeSet<usize>>,
    /// Orders obeyed in this step, by their reigns.
    pub obeyed: Vec<ReignId>,
    /// The records that `copies` counts.
    pub unanswered: BTreeMap<RecordHash, Record>,
    merging: BTreeMap<usize, Instant>,
    exchanged: BTreeMap<usize, Instant>,
    notices: u64,
    written: u64,
    last: RecordHash,
}

impl Node {
    /// A node that was never started.
    pub fn new(number: usize, nodes: usize) -> Self {
        Self {
            number,
            disk: Disk::new(node_id(number), nodes),
            life: None,
            asleep_until: None,
        }
    }

    /// Starts the next life. Its number is synced before anything is signed.
    pub fn start(&mut self, nodes: usize, now: Instant, seed: u64, planted: Planted) {
        self.disk.incarnation += 1;
        let key = Arc::new(ToyKey(node_id(self.number)));
        let machine = ReignMachine::new(Setup {
            mesh: MESH,
            incarnation: self.disk.incarnation,
            key: key.clone(),
            verifier: key,
            kept: self.disk.ballot.clone(),
            ledger: self.disk.facts.root(),
            seed,
        });
        let mut life = Life {
            number: self.number,
            planted,
            incarnation: self.disk.incarnation,
            machine,
            facts: self.disk.facts.reload(),
            members: Membership::new(self.number, nodes, now),
            queue: VecDeque::new(),
            saving: None,
            wake_at: None,
            copies: BTreeMap::new(),
            obeyed: Vec::new(),
            unanswered: BTreeMap::new(),
            merging: BTreeMap::new(),
            exchanged: BTreeMap::new(),
            notices: 0,
            written: 0,
            last: RecordHash::NONE,
        };
        let seats = life.facts.view().master_capable();
        life.feed(now, Input::Members(seats));
        self.life = Some(life);
    }

    /// kill -9. Whether the write under way reached the disk is chance.
    pub fn crash(&mut self, write_survives: bool) {
        let saving = self.life.take().and_then(|life| life.saving);
        if let Some(write) = saving.filter(|_| write_survives) {
            self.disk.sync(&write);
        }
        self.asleep_until = None;
    }
}

impl Life {
    /// Tells the reign machine, and queues what it wants.
    pub fn feed(&mut self, now: Instant, input: Input) {
        let mut outputs = Vec::new();
        self.machine.handle(now, input, &mut outputs);
        for output in outputs {
            self.obey(now, output);
        }
    }

    fn feed_all(&mut self, now: Instant, inputs: Vec<Input>) {
        for input in inputs {
            self.feed(now, input);
        }
    }

    fn obey(&mut self, now: Instant, output: Output) {
        let effect = match output {
            Output::Persist(_) if self.planted == Planted::ForgottenBallot => return,
            Output::Persist(bytes) => Effect::Save(Write::Ballot(bytes)),
            Output::SendClaim { to, claim, .. } => Effect::Send(number(&to), Message::Claim(claim)),
            Output::Reply { to, claim, ballot } => Effect::Send(number(&to), Message::Ballot(claim, ballot)),
            Output::SendDocument { to, document } => Effect::Send(number(&to), Message::Document(document)),
            Output::SendAbdicate { to, reign } => Effect::Send(number(&to), Message::Abdicate(reign)),
            Output::Broadcast(document) => Effect::Broadcast(document),
            Output::MergeFrom { granter } => {
                self.merging.insert(number(&granter), now + MERGE_TIMEOUT);
                self.exchange(number(&granter));
                return;
            }
            Output::Relinquish { reign } => Effect::Tell(format!("relinquishes term {}", reign.term)),
            Output::Became(role) => Effect::Tell(format!("becomes {role:?}")),
        };
        self.queue.push_back(effect);
    }

    /// A regular moment: pings, exchanges, timeouts.
    pub fn tick(&mut self, now: Instant) {
        let inputs = self.members.tick(now);
        self.feed_all(now, inputs);
        let notice = self.notice();
        for other in self.members.others().collect::<Vec<_>>() {
            self.send(other, Message::Ping(notice));
        }
        let failed: Vec<_> = self
            .merging
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(n, _)| *n)
            .collect();
        for other in failed {
            self.merging.remove(&other);
            let granter = node_id(other);
            self.feed(now, Input::MergeFailed { granter });
        }
        for other in self.members.alive() {
            let differs = self
                .members
                .ledger_of(other)
                .is_some_and(|root| root != self.facts.root());
            let rested = self
                .exchanged
                .get(&other)
                .is_none_or(|at| now.since(*at) >= EXCHANGE_PAUSE);
            if differs && rested {
                self.exchanged.insert(other, now);
                self.exchange(other);
            }
        }
    }

    /// The lid was opened.
    pub fn wake(&mut self, now: Instant) {
        let inputs = self.members.wake(now);
        self.feed_all(now, inputs);
    }

    /// A message came.
    pub fn receive(&mut self, now: Instant, from: usize, message: Message) {
        match message {
            Message::Ping(notice) => {
                let inputs = self.members.hear(now, from, notice, false);
                self.feed_all(now, inputs);
                let own = self.notice();
                self.send(from, Message::Ack(own));
            }
            Message::Ack(notice) => {
                let inputs = self.members.hear(now, from, notice, true);
                self.feed_all(now, inputs);
            }
            Message::Claim(claim) => self.feed(
                now,
                Input::ClaimReceived {
                    from: node_id(from),
                    claim,
                },
            ),
            Message::Ballot(claim, ballot) => self.feed(
                now,
                Input::BallotReceived {
                    from: node_id(from),
                    claim,
                    ballot: *ballot,
                },
            ),
            Message::Document(document) => {
                let document = *document;
                self.feed(
                    now,
                    Input::DocumentReceived {
                        from: node_id(from),
                        document,
                    },
                );
            }
            Message::Abdicate(reign) => self.feed(
                now,
                Input::Abdicated {
                    from: node_id(from),
                    reign,
                },
            ),
            Message::Order(reign) => self.order(reign),
            other => self.exchange_message(now, from, other),
        }
    }

    fn exchange_message(&mut self, now: Instant, from: usize, message: Message) {
        match message {
            Message::Push(meeting, records) => {
                let hashes = records.iter().map(Record::hash).collect();
                self.keep(
                    now,
                    records,
                    [Effect::Send(from, Message::Stored(meeting, hashes))],
                );
            }
            Message::Stored(meeting, hashes) => {
                for hash in hashes {
                    self.copied(hash, from);
                }
                if let Some(meeting) = meeting {
                    self.queue.push_back(Effect::Met(meeting, from));
                }
            }
            Message::Exchange(meeting, have) => {
                let own = self.facts.hashes();
                let lacking = have.difference(&own).copied().collect();
                let records = self.facts.beyond(&have);
                self.send(from, Message::Lacking(meeting, records, lacking));
            }
            Message::Lacking(meeting, records, wanted) => {
                let pushed = self.facts.these(&wanted);
                let granter = node_id(from);
                // A record that was outranked since it was offered is not there to give: what outranks it goes next time.
                let complete = pushed.len() == wanted.len();
                let then = if wanted.is_empty() {
                    Effect::Met(meeting, from)
                } else {
                    Effect::Send(from, Message::Push(complete.then_some(meeting), pushed))
                };
                let merged = self
                    .merging
                    .remove(&from)
                    .map(|_| Effect::Feed(Input::Merged { granter }));
                self.keep(now, records, [then].into_iter().chain(merged));
            }
            _ => {}
        }
    }

    fn order(&mut self, reign: ReignId) {
        let obeys = self.machine.obedience(reign) == Obedience::Obey;
        if obeys || self.planted == Planted::BlindObedience {
            self.obeyed.push(reign);
        }
    }

    /// Merges records; `then` is done once they are synced.
    fn keep(&mut self, now: Instant, records: Vec<Record>, then: impl IntoIterator<Item = Effect>) {
        let before = self.facts.root();
        for record in &records {
            self.facts.merge(record);
        }
        let root = self.facts.root();
        // Also of records that are known: they may wait in the queue, and the answer must not overtake them.
        let save = Effect::Save(Write::Records(records));
        if self.planted == Planted::HastyAnswer {
            self.queue.extend(then);
            self.queue.push_back(save);
        } else {
            self.queue.push_back(save);
            self.queue.extend(then);
        }
        if root != before {
            self.feed(now, Input::Ledger(root));
        }
    }

    /// Writes a record under its own reign, if it may; answers with the record.
    pub fn write(&mut self, now: Instant, key: String) -> Option<Record> {
        let Role::Leading { reign, ready: true } = self.machine.role() else {
            return None;
        };
        self.written += 1;
        let value = SettingV1 {
            version: self.facts.view().setting_version(&key) + 1,
            value: String::new(),
        };
        let body = RecordV1 {
            author: node_id(self.number),
            incarnation: self.incarnation,
            sequence: self.written,
            prev: self.last,
            reign,
            request: None,
            written_ms: 0,
            entries: vec![value.entry(&key).ok()?],
        };
        let record = Record::write(body, &MESH, &ToyKey(node_id(self.number))).ok()?;
        self.last = record.hash();
        self.copies.insert(record.hash(), BTreeSet::new());
        self.unanswered.insert(record.hash(), record.clone());
        let pushes: Vec<_> = self
            .members
            .alive()
            .into_iter()
            .map(|to| Effect::Send(to, Message::Push(None, vec![record.clone()])))
            .collect();
        let own = [Effect::Copied(record.hash())];
        self.keep(now, vec![record.clone()], own.into_iter().chain(pushes));
        Some(record)
    }

    /// Sends an order to everybody alive, if it may.
    pub fn command(&mut self) {
        if let Role::Leading { reign, ready: true } = self.machine.role() {
            for other in self.members.alive() {
                self.send(other, Message::Order(reign));
            }
        }
    }

    /// `node` synced a record of this life.
    pub fn copied(&mut self, hash: RecordHash, node: usize) {
        if let Some(copies) = self.copies.get_mut(&hash) {
            copies.insert(node);
        }
    }

    fn exchange(&mut self, other: usize) {
        // The world numbers meetings when they begin.
        self.send(other, Message::Exchange(0, self.facts.hashes()));
    }

    fn send(&mut self, to: usize, message: Message) {
        self.queue.push_back(Effect::Send(to, message));
    }

    fn notice(&mut self) -> Notice {
        self.notices += 1;
        Notice {
            incarnation: self.incarnation,
            sequence: self.notices,
            reign: self.machine.role().reign(),
            ledger: self.root(),
        }
    }

    fn root(&self) -> Digest {
        self.facts.root()
    }
}
