//! A small world that goes wrong at random and then behaves: any sources, workers that fail, vanish and return,
//! reports that come twice and out of order, masters that change. Every accepted job ends exactly once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixtures::*;
use crate::{
    ids::JobId,
    ledger::kinds::JobState,
    schedule::{Input, Liveness, Output, Schedule, WorkerState},
    wire::ProbeError,
    work::{FailureClass, Fence, Inventory, Order, Outcome, Report},
};

/// How often the behaving world goes round before a job that is still open is an error.
const PATIENCE: usize = 60;

/// A machine that builds.
#[derive(Debug)]
struct Builder {
    liveness: Liveness,
    incarnation: u64,
    running: BTreeMap<JobId, Order>,
    reports: BTreeMap<(JobId, Fence), Report>,
}

/// What is true of a source, whoever builds it.
#[derive(Debug, Clone)]
struct Source {
    needs: Vec<usize>,
    broken: bool,
}

#[derive(Debug)]
struct World {
    desk: Desk,
    seconds: u64,
    term: u64,
    sources: Vec<Source>,
    builders: Vec<Builder>,
    ledger: BTreeMap<JobId, JobState>,
    /// What the driver will say, in any order but for views.
    inbox: Vec<Input>,
    views: Vec<Input>,
    /// Fences whose result was handed over for publication, by reign.
    published: BTreeSet<(u64, JobId)>,
}

fn name(source: usize) -> String {
    format!("p{source}")
}

fn id(source: usize) -> JobId {
    job_id(&name(source))
}

impl World {
    fn new(sources: Vec<Source>, workers: usize) -> Self {
        let builder = |_| Builder {
            liveness: Liveness::Alive,
            incarnation: 1,
            running: BTreeMap::new(),
            reports: BTreeMap::new(),
        };
        let mut world = Self {
            desk: Desk::default(),
            seconds: 0,
            term: 0,
            ledger: (0..sources.len())
                .map(|source| (id(source), JobState::Queued))
                .collect(),
            sources,
            builders: (0..workers).map(builder).collect(),
            inbox: Vec::new(),
            views: Vec::new(),
            published: BTreeSet::new(),
        };
        world.new_reign();
        world
    }

    fn new_reign(&mut self) {
        self.term += 1;
        self.desk.schedule = Schedule::new();
        self.views.clear();
        self.tell(Input::Reign(reign(self.term)));
        let all = (0..self.sources.len()).collect::<Vec<_>>();
        self.tell(self.view_of(&all));
        self.tell(self.roster());
    }

    fn view_of(&self, sources: &[usize]) -> Input {
        let is_published = |source: &usize| self.ledger[&id(*source)] == JobState::Published;
        let packages = (0..self.sources.len()).filter(is_published);
        let packages = packages.map(|source| published(&name(source), &[])).collect();
        let jobs = sources
            .iter()
            .map(|source| ended(&name(*source), self.ledger[&id(*source)].clone()));
        view(packages, jobs.collect())
    }

    fn roster(&self) -> Input {
        let states = self
            .builders
            .iter()
            .enumerate()
            .map(|(number, builder)| WorkerState {
                incarnation: builder.incarnation,
                ..that_is(builder.liveness, worker(number as u8))
            });
        Input::Workers(states.collect())
    }

    fn source_of(&self, job: JobId) -> usize {
        (0..self.sources.len()).find(|source| id(*source) == job).unwrap()
    }

    /// Whether a source can end well: neither it nor anything that it needs is broken or was cancelled.
    fn is_doomed(&self, source: usize) -> bool {
        self.sources[source].broken
            || self.ledger[&id(source)] == JobState::Cancelled
            || self.sources[source]
                .needs
                .iter()
                .any(|need| self.is_doomed(*need))
    }

    fn tell(&mut self, input: Input) {
        for output in self.desk.say(self.seconds, input) {
            self.obey(output);
        }
    }

