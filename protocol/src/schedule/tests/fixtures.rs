//! Things and situations: sources, workers, reports, and a schedule that leads.

use std::time::Duration;

use crate::{
    ids::{Digest, JobId, NodeId, Sha256},
    ledger::{
        kinds::{BuildOptions, Deliver, JobState, JobV1, Origin},
        record::ReignId,
    },
    machine::{Instant, Machine},
    names::{Architecture, PackageName, RepositoryName},
    schedule::{Catalog, CatalogPackage, Input, Liveness, Output, Schedule, ViewUpdate, WorkerState},
    work::{
        BuiltPackage, Capability, FailureClass, Fence, Inventory, Order, Outcome, Probe, ProbedPackage,
        Report, RunningAttempt, Stage,
    },
};

pub(super) const ENVIRONMENT: &str = "host:debian-12";

pub(super) fn arch() -> Architecture {
    "x86_64".parse().unwrap()
}

pub(super) fn repository() -> RepositoryName {
    "farm".parse().unwrap()
}

pub(super) fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// The moment `seconds` after the beginning.
pub(super) fn at(seconds: u64) -> Instant {
    Instant::at(Duration::from_secs(100 + seconds))
}

pub(super) fn reign(term: u64) -> ReignId {
    ReignId {
        term,
        node: node(200),
        incarnation: 1,
    }
}

pub(super) fn fence(term: u64, number: u64) -> Fence {
    Fence {
        reign: reign(term),
        number,
    }
}

/// A source `name` of version 1-1 that makes one package and needs `depends` to build and to run.
pub(super) fn probe(name: &str, depends: &[&str]) -> Probe {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Probe {
        base: name.parse().unwrap(),
        version: "1-1".parse().unwrap(),
        arches: vec![arch()],
        has_pkgver: false,
        packages: vec![ProbedPackage {
            name: name.parse().unwrap(),
            arch: arch(),
            depends: owned(depends),
            provides: Vec::new(),
        }],
        makedepends: Vec::new(),
        checkdepends: Vec::new(),
    }
}

pub(super) fn job_id(name: &str) -> JobId {
    JobId(Digest::of(name.as_bytes()).0)
}

pub(super) fn job(name: &str) -> JobV1 {
    JobV1 {
        generation: 1,
        state: JobState::Queued,
        repository: repository(),
        arch: arch(),
        base: name.parse().unwrap(),
        version: "1-1".parse().unwrap(),
        tree: Digest::of(name.as_bytes()),
        origin: Origin::Directory,
        options: BuildOptions::default(),
        nonce: None,
        makepkg_conf: Digest::of(b"makepkg.conf"),
        snapshot: None,
        environment: ENVIRONMENT.parse().unwrap(),
        epoch: 1,
        day: 0,
        submitter: node(200),
        submitted_ms: 0,
        deliver: Deliver::Repository,
        end: None,
    }
}

pub(super) fn ended(name: &str, state: JobState) -> JobV1 {
    JobV1 { state, ..job(name) }
}

pub(super) fn worker(number: u8) -> WorkerState {
    WorkerState {
        capability: Capability {
            node: node(number),
            environment: ENVIRONMENT.parse().unwrap(),
            arches: vec![arch()],
            slots: 1,
        },
        name: format!("worker-{number}").parse().unwrap(),
        incarnation: 1,
        liveness: Liveness::Alive,
        draining: false,
        load: 0,
    }
}

pub(super) fn that_is(liveness: Liveness, worker: WorkerState) -> WorkerState {
    WorkerState { liveness, ..worker }
}

/// `name` as published from [`probe`]`(name, depends)`.
pub(super) fn published(name: &str, depends: &[&str]) -> CatalogPackage {
    CatalogPackage {
        name: name.parse().unwrap(),
        version: "1-1".parse().unwrap(),
        base: name.parse().unwrap(),
        provides: Vec::new(),
        depends: depends.iter().map(|text| (*text).to_owned()).collect(),
        file: format!("{name}-1-1-x86_64.pkg.tar.zst").parse().unwrap(),
        archive: archive(name),
    }
}

pub(super) fn archive(name: &str) -> Digest {
    Digest::of(format!("archive of {name}").as_bytes())
}

/// A catalog of `packages` on a host that has gcc.
pub(super) fn catalog(packages: Vec<CatalogPackage>) -> Catalog {
    Catalog::new(packages, ["gcc".to_owned()].into())
}

pub(super) fn view(packages: Vec<CatalogPackage>, jobs: Vec<JobV1>) -> Input {
    let jobs = jobs
        .into_iter()
        .map(|job| (job_id(job.base.as_str()), job))
        .collect();
    Input::View(Box::new(ViewUpdate {
        catalogs: vec![(repository(), arch(), catalog(packages))],
        jobs,
        forgotten: Vec::new(),
    }))
}

/// What came out of the attempt `order`, at version 1-1, with the inputs that were ordered.
pub(super) fn built(order: &Order) -> Report {
    let packages = order.probe.packages.iter().map(|package| BuiltPackage {
        file: format!("{}-1-1-{}.pkg.tar.zst", package.name, package.arch)
            .parse()
            .unwrap(),
        size: 1,
        sha256: Sha256([0; 32]),
        archive: archive(package.name.as_str()),
        signature: None,
    });
    Report {
        stage: Stage::Done,
        outcome: Outcome::Built(packages.collect()),
        ..failed(order, FailureClass::Build)
    }
}

