//! The simulated world, many seeds at a time. `PACMESH_SIM_SEEDS` says how many (200 by default).

use pacmesh_tests::sim::{self, Planted, Summary};

const SEEDS: u64 = 200;

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("PACMESH_SIM_SEEDS").ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("PACMESH_SIM_SEEDS is '{text}', not a number of seeds"))
    });
    0..count.unwrap_or(SEEDS)
}

#[test]
fn inv1_inv2_hold_in_every_world_and_every_world_settles() {
    let mut total = Summary::default();
    for seed in seeds() {
        let summary = sim::run(seed, Planted::Nothing).unwrap_or_else(|failure| panic!("{failure}"));
        total.reigns += summary.reigns;
        total.answered += summary.answered;
        total.obeyed += summary.obeyed;
        total.met += summary.met;
    }
    assert!(
        total.reigns > 0 && total.answered > 0 && total.obeyed > 0 && total.met > 0,
        "{total:?}"
    );
}

#[test]
fn one_seed_is_one_world() {
    for seed in 0..5 {
        let (one, other) = (
            sim::replay(seed, Planted::Nothing),
            sim::replay(seed, Planted::Nothing),
        );
        assert_eq!(one.1, other.1);
        assert!(!one.1.is_empty());
    }
}

fn found(planted: Planted, invariants: &[&str]) {
    let failure = seeds().find_map(|seed| sim::run(seed, planted).err());
    let failure = failure.unwrap_or_else(|| panic!("{planted} was not found"));
    assert!(
        invariants.iter().any(|name| failure.invariant.starts_with(name)),
        "{planted} was found as {}",
        failure.invariant
    );
    let shown = failure.to_string();
    assert!(shown.contains(&format!("--seed {} --planted {planted}", failure.seed)));
    assert!(failure.log.len() > 1, "no event log");
}

#[test]
fn inv1_a_forgotten_ballot_is_found() {
    found(Planted::ForgottenBallot, &["inv1a", "inv1c"]);
}

#[test]
fn inv2_a_hasty_answer_is_found() {
    found(Planted::HastyAnswer, &["inv2"]);
}

#[test]
fn inv1_blind_obedience_is_found() {
    found(Planted::BlindObedience, &["inv1b"]);
}