    fn in_reach(&self, worker: u8) -> bool {
        matches!(
            self.builders[usize::from(worker)].liveness,
            Liveness::Alive | Liveness::Suspect
        )
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::AskInventory { worker } if self.in_reach(worker.0[0]) => {
                let builder = &self.builders[usize::from(worker.0[0])];
                let inventory = Inventory {
                    running: builder.running.values().map(running).collect(),
                    reports: builder.reports.values().cloned().collect(),
                    pinned: Vec::new(),
                };
                self.inbox.push(has(worker, inventory));
            }
            Output::AskInventory { .. } => {}
            Output::Probe { job, worker, .. } => {
                let result = match self.in_reach(worker.0[0]) {
                    true => Ok(Box::new(self.probe_of(self.source_of(job)))),
                    false => Err(ProbeError::Worker("silent".to_owned())),
                };
                self.inbox.push(Input::Probed { job, result });
            }
            Output::Order { worker, order } => self.take_order(worker.0[0], *order),
            Output::Cancel { worker, job, fence } if self.in_reach(worker.0[0]) => {
                let running = &mut self.builders[usize::from(worker.0[0])].running;
                running.retain(|running, order| *running != job || order.fence > fence);
            }
            Output::Cancel { .. } | Output::AnswerPrepared { .. } => {}
            Output::Adopt {
                worker,
                job,
                old,
                new,
            } => self.adopt(worker.0[0], job, old, new),
            Output::Verify { report, .. } => self.inbox.push(Input::Verified {
                job: report.job,
                fence: report.fence,
                result: Ok(()),
            }),
            Output::Publish { job, report, .. } => {
                assert!(
                    self.published.insert((self.term, job)),
                    "published twice: {report:?}"
                );
                self.record(job, JobState::Published);
            }
            Output::Fail {
                job, class, error, ..
            } => {
                assert!(!class.is_workers_fault(), "inv4: {error}");
                assert!(self.is_doomed(self.source_of(job)), "inv4: {error}");
                self.record(job, JobState::Failed { class, error });
            }
            Output::CancelRecord { job } => self.record(job, JobState::Cancelled),
            Output::AckReport { worker, job, fence } if self.in_reach(worker.0[0]) => {
                self.builders[usize::from(worker.0[0])]
                    .reports
                    .remove(&(job, fence));
            }
            Output::AckReport { .. } => {}
        }
    }

    fn probe_of(&self, source: usize) -> crate::work::Probe {
        let needs: Vec<String> = self.sources[source]
            .needs
            .iter()
            .map(|need| name(*need))
            .collect();
        probe(
            &name(source),
            &needs.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    }

    fn take_order(&mut self, worker: u8, order: Order) {
        let source = self.source_of(order.job);
        assert_eq!(self.ledger[&order.job], JobState::Queued, "ordered after its end");
        for need in &self.sources[source].needs {
            assert_eq!(
                self.ledger[&id(*need)],
                JobState::Published,
                "ordered before what it needs"
            );
        }
        let result = if self.in_reach(worker) {
            Ok(0)
        } else {
            Err("silent".to_owned())
        };
        self.inbox.push(Input::Ordered {
            worker: node(worker),
            job: order.job,
            fence: order.fence,
            result,
        });
        if self.in_reach(worker) {
            self.builders[usize::from(worker)]
                .running
                .insert(order.job, order);
        }
    }

    fn adopt(&mut self, worker: u8, job: JobId, old: Fence, new: Fence) {
        let reachable = self.in_reach(worker);
        let running = &mut self.builders[usize::from(worker)].running;
        let order = running
            .get_mut(&job)
            .filter(|order| reachable && order.fence == old);
        let result = order.map_or(Err("no such attempt".to_owned()), |order| {
            order.fence = new;
            Ok(0)
        });
        self.inbox.push(Input::Ordered {
            worker: node(worker),
            job,
            fence: new,
            result,
        });
    }

    fn record(&mut self, job: JobId, state: JobState) {
        let before = self.ledger.insert(job, state).unwrap();
        assert_eq!(before, JobState::Queued, "{job:?} ended twice");
        let source = self.source_of(job);
        self.views.push(self.view_of(&[source]));
        self.inbox.push(Input::Recorded { job });
    }

    /// One attempt of `worker` ends; `by` decides how, as far as the source leaves a choice.
    fn finish(&mut self, worker: usize, by: u8) {
        let broken = |job: JobId| self.sources[self.source_of(job)].broken;
        let Some((job, order)) = self.builders[worker]
            .running
            .iter()
            .next()
            .map(|(j, o)| (*j, o.clone()))
        else {
            return;
        };
        let report = match by % 4 {
            0 => failed(&order, FailureClass::Disk),
            1 => Report {
                outcome: Outcome::Cancelled,
                ..built(&order)
            },
            _ if broken(job) => failed(&order, FailureClass::Build),
            _ => built(&order),
        };
        let builder = &mut self.builders[worker];
        builder.running.remove(&job);
        builder.reports.insert((job, report.fence), report.clone());
        self.send(worker, report);
    }

    fn send(&mut self, worker: usize, report: Report) {
        if self.in_reach(worker as u8) {
            self.inbox.push(Input::Report {
                worker: node(worker as u8),
                report: Box::new(report),
            });
        }
    }

    /// One thing happens; `what` and `which` are drawn at random.
    fn step(&mut self, what: u8, which: u8) {
        let worker = usize::from(which) % self.builders.len();
        match what % 16 {
            0..=4 if !self.inbox.is_empty() => {
                let input = self.inbox.swap_remove(usize::from(which) % self.inbox.len());
                self.tell(input);
            }
            5 if !self.views.is_empty() => {
                let input = self.views.remove(0);
                self.tell(input);
            }
            6..=8 => self.finish(worker, which / 16),
            9 => self.become_(
                worker,
                [
                    Liveness::Suspect,
                    Liveness::Unheard,
                    Liveness::Away,
                    Liveness::Lost,
                ][usize::from(which / 16 % 4)],
            ),
            10 => self.become_(worker, Liveness::Alive),
            11 => self.crash(worker),
            12 => self.pass(u64::from(which % 8)),
            13 => {
                let report = self.builders[worker].reports.values().next().cloned();
                report.into_iter().for_each(|report| self.send(worker, report));
            }
            14 if which.is_multiple_of(4) => self.new_reign(),
            15 if which.is_multiple_of(8) => {
                let source = usize::from(which / 8) % self.sources.len();
                self.tell(Input::Cancel { job: id(source) });
            }
            _ => {}
        }
    }

    fn become_(&mut self, worker: usize, liveness: Liveness) {
        self.builders[worker].liveness = liveness;
        self.tell(self.roster());
    }

    /// The machine loses all that it builds and starts again.
    fn crash(&mut self, worker: usize) {
        self.builders[worker].running.clear();
        self.builders[worker].incarnation += 1;
        self.become_(worker, Liveness::Alive);
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.tell(Input::Wake);
    }

    /// Everybody does their part, in order, until all jobs ended.
    fn behave(&mut self) {
        for builder in &mut self.builders {
            builder.liveness = Liveness::Alive;
        }
        self.tell(self.roster());
        for _ in 0..PATIENCE {
            self.pass(1);
            while !self.inbox.is_empty() || !self.views.is_empty() {
                let views = std::mem::take(&mut self.views);
                let inbox = std::mem::take(&mut self.inbox);
                views.into_iter().chain(inbox).for_each(|input| self.tell(input));
            }
            for worker in 0..self.builders.len() {
                self.finish(worker, 2);
                let reports: Vec<Report> = self.builders[worker].reports.values().cloned().collect();
                reports.into_iter().for_each(|report| self.send(worker, report));
            }
            let wakeup = self
                .desk
                .wakeup()
                .map_or(1, |at| at.since(super::fixtures::at(self.seconds)).as_secs());
            self.pass(wakeup);
        }
    }
}

