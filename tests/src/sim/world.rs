//! The world: a clock, a queue of events, the nodes, and what is between them. Nothing here decides for a node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pacmesh_protocol::{
    ids::{Digest, Incarnation},
    ledger::record::{Record, ReignId},
    machine::{Instant, Machine},
    reign::{
        Input,
        document::{Ballot, CLAIM_LIMIT, Claim, Document},
    },
};

use super::{
    dice::Dice,
    faults::{self, Fault, Planted},
    membership::PING,
    message::Message,
    network::Network,
    node::{Effect, Node},
};

/// What happened in a step that an invariant may care about.
#[derive(Debug, Clone)]
pub enum Note {
    /// A claim went out.
    Claimed(Digest, Claim),
    /// A grant went out: the granter, and the digest of the claim.
    Granted(usize, Digest),
    /// A reign was told.
    Led(Document),
    /// An order of this reign was obeyed by that node.
    Obeyed {
        /// By whom.
        node: usize,
        /// Whose order.
        reign: ReignId,
    },
    /// A record was answered with success.
    Answered {
        /// Which.
        record: Record,
        /// The nodes that said that it is synced.
        copies: BTreeSet<usize>,
    },
    /// An exchange is complete.
    Met {
        /// Who took part.
        nodes: [usize; 2],
        /// All that either held when it was asked.
        records: Vec<Record>,
    },
}

/// What the two sides of an exchange held.
#[derive(Debug)]
struct Meeting {
    asker: Vec<Record>,
    asked: Option<Vec<Record>>,
}

#[derive(Debug)]
enum Event {
    Deliver(usize, usize, Message),
    Synced(usize, Incarnation),
    Wake(usize, Incarnation),
    Tick(usize, Incarnation),
    Rise(usize, Incarnation),
    Work,
    Fault(Fault),
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// The nodes, by number.
    pub nodes: Vec<Node>,
    /// Grows whenever a disk changes.
    pub disk_changes: u64,
    now: Instant,
    dice: Dice,
    network: Network,
    events: BTreeMap<(Instant, u64), Event>,
    drawn: u64,
    planted: Planted,
    chaos: bool,
    notes: Vec<Note>,
    meetings: BTreeMap<u64, Meeting>,
    log: Option<Vec<String>>,
}

impl World {
    /// A world at its beginning: half of all seeds have three nodes, the others one to seven.
    pub fn new(seed: u64, planted: Planted, chaos: Duration, log: bool) -> Self {
        let mut dice = Dice::new(seed);
        let count = if dice.chance(500) { 3 } else { dice.index(7) + 1 };
        let network = Network {
            loss: dice.between(0, 150),
            twice: dice.between(0, 80),
            slow: dice.between(0, 100),
            ..Network::default()
        };
        let faults = faults::schedule(count, chaos, &mut dice);
        let mut world = Self {
            nodes: (0..count).map(|number| Node::new(number, count)).collect(),
            disk_changes: 0,
            now: Instant::at(Duration::from_secs(1)),
            dice,
            network,
            events: BTreeMap::new(),
            drawn: 0,
            planted,
            chaos: true,
            notes: Vec::new(),
            meetings: BTreeMap::new(),
            log: log.then(Vec::new),
        };
        for node in 0..count {
            let after = world.dice.milliseconds(0, 400);
            world.after(after, Event::Fault(Fault::Start(node)));
        }
        for (at, fault) in faults {
            world.after(at, Event::Fault(fault));
        }
        world.after(Duration::from_millis(500), Event::Work);
        world
    }

