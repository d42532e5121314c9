//! Repair: while this node leads, what has fewer copies than wanted is found, and replicas are asked to keep it.
//!
//! [`Census`] decides; this drives it: tells it what records name and who is in reach, asks its questions, runs its
//! errands. Its task belongs to the leader and ends with the reign.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use pacmesh_protocol::{
    copies::{Census, Errand, Question, Replica},
    ids::{Digest, NodeId},
    ledger::named::{Named, Need},
    roles::Role,
    wire::{self, CopiesState, Reply, Request},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    copies::{KEEP_WAIT, count_copies, replicas},
    relay,
};
use crate::{clock, rooms::Rooms, settings::Settings};

/// Most questions that wait for the task.
const QUEUE: usize = 64;
/// Least time between two looks at what records name, unless somebody waits for the answer.
const LOOK: Duration = Duration::from_secs(1);
/// How long a replica may take to say what it holds.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How long somebody who asks waits until all replicas said what they hold.
const STANDING_WAIT: Duration = Duration::from_secs(3);
/// How long a node counts as about to go, and at most waits for the copies of what only it holds.
const LEAVING: Duration = Duration::from_secs(600);
/// By how much repair goes before new work: long enough for what is small, and nothing waits for what is not.
const HEAD_START: Duration = Duration::from_secs(1);
/// Most members that are named to a replica as having something.
const SOURCES: usize = 8;
/// How many of the blobs that are nowhere are named.
const NAMED: usize = 8;

/// What the task is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// How do the copies stand?
    Standing {
        /// The answer.
        reply: oneshot::Sender<CopiesState>,
    },
    /// A node is about to go.
    CopySole {
        /// Who.
        node: NodeId,
        /// What is still only there.
        reply: oneshot::Sender<Vec<Digest>>,
    },
}

/// The leader's way to its repair.
#[derive(Debug, Clone)]
pub(super) struct RepairHandle {
    asks: mpsc::Sender<Ask>,
    mending: watch::Receiver<bool>,
}

impl RepairHandle {
    /// A handle, and the work that the caller runs as long as it leads.
    pub(super) fn start(rooms: Arc<Rooms>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, asks) = mpsc::channel(QUEUE);
        let (mending, watched) = watch::channel(false);
        let handle = Self {
            asks: sender,
            mending: watched,
        };
        let repair = Repair {
            rooms,
            census: Census::new(),
            named: Named::default(),
            tasks: JoinSet::new(),
            mending,
            leaving: BTreeMap::new(),
            is_stale: true,
            looked: None,
            waiting: Vec::new(),
            evacuations: Vec::new(),
        };
        (handle, repair.run(asks))
    }

    /// Asks; a full queue drops the question, and whoever asks is told that this node does not answer it.
    pub(super) fn ask(&self, ask: Ask) {
        if let Err(error) = self.asks.try_send(ask) {
            tracing::debug!(%error, "a question about copies was dropped");
        }
    }

    /// Waits while something in force gets its copies, but not for long: work goes on beside greater repairs.
    pub(super) async fn head_start(&self) {
        let mut mending = self.mending.clone();
        // An error says that the reign ends, and too late is late enough.
        let _ = tokio::time::timeout(HEAD_START, mending.wait_for(|mending| !mending)).await;
    }
}

enum Done {
    Answered(Question, Option<BTreeSet<Digest>>),
    Ended(Errand, Option<BTreeSet<Digest>>),
}

struct Repair {
    rooms: Arc<Rooms>,
    census: Census,
    named: Named,
    tasks: JoinSet<Done>,
    mending: watch::Sender<bool>,
    /// Who said that it goes, and until when that is believed.
    leaving: BTreeMap<NodeId, Instant>,
    is_stale: bool,
    looked: Option<Instant>,
    waiting: Vec<(Instant, oneshot::Sender<CopiesState>)>,
    evacuations: Vec<(Instant, NodeId, oneshot::Sender<Vec<Digest>>)>,
}