fn sources() -> impl Strategy<Value = Vec<Source>> {
    let source = (any::<u8>(), 0..10_u8);
    prop::collection::vec(source, 1..7).prop_map(|drawn| {
        let source = |(number, (needs, fate)): (usize, &(u8, u8))| Source {
            needs: (0..number).filter(|other| needs >> other & 1 == 1).collect(),
            broken: *fate == 0,
        };
        drawn.iter().enumerate().map(source).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn inv4_every_accepted_job_ends_once_whatever_workers_and_masters_do(
        sources in sources(),
        workers in 1..4_usize,
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..250),
    ) {
        let mut world = World::new(sources, workers);
        for (what, which) in steps {
            world.step(what, which);
        }
        world.behave();
        for source in 0..world.sources.len() {
            let ended = match &world.ledger[&id(source)] {
                JobState::Published => !world.is_doomed(source),
                JobState::Failed { .. } => world.is_doomed(source),
                JobState::Cancelled => true,
                JobState::Queued => false,
            };
            let waiting = world.desk.waiting_for(world.seconds, &name(source));
            prop_assert!(ended, "{} is {:?}, waiting for {waiting}", name(source), world.ledger[&id(source)]);
        }
        let kept: usize = world.builders.iter().map(|builder| builder.reports.len()).sum();
        prop_assert_eq!(kept, 0, "reports are kept that nobody acknowledges");
        prop_assert!(world.desk.schedule.live_jobs(at(world.seconds)).is_empty());
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        sources in sources(),
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..80),
    ) {
        let run = || {
            let mut world = World::new(sources.clone(), 2);
            steps.iter().for_each(|(what, which)| world.step(*what, *which));
            format!("{:?}", world.inbox)
        };
        prop_assert_eq!(run(), run());
    }
}
