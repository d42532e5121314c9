//! Kills, cuts and closed lids at random instants while packages are submitted, and a pacman that hops between the
//! nodes all the time.
//!
//! `PACMESH_TORTURE_ROUNDS` says how many rounds (20 by default), `PACMESH_TORTURE_SEED` decides all that is random here;
//! what the kernel schedules meanwhile is beyond any seed.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use pacmesh_tests::{
    audit::Promises,
    cluster::Node,
    fixtures::package,
    lan::Lan,
    pacman::{ScratchRoot, only},
    process::Outcome,
    wait::within,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

const PEERS: [(&str, &str); 4] = [
    ("desktop", "peer"),
    ("laptop", "peer"),
    ("nas", "peer"),
    ("shed", "peer"),
];
/// How long the mesh may take to agree again after a mishap.
const AGREE: Duration = Duration::from_secs(120);

/// Where pacman keeps the database, below its root.
const DATABASE: &str = "var/lib/pacman/sync/farm.db";

/// What happens in a round.
#[derive(Debug, Clone)]
enum Mishap {
    /// Every process of these machines ends, and they start again.
    Kill(Vec<usize>),
    /// The first machines and all others are apart.
    Cut(Vec<usize>, Vec<usize>),
    /// Nothing that the first send arrives at the others.
    Mute(Vec<usize>, Vec<usize>),
    /// A lid is closed and opened again.
    Lid(usize),
}

#[test]
fn inv3_no_package_is_lost_and_no_reader_goes_back_whatever_happens_at_random() {
    let seed = number("PACMESH_TORTURE_SEED").unwrap_or_else(rand::random);
    let rounds = number("PACMESH_TORTURE_ROUNDS").unwrap_or(20);
    let replay = format!("PACMESH_TORTURE_SEED={seed} PACMESH_TORTURE_ROUNDS={rounds}");
    eprintln!("torture: {replay}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut lan = Lan::of(&PEERS);
    let client = lan.client("client");
    let hopper = Hopper::new(&lan, random.random());
    let mut promises = Promises::default();
    promises.build(&lan.nodes[0], &[package(lan.farm.path(), "first", "")]);

    let asked = thread::scope(|scope| {
        let hopping = scope.spawn(|| hopper.hop());
        // Ended on the way out of this scope, after a panic as well, or the scope would wait for ever.
        let _end = EndOnDrop(&hopper.ended);
        let mut builds = Vec::new();
        for round in 0..rounds {
            let name = format!("round-{round}");
            let source = package(lan.farm.path(), &name, "");
            let node = lan.nodes[random.random_range(0..PEERS.len())].handle();
            let begin = pause(&mut random, 1500);
            builds.push(scope.spawn(move || {
                begin();
                (name, node.try_build(&[source]))
            }));
            let mishap = draw(&mut random);
            eprintln!("round {round}: {mishap:?}");
            befall(&mut lan, &hopper, &mishap, &mut random);
            let nodes: Vec<_> = lan.nodes.iter().collect();
            agree(&nodes, &format!("{replay}, round {round}: {mishap:?}"));
            hopper.roam();
        }
        let asked: Vec<_> = builds
            .into_iter()
            .map(|build| build.join().expect("a build"))
            .collect();
        hopper.ended.store(true, Ordering::Relaxed);
        hopping.join().expect("a client that hops");
        asked
    });

    let nodes: Vec<_> = lan.nodes.iter().collect();
    pacmesh_tests::audit::wait_until_settled(&nodes);
    let mut acknowledged = 0;
    for (name, outcome) in asked {
        if is_acknowledged(&outcome) {
            promises.note(&lan.nodes[0], &name);
            acknowledged += 1;
        }
    }
    promises.check(&lan, &client);
    let visits = hopper.finish(&lan);
    eprintln!("torture: {rounds} rounds, {acknowledged} builds acknowledged, {visits} visits of a client");
    assert!(acknowledged > 0 && visits > 0, "nothing was tested: {replay}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is '{text}', not a number")),
    )
}

/// A wait of a random length, to meet another moment of what runs.
fn pause(random: &mut StdRng, most_ms: u64) -> impl FnOnce() + use<> {
    let length = Duration::from_millis(random.random_range(0..most_ms));
    move || {
        let _ = within(length, || None::<()>);
    }
}

fn draw(random: &mut StdRng) -> Mishap {
    let mut places: Vec<_> = (0..PEERS.len()).collect();
    places.shuffle(random);
    match random.random_range(0..10) {
        0..=3 => Mishap::Kill(places[..1].to_vec()),
        4 => Mishap::Kill(places[..2].to_vec()),
        5..=6 => {
            let rest = places.split_off(random.random_range(1..=2));
            Mishap::Cut(places, rest)
        }
        7 => {
            let rest = places.split_off(1);
            Mishap::Mute(places, rest)
        }
        _ => Mishap::Lid(places[0]),
    }
}

/// Lets it happen after a moment, lets it last, and ends it.
fn befall(lan: &mut Lan, hopper: &Hopper, mishap: &Mishap, random: &mut StdRng) {
    let (before, during) = (pause(random, 3000), pause(random, 6000));
    before();
    match mishap {
        Mishap::Kill(places) => {
            // Two machines may take both copies of what was told last with them, until they are back.
            let rest: Vec<_> = (0..PEERS.len()).filter(|place| !places.contains(place)).collect();
            if places.len() > 1 {
                hopper.stay(places, &rest);
            }
            places.iter().for_each(|place| lan.nodes[*place].power_off());
            during();
            places.iter().for_each(|place| lan.nodes[*place].spawn());
        }
        Mishap::Cut(one, other) | Mishap::Mute(one, other) => {
            // The two sides may show different packages until they have met again: one client cannot follow both.
            hopper.stay(one, other);
            match mishap {
                Mishap::Cut(..) => lan.network.cut("torture", one, other),
                _ => lan.network.cut_one_way("torture", one, other),
            }
            during();
            lan.network.heal("torture");
        }
        Mishap::Lid(place) => {
            lan.nodes[*place].close_lid();
            during();
            lan.nodes[*place].open_lid();
        }
    }
}