impl Repair {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut views = self.rooms.ledger.subscribe();
        let mut table = self.rooms.discovery.table();
        loop {
            self.look().await;
            self.send();
            self.tell();
            let wake = self.sleep_for();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.hear(ask),
                    None => break,
                },
                Some(Ok(done)) = self.tasks.join_next() => self.take(done),
                changed = views.changed() => match changed {
                    Ok(()) => self.is_stale = true,
                    Err(_) => break,
                },
                changed = table.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(wake) => {}
            }
        }
    }

    fn hear(&mut self, ask: Ask) {
        let now = Instant::now();
        match ask {
            Ask::Standing { reply } => self.waiting.push((now + STANDING_WAIT, reply)),
            Ask::CopySole { node, reply } => {
                self.leaving.insert(node, now + LEAVING);
                self.evacuations.push((now + LEAVING, node, reply));
            }
        }
    }

    fn take(&mut self, done: Done) {
        let now = clock::now();
        match done {
            Done::Answered(question, held) => self.census.answered(now, &question, held.as_ref()),
            Done::Ended(errand, missing) => self.census.ended(now, &errand, missing.as_ref()),
        }
    }

    /// Tells the census what is named and who is in reach.
    async fn look(&mut self) {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if self.is_stale && (is_due || !self.waiting.is_empty()) {
            match self.rooms.ledger.named().await {
                Ok(named) => {
                    self.is_stale = false;
                    let wanted = Settings(&self.rooms.ledger.view()).copies();
                    self.census.set_named(wanted, &named);
                    self.named = named;
                }
                Err(error) => tracing::debug!(%error, "the ledger does not say what it names"),
            }
            self.looked = Some(Instant::now());
        }
        let now = Instant::now();
        self.leaving.retain(|_, until| *until > now);
        let table = self.rooms.discovery.table().borrow().clone();
        let of = |node: NodeId| {
            let record = table.record(&node);
            let replica = Replica {
                free_mib: record.map_or(0, |record| record.free_mib),
                leaves: self.leaving.contains_key(&node) || record.is_some_and(|record| record.draining),
            };
            (node, replica)
        };
        let replicas = replicas(&self.rooms).into_iter().map(of).collect();
        self.census.set_replicas(clock::now(), &replicas);
    }

    /// Asks what the census wants to know, and runs what it plans.
    fn send(&mut self) {
        let now = clock::now();
        for question in self.census.questions(now) {
            let rooms = self.rooms.clone();
            self.tasks.spawn(async move {
                let request = Request::Have {
                    blobs: question.blobs.clone(),
                };
                let answer = rooms.ask(question.replica, request, ANSWER_WAIT).await;
                Done::Answered(question, blobs_of(answer))
            });
        }
        for errand in self.census.plan(now) {
            let (rooms, from) = (self.rooms.clone(), self.sources(&errand));
            tracing::info!(replica = %rooms.name_of(&errand.replica), blobs = errand.blobs.len(), "having copies made");
            self.tasks.spawn(async move {
                let request = Request::Keep {
                    blobs: errand.blobs.clone(),
                    from,
                };
                let missing = blobs_of(rooms.ask(errand.replica, request, KEEP_WAIT).await);
                Done::Ended(errand, missing)
            });
        }
    }

    /// Who may have what is to be copied: its holders; where there are none, everybody else in reach.
    fn sources(&self, errand: &Errand) -> Vec<NodeId> {
        let holders = self.census.holders(&errand.blobs);
        let others = self.rooms.transport.connected();
        let all = holders
            .iter()
            .copied()
            .chain(others.into_iter().filter(|_| holders.is_empty()));
        all.filter(|node| *node != errand.replica).take(SOURCES).collect()
    }

    /// Answers those who wait.
    fn tell(&mut self) {
        let now = Instant::now();
        let is_known = !self.is_stale && self.census.is_known();
        let is_ripe = |until: &Instant| is_known || *until <= now;
        if self.waiting.iter().any(|(until, _)| is_ripe(until)) {
            let state = self.state();
            let (ripe, rest) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|(until, _)| is_ripe(until));
            self.waiting = rest;
            let ripe: Vec<_> = ripe;
            for (_, reply) in ripe {
                // Whoever asked may have gone.
                let _ = reply.send(state.clone());
            }
        }
        for (until, node, reply) in std::mem::take(&mut self.evacuations) {
            let sole = self.census.sole(&node);
            let nobody = !self.census.can_take_from(&node);
            if until <= now || (is_known && (sole.is_empty() || nobody)) {
                let _ = reply.send(sole);
            } else if !reply.is_closed() {
                self.evacuations.push((until, node, reply));
            }
        }
        let mending = self.census.is_mending();
        self.mending
            .send_if_modified(|told| std::mem::replace(told, mending) != mending);
    }

    fn state(&self) -> CopiesState {
        let standing = self.census.standing();
        let in_force = |blob: &Digest| match self.named.get(blob) {
            Some((Need::InForce, what)) => Some(what.to_string()),
            _ => None,
        };
        let nowhere: Vec<String> = standing.nowhere.iter().filter_map(in_force).collect();
        CopiesState {
            wanted: Settings(&self.rooms.ledger.view()).copies(),
            short: standing.short as u32,
            coming: standing.coming as u32,
            nowhere_count: nowhere.len() as u32,
            nowhere: nowhere.into_iter().take(NAMED).collect(),
        }
    }

    fn sleep_for(&self) -> Duration {
        let now = Instant::now();
        let census = self.census.next_wakeup(clock::now());
        let of_census = census.map(|at| at.since(clock::now()));
        let of_look = self
            .looked
            .filter(|_| self.is_stale)
            .map(|looked| LOOK.saturating_sub(looked.elapsed()));
        let waiting = self.waiting.iter().map(|(until, _)| *until);
        let leaving = self.evacuations.iter().map(|(until, ..)| *until);
        let deadlines = waiting
            .chain(leaving)
            .map(|until| until.saturating_duration_since(now));
        let next = deadlines.chain(of_census).chain(of_look).min();
        next.unwrap_or(Duration::from_secs(60))
            .max(Duration::from_millis(10))
    }
}