pub(super) fn failed(order: &Order, class: FailureClass) -> Report {
    Report {
        job: order.job,
        generation: order.generation,
        fence: order.fence,
        stage: Stage::Build,
        version: Some("1-1".parse().unwrap()),
        srcinfo: None,
        outcome: Outcome::Failed {
            class,
            error: "it broke".to_owned(),
        },
        log: Some(Digest::of(b"log")),
        inputs: order.inputs.iter().map(|input| input.archive).collect(),
        environment: order.environment.clone(),
        started_ms: 5,
    }
}

pub(super) fn running(order: &Order) -> RunningAttempt {
    RunningAttempt {
        order: order.clone(),
        stage: Stage::Build,
        started_ms: 5,
    }
}

/// A schedule under test: what is said to it, and what it wants.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) schedule: Schedule,
}

impl Desk {
    /// A reign of term 1 at second 0 with these workers, none of which has anything.
    pub(super) fn leading(workers: &[WorkerState]) -> Self {
        let mut desk = Self::default();
        desk.say(0, Input::Reign(reign(1)));
        desk.say(0, view(Vec::new(), Vec::new()));
        desk.say(0, Input::Workers(workers.to_vec()));
        for worker in workers {
            desk.say(0, empty_handed(worker.capability.node));
        }
        desk
    }

    pub(super) fn say(&mut self, seconds: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.schedule.handle(at(seconds), input, &mut out);
        out
    }

    pub(super) fn wakeup(&self) -> Option<Instant> {
        self.schedule.next_wakeup()
    }

    /// Submits sources, all probed, and returns what follows.
    pub(super) fn submit(
        &mut self,
        seconds: u64,
        packages: Vec<CatalogPackage>,
        probes: &[Probe],
    ) -> Vec<Output> {
        let jobs = probes.iter().map(|probe| job(probe.base.as_str())).collect();
        let mut out = self.say(seconds, view(packages, jobs));
        for probe in probes {
            out.extend(self.probed(seconds, probe));
        }
        out.retain(|output| !matches!(output, Output::Probe { .. }));
        out
    }

    pub(super) fn probed(&mut self, seconds: u64, probe: &Probe) -> Vec<Output> {
        let input = Input::Probed {
            job: job_id(probe.base.as_str()),
            result: Ok(Box::new(probe.clone())),
        };
        self.say(seconds, input)
    }

    pub(super) fn report(&mut self, seconds: u64, worker: u8, report: Report) -> Vec<Output> {
        let input = Input::Report {
            worker: node(worker),
            report: Box::new(report),
        };
        self.say(seconds, input)
    }

    pub(super) fn verified(&mut self, seconds: u64, order: &Order) -> Vec<Output> {
        let input = Input::Verified {
            job: order.job,
            fence: order.fence,
            result: Ok(()),
        };
        self.say(seconds, input)
    }

    pub(super) fn taken(&mut self, seconds: u64, worker: u8, order: &Order) -> Vec<Output> {
        let input = Input::Ordered {
            worker: node(worker),
            job: order.job,
            fence: order.fence,
            result: Ok(7),
        };
        self.say(seconds, input)
    }

    pub(super) fn waiting_for(&self, seconds: u64, name: &str) -> String {
        self.schedule
            .waiting_for(at(seconds), job_id(name))
            .unwrap_or_default()
    }
}

pub(super) fn empty_handed(worker: NodeId) -> Input {
    has(worker, Inventory::default())
}

pub(super) fn has(worker: NodeId, inventory: Inventory) -> Input {
    Input::Inventory {
        worker,
        inventory: Box::new(inventory),
    }
}

/// The only order among `outputs`, and who got it.
pub(super) fn the_order(outputs: &[Output]) -> (u8, Order) {
    let orders = orders(outputs);
    assert_eq!(orders.len(), 1, "{outputs:?}");
    orders.into_iter().next().unwrap()
}

/// All orders among `outputs`, in order.
pub(super) fn orders(outputs: &[Output]) -> Vec<(u8, Order)> {
    let order = |output: &Output| match output {
        Output::Order { worker, order } => Some((worker.0[0], (**order).clone())),
        _ => None,
    };
    outputs.iter().filter_map(order).collect()
}

/// The bases of all orders among `outputs`, in order.
pub(super) fn ordered(outputs: &[Output]) -> Vec<String> {
    orders(outputs)
        .iter()
        .map(|(_, order)| order.probe.base.to_string())
        .collect()
}

/// Class and error of the only failure among `outputs`.
pub(super) fn the_failure(outputs: &[Output]) -> (PackageName, FailureClass, String) {
    let fail = |output: &Output| match output {
        Output::Fail {
            job, class, error, ..
        } => Some((*job, *class, error.clone())),
        _ => None,
    };
    let (job, class, error) = outputs
        .iter()
        .find_map(fail)
        .unwrap_or_else(|| panic!("{outputs:?}"));
    let names = ["foo", "app", "lib", "a", "b", "c"];
    let name = names.iter().find(|name| job_id(name) == job).unwrap();
    (name.parse().unwrap(), class, error)
}