/// Waits until all see each other alive under one master and show the same generations.
#[track_caller]
fn agree(nodes: &[&Node], when: &str) {
    let mut last = Vec::new();
    let agreed = within(AGREE, || {
        last = nodes
            .iter()
            .map(|node| {
                let status = node.cli(&["status", "--json"]);
                (status.code == Some(0)).then(|| {
                    let status = status.json();
                    (
                        status["master"].clone(),
                        status["alive"].clone(),
                        status["generation"].clone(),
                    )
                })
            })
            .collect();
        let first = last[0].clone()?;
        let all = first.1 == nodes.len() && !first.0.is_null();
        (all && last.iter().all(|seen| seen.as_ref() == Some(&first))).then_some(())
    });
    assert!(agreed.is_some(), "the nodes do not agree ({when}): {last:#?}");
}

fn is_acknowledged(outcome: &Outcome) -> bool {
    let published = |line: &str| line.contains("\"event\":\"published\"");
    outcome.code == Some(0) && outcome.stdout.lines().any(published)
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that takes the repository now from one node, now from another, and believes none that goes back.
struct Hopper {
    client: ScratchRoot,
    stanzas: Vec<String>,
    /// Held while a node is visited, so that nobody is on the way to a node that it may not visit any more.
    journey: Mutex<Journey>,
    ended: AtomicBool,
    seed: u64,
}

/// Where the client has been, and what it saw.
#[derive(Default)]
struct Journey {
    /// Where it may go.
    allowed: Vec<usize>,
    /// The node that gave the database, and its bytes.
    database: (usize, Vec<u8>),
    /// Names and versions in it.
    known: BTreeMap<String, String>,
    visits: u64,
}

impl Hopper {
    fn new(lan: &Lan, seed: u64) -> Self {
        let hopper = Self {
            client: lan.client("hopper"),
            stanzas: lan.nodes.iter().map(only).collect(),
            journey: Mutex::default(),
            ended: AtomicBool::new(false),
            seed,
        };
        hopper.roam();
        hopper
    }

    /// It may go anywhere.
    fn roam(&self) {
        self.journey().allowed = (0..self.stanzas.len()).collect();
    }

    /// It stays among those of the two groups from one of which it has its database.
    fn stay(&self, one: &[usize], other: &[usize]) {
        let mut journey = self.journey();
        let group = if one.contains(&journey.database.0) {
            one
        } else {
            other
        };
        journey.allowed = group.to_vec();
    }

    fn journey(&self) -> MutexGuard<'_, Journey> {
        self.journey.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hop(&self) {
        let mut random = StdRng::seed_from_u64(self.seed);
        while !self.ended.load(Ordering::Relaxed) {
            let mut journey = self.journey();
            let place = journey.allowed[random.random_range(0..journey.allowed.len())];
            self.visit(place, &mut journey);
            drop(journey);
            // Whoever waits for the journey has its turn, and the machine a breath.
            let _ = within(Duration::from_millis(200), || None::<()>);
        }
    }

    fn visit(&self, place: usize, journey: &mut Journey) {
        self.client.take_from(&self.stanzas[place]);
        // A node that is off or cut away has nothing to say, and the client keeps what it has.
        if self.client.pacman(&["-Sy"]).code != Some(0) {
            return;
        }
        let synced = std::fs::read(self.client.root().join(DATABASE)).unwrap_or_default();
        if synced != journey.database.1 {
            journey.database = (place, synced);
            let listed = self.client.pacman(&["-Sl"]).ok().stdout;
            let now: BTreeMap<String, String> = listed.lines().filter_map(name_and_version).collect();
            for (name, version) in &journey.known {
                let shown = now.get(name);
                assert!(
                    shown.is_some_and(|shown| !is_older(shown, version)),
                    "{} went back: {name} was {version} and is {shown:?}",
                    PEERS[place].0
                );
            }
            journey.known = now;
        }
        // Of a database that another node gave, this one may not have all yet.
        if journey.database.0 == place {
            // It may be killed or cut off in the middle.
            let _ = self.client.downloads_all(PEERS[place].0);
        }
        journey.visits += 1;
    }

    /// What the client downloaded on its way is what the nodes keep now; gives the number of visits.
    fn finish(&self, lan: &Lan) -> u64 {
        for package in lan.nodes[0].json(&["packages"]).as_array().into_iter().flatten() {
            let file = self
                .client
                .cache()
                .join(package["filename"].as_str().unwrap_or_default());
            if file.exists() {
                let sum = pacmesh_tests::audit::sha256(&file);
                assert_eq!(
                    package["sha256"],
                    sum.as_str(),
                    "{} means two byte strings",
                    file.display()
                );
            }
        }
        self.journey().visits
    }
}

fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split(' ').skip(1);
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

fn is_older(version: &str, than: &str) -> bool {
    let said = Command::new("vercmp")
        .args([version, than])
        .output()
        .expect("vercmp of pacman");
    version != than && said.stdout.starts_with(b"-")
}