fn blobs_of(answer: Result<Reply, String>) -> Option<BTreeSet<Digest>> {
    match answer {
        Ok(Reply::Blobs { blobs }) => Some(blobs.into_iter().collect()),
        other => {
            tracing::debug!(?other, "a replica did not answer about copies");
            None
        }
    }
}

/// How the copies stand, by the word of the master; where there is none, as far as this node reaches.
pub async fn copies_state(rooms: &Arc<Rooms>) -> CopiesState {
    let patience = STANDING_WAIT + Duration::from_secs(1);
    if let Ok(Reply::Copies(state)) = relay::ask_master(rooms, wire::Errand::Copies, patience).await {
        return state;
    }
    let wanted = Settings(&rooms.ledger.view()).copies();
    let named = rooms.ledger.named().await.unwrap_or_default();
    let counted = named.iter().filter(|(_, need, _)| *need != Need::Void);
    let blobs = counted.map(|(blob, ..)| *blob).collect();
    let counts = count_copies(rooms, &blobs).await;
    CopiesState {
        wanted,
        short: counts.values().filter(|count| **count < wanted).count() as u32,
        ..CopiesState::default()
    }
}

/// Has others keep what only this node holds, before it goes; how many blobs are still only here when `patience` ends
/// or nothing more can be done, 0 for none.
///
/// # Errors
///
/// With a reason for people where no master answers.
pub async fn copy_sole(rooms: &Arc<Rooms>, patience: Duration) -> Result<usize, String> {
    if !rooms.ledger.view().has_role(&rooms.node, Role::Storage) {
        return Ok(0);
    }
    let master = rooms.master.leadership().master();
    let master =
        master.ok_or("no master in reach to have copies made: start one of the machines that may lead")?;
    match rooms.ask(master, Request::CopySole, patience).await? {
        Reply::Blobs { blobs } => Ok(blobs.len()),
        Reply::Refused { reason } => Err(reason),
        _ => Err("the master answered something else: is it of the same version?".to_owned()),
    }
}