    /// The virtual moment.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What happened since it was last taken.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The event log, if one was kept.
    pub fn take_log(&mut self) -> Vec<String> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Lets the next thing happen, if it is due before `end`; else it is `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        match self.events.first_key_value() {
            Some(((at, _), _)) if *at <= end => {}
            _ => {
                self.now = end;
                return false;
            }
        }
        if let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            self.happen(event);
        }
        true
    }

    /// Ends the chaos: everybody runs and reaches everybody.
    pub fn heal_everything(&mut self) {
        self.tell(None, "heal".to_owned());
        self.chaos = false;
        self.network = Network::default();
        self.events.retain(|_, event| !matches!(event, Event::Fault(_)));
        for node in 0..self.nodes.len() {
            self.fault(Fault::Start(node));
            if self.nodes[node].asleep_until.is_some() {
                self.rise(node);
            }
        }
    }

    /// The node that leads writes one record.
    pub fn write_on_master(&mut self) {
        for node in 0..self.nodes.len() {
            self.write(node, format!("after-{node}"));
        }
    }

    fn happen(&mut self, event: Event) {
        let (node, life) = match &event {
            Event::Deliver(from, to, message) => {
                if self.nodes[*to].asleep_until.is_none() {
                    let (from, to, message) = (*from, *to, message.clone());
                    self.deliver(from, to, message);
                }
                return;
            }
            Event::Work => return self.work(),
            Event::Fault(fault) => return self.fault(fault.clone()),
            Event::Synced(node, life)
            | Event::Wake(node, life)
            | Event::Tick(node, life)
            | Event::Rise(node, life) => (*node, *life),
        };
        if self.nodes[node].life.as_ref().map(|alive| alive.incarnation) != Some(life) {
            return;
        }
        match (self.nodes[node].asleep_until, &event) {
            (Some(_), Event::Rise(..)) => self.rise(node),
            (Some(until), _) => {
                let wait = until.since(self.now) + Duration::from_millis(1);
                self.after(wait, event);
            }
            (None, _) => self.moment(node, life, &event),
        }
    }

    fn moment(&mut self, node: usize, life: Incarnation, event: &Event) {
        let now = self.now;
        match event {
            Event::Synced(..) => self.synced(node),
            Event::Tick(..) => {
                self.with(node, |alive| alive.tick(now));
                self.after(PING, Event::Tick(node, life));
            }
            Event::Wake(..) => self.with(node, |alive| {
                if alive.wake_at.is_some_and(|at| at <= now) {
                    alive.wake_at = None;
                    alive.feed(now, Input::Wake);
                }
            }),
            _ => {}
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        if !message.is_chatter() && self.log.is_some() && self.nodes[to].life.is_some() {
            self.tell(Some(to), format!("hears {} of n{from}", message.name()));
        }
        let now = self.now;
        self.with(to, |life| life.receive(now, from, message));
    }

    fn synced(&mut self, node: usize) {
        let Some(write) = self.nodes[node].life.as_mut().and_then(|life| life.saving.take()) else {
            return;
        };
        self.nodes[node].disk.sync(&write);
        self.disk_changes += 1;
        self.pump(node);
    }

    /// Lets a node do something, then what it decided.
    fn with(&mut self, node: usize, act: impl FnOnce(&mut super::node::Life)) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            act(life);
            let obeyed = std::mem::take(&mut life.obeyed);
            self.notes
                .extend(obeyed.into_iter().map(|reign| Note::Obeyed { node, reign }));
            self.pump(node);
        }
    }

    /// Obeys a node's queue up to the next write, and arranges its wake-up.
    fn pump(&mut self, node: usize) {
        while let Some(life) = self.nodes[node]
            .life
            .as_mut()
            .filter(|life| life.saving.is_none())
        {
            let Some(effect) = life.queue.pop_front() else {
                break;
            };
            self.act(node, effect);
        }
        self.answer(node);
        self.arrange_wakeup(node);
    }

    fn arrange_wakeup(&mut self, node: usize) {
        let soonest = self.now + Duration::from_millis(1);
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let wanted = life.machine.next_wakeup().map(|at| at.max(soonest));
        if wanted != life.wake_at && wanted.is_some() {
            life.wake_at = wanted;
            let (incarnation, wait) = (life.incarnation, wanted.map(|at| at.since(self.now)));
            self.after(wait.unwrap_or_default(), Event::Wake(node, incarnation));
        } else if wanted.is_none() {
            life.wake_at = None;
        }
    }

    fn act(&mut self, node: usize, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Save(write) => {
                let wait = self.dice.milliseconds(1, 12);
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.saving = Some(write);
                    let incarnation = life.incarnation;
                    self.after(wait, Event::Synced(node, incarnation));
                }
            }
            Effect::Send(to, message) => self.send(node, to, message),
            Effect::Broadcast(document) => {
                self.notes.push(Note::Led((*document).clone()));
                for to in (0..self.nodes.len()).filter(|to| *to != node) {
                    self.send(node, to, Message::Document(document.clone()));
                }
            }
            Effect::Feed(input) => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.feed(now, input);
                }
            }
            Effect::Copied(record) => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.copied(record, node);
                }
            }
            Effect::Met(meeting, other) => {
                if let Some(Meeting { asker, asked }) = self.meetings.remove(&meeting) {
                    let records = asker.into_iter().chain(asked.into_iter().flatten()).collect();
                    self.notes.push(Note::Met {
                        nodes: [node, other],
                        records,
                    });
                }
            }
            Effect::Tell(text) => self.tell(Some(node), text),
        }
    }

    fn send(&mut self, from: usize, to: usize, mut message: Message) {
        self.note_message(from, &mut message);
        let delays = self.network.deliveries(from, to, &mut self.dice);
        if delays.is_empty() && !message.is_chatter() && self.log.is_some() {
            self.tell(Some(from), format!("sends {} to n{to}, lost", message.name()));
        }
        for delay in delays {
            self.after(delay, Event::Deliver(from, to, message.clone()));
        }
    }

    /// Writes down what a message shows to the world, and numbers a meeting that it begins.
    fn note_message(&mut self, from: usize, message: &mut Message) {
        match message {
            Message::Claim(claim) => {
                if let Ok(body) = claim.peek(CLAIM_LIMIT) {
                    self.notes.push(Note::Claimed(Digest::of(&claim.body), body));
                }
            }
            Message::Ballot(claim, ballot) if matches!(**ballot, Ballot::Granted { .. }) => {
                self.notes.push(Note::Granted(from, *claim));
            }
            Message::Exchange(meeting, have) => {
                self.drawn += 1;
                *meeting = self.drawn;
                let life = self.nodes[from].life.as_ref();
                let asker = life.map(|life| life.facts.these(have.iter())).unwrap_or_default();
                self.meetings.insert(*meeting, Meeting { asker, asked: None });
            }
            Message::Lacking(meeting, records, _) => {
                // A question that arrives twice is answered twice; either answer may come through.
                if let Some(meeting) = self.meetings.get_mut(meeting) {
                    meeting.asked.get_or_insert_with(|| records.clone());
                }
            }
            _ => {}
        }
    }

    /// Answers the records of a node that have enough copies: two, or as many as there are nodes.
    fn answer(&mut self, node: usize) {
        let target = self.nodes.len().min(2);
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let ready: Vec<_> = life
            .copies
            .iter()
            .filter(|(_, c)| c.len() >= target)
            .map(|(record, _)| *record)
            .collect();
        for record in ready {
            let copies = life.copies.remove(&record);
            if let Some((copies, record)) = copies.zip(life.unanswered.remove(&record)) {
                self.notes.push(Note::Answered { record, copies });
            }
        }
    }

    fn work(&mut self) {
        if !self.chaos {
            return;
        }
        for node in 0..self.nodes.len() {
            if self.dice.chance(300) {
                let key = self.dice.index(12);
                self.write(node, format!("key-{key}"));
            }
            if self.nodes[node].asleep_until.is_none() {
                self.with(node, super::node::Life::command);
            }
        }
        let wait = self.dice.milliseconds(50, 300);
        self.after(wait, Event::Work);
    }

    fn write(&mut self, node: usize, key: String) {
        if self.nodes[node].asleep_until.is_some() {
            return;
        }
        let now = self.now;
        let mut written = None;
        self.with(node, |life| written = life.write(now, key));
        if let Some(record) = written {
            self.tell(Some(node), format!("writes {:?}", record.hash()));
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.log.is_some() && !matches!(&fault, Fault::Start(node) if self.nodes[*node].life.is_some()) {
            self.tell(None, format!("{fault:?}"));
        }
        match fault {
            Fault::Crash(node) => {
                let survives = self.dice.chance(500);
                self.nodes[node].crash(survives);
                self.disk_changes += 1;
            }
            Fault::Start(node) => self.start(node),
            Fault::Sleep(node, span) => self.sleep(node, span),
            Fault::Cut(side) => self.network.cut(&side),
            Fault::Part(a, b) => self.network.part(a, b),
            Fault::Heal => self.network.heal(),
            Fault::Loss(loss) => self.network.loss = loss,
            Fault::Abdicate(node) => {
                let now = self.now;
                if self.nodes[node].asleep_until.is_none() {
                    self.with(node, |life| life.feed(now, Input::Abdicate { to: None }));
                }
            }
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].life.is_some() {
            return;
        }
        let (count, now, seed) = (self.nodes.len(), self.now, self.dice.any());
        self.nodes[node].start(count, now, seed, self.planted);
        let incarnation = self.nodes[node].disk.incarnation;
        let wait = self.dice.milliseconds(0, 100);
        self.after(wait, Event::Tick(node, incarnation));
        self.pump(node);
    }

    fn sleep(&mut self, node: usize, span: Duration) {
        let asleep = &mut self.nodes[node];
        if let (Some(life), None) = (&asleep.life, asleep.asleep_until) {
            let incarnation = life.incarnation;
            asleep.asleep_until = Some(self.now + span);
            self.after(span, Event::Rise(node, incarnation));
        }
    }

    fn rise(&mut self, node: usize) {
        self.nodes[node].asleep_until = None;
        let now = self.now;
        self.with(node, |life| life.wake(now));
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.drawn += 1;
        self.events.insert((self.now + wait, self.drawn), event);
    }

    fn tell(&mut self, node: Option<usize>, text: String) {
        let at = self.now.since_origin();
        if let Some(log) = &mut self.log {
            let who = node.map_or_else(|| "world".to_owned(), |node| format!("n{node}"));
            log.push(format!("{:>9.3}s {who:<5} {text}", at.as_secs_f64()));
        }
    }
}
