//! A farm that builds for long takes no more than what it must remember of each job.

use std::path::{Path, PathBuf};

use pacmesh_tests::{
    cluster::{COMMAND, Farm, Node},
    fixtures::package,
    gate::attempts,
    pacman::ScratchRoot,
    wait::wait_for,
};

/// Packages that are built again and again, all in one request.
const BASES: usize = 6;
/// What the ledger, its view and the job's log may take of memory for each job, with room for what the allocator keeps.
const MEMORY_A_JOB: u64 = 24 << 10;
/// What one job may leave on disk: its records, its tree, its log, its metadata.
const DISK_A_JOB: u64 = 128 << 10;
/// What memory may grow by apart from that, once the farm is warm.
const SLACK: u64 = 16 << 20;

/// How many jobs run; thousands where the environment says so (`tests/run.sh --long`).
fn jobs() -> usize {
    let jobs = std::env::var("PACMESH_FLAT_JOBS").ok();
    jobs.and_then(|text| text.parse().ok()).unwrap_or(18)
}

/// What a node has at one moment.
#[derive(Debug)]
struct Held {
    memory: u64,
    disk: u64,
    files: usize,
    threads: usize,
}

impl Held {
    fn by(node: &Node) -> Self {
        let process = PathBuf::from(format!("/proc/{}", node.pid().expect("a daemon that runs")));
        Self {
            memory: resident(&process),
            disk: files(&node.home)
                .iter()
                .filter_map(|path| Some(path.metadata().ok()?.len()))
                .sum(),
            files: entries(&process.join("fd")),
            threads: entries(&process.join("task")),
        }
    }
}

/// Resident memory in bytes (proc(5), status).
fn resident(process: &Path) -> u64 {
    let text = std::fs::read_to_string(process.join("status")).expect("a process that runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("its memory");
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse::<u64>()
        .expect("a number")
        << 10
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder)
        .expect("a folder of a process that runs")
        .count()
}

/// All files below a folder; one that goes meanwhile is none.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn inv2_a_long_run_of_jobs_leaves_only_what_must_be_remembered_and_all_that_is_in_force() {
    let farm = Farm::new();
    let mut node = farm.node("desktop");
    node.start();
    node.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
    node.wait_until_led();
    let rounds = jobs().div_ceil(BASES).max(3);
    let mut warm = None;

    for round in 1..=rounds {
        let version = format!("pkgver={round}");
        let sources: Vec<_> = (0..BASES)
            .map(|base| package(farm.path(), &format!("flat{base}"), &version))
            .collect();
        node.build(&sources).ok();
        if round == rounds.div_ceil(3) {
            warm = Some(Held::by(&node));
        }
    }

    let warm = warm.expect("a first third");
    let jobs = ((rounds - rounds.div_ceil(3)) * BASES) as u64;
    let end = Held::by(&node);
    eprintln!(
        "after {} jobs: {warm:?}\nafter {jobs} more: {end:?}",
        rounds.div_ceil(3) * BASES
    );
    assert!(
        end.memory <= warm.memory + SLACK + jobs * MEMORY_A_JOB,
        "{warm:?} {end:?}"
    );
    assert!(end.disk <= warm.disk + jobs * DISK_A_JOB, "{warm:?} {end:?}");
    assert!(end.files <= warm.files + 16, "{warm:?} {end:?}");
    assert!(end.threads <= warm.threads + 16, "{warm:?} {end:?}");
    wait_for("attempts to be tidied away", COMMAND, || {
        attempts(&node).is_empty().then_some(())
    });
    let client = ScratchRoot::of(&farm, "client", &node);
    let newest: Vec<_> = (0..BASES).map(|base| format!("flat{base} {rounds}-1")).collect();
    assert_eq!(client.listed(), newest);
    client.download_all().ok();
}
