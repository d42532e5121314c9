//! Builds outlive the daemon, end when they are told to, and never outlive their runner.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use pacmesh_protocol::work::FailureClass;
use rustix::process::{Pid, Signal, kill_process};

use super::kit::{Bench, entry, eventually, is_running, log, must_fail, runner};
use crate::worker::attempt::{Adopted, AttemptError, AttemptFolder, RunStage, StageOutcome};

/// A `prepare()` that waits for `/tmp/go` with a background process whose command line holds `mark`.
fn waiting(mark: &str) -> String {
    format!(
        "prepare() {{\n sleep {mark} &\n echo waiting\n while ! test -e /tmp/go; do sleep 0.02; done\n kill %1\n}}\n\
         package() {{ :; }}"
    )
}

fn let_go(attempt: &AttemptFolder) {
    fs::write(attempt.log_path().with_file_name("tmp").join("go"), "").unwrap();
}

#[tokio::test]
async fn inv8_a_stage_survives_the_daemon_that_started_it() {
    let bench = Bench::new();
    let attempt = bench.of_text("survivor", &waiting("91001"));
    let daemon = entry("daemon_entry");
    let status = Command::new(&daemon.program)
        .args(&daemon.arguments)
        .arg(bench.attempts().join("survivor"))
        .arg("prepare")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "the daemon vanished");
    eventually("the stage runs", || log(&attempt).contains("waiting")).await;

    let found = AttemptFolder::open(&bench.attempts(), "survivor").unwrap();
    assert_eq!(found.spec().note, b"kept");
    let Adopted::Running(mut running) = found.adopt().unwrap() else {
        panic!("not adopted");
    };
    assert!(matches!(
        found.start_stage(RunStage::Prepare, &runner()),
        Err(AttemptError::Busy(_))
    ));
    let_go(&attempt);
    assert_eq!(running.wait().await.unwrap().outcome, StageOutcome::Done);
    assert!(matches!(found.adopt().unwrap(), Adopted::Ended(_)));
}

#[tokio::test]
async fn a_killed_stage_leaves_no_process() {
    let bench = Bench::new();
    let attempt = bench.of_text("sleeper", &waiting("91002"));
    let mut running = attempt.start_stage(RunStage::Prepare, &runner()).unwrap();
    eventually("it sleeps", || is_running("91002")).await;
    let status = running.kill().await.unwrap();
    assert_eq!(status.outcome, StageOutcome::Cancelled);
    assert!(!is_running("91002"));
}

#[tokio::test]
async fn a_lost_runner_takes_its_sandbox_along_and_is_the_workers_fault() {
    let bench = Bench::new();
    let attempt = bench.of_text("orphan", &waiting("91003"));
    let mut running = attempt.start_stage(RunStage::Prepare, &runner()).unwrap();
    eventually("it sleeps", || is_running("91003")).await;
    let pid = i32::try_from(running.runner_pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let StageOutcome::Failed { class, .. } = running.wait().await.unwrap().outcome else {
        panic!("a lost runner did not fail");
    };
    assert_eq!(class, FailureClass::Lost);
    eventually("the sandbox dies", || !is_running("91003")).await;
}

#[tokio::test]
async fn a_build_that_hangs_in_silence_is_stopped() {
    let mut bench = Bench::new();
    bench.limits.silence = Duration::from_millis(1500);
    let attempt = bench.of_text("silent", "prepare() { sleep 91004; }\npackage() { :; }");
    let (class, reason) = must_fail(&attempt, RunStage::Prepare).await;
    assert_eq!(class, FailureClass::Prepare);
    assert!(reason.contains("printed nothing"), "{reason}");
    assert!(!is_running("91004"));
}

#[tokio::test]
async fn a_daemon_left_behind_by_a_build_does_not_hold_it_up() {
    let bench = Bench::new();
    let attempt = bench.of_text("forker", "prepare() { setsid sleep 91005 & }\npackage() { :; }");
    let mut running = attempt.start_stage(RunStage::Prepare, &runner()).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(30), running.wait()).await;
    assert_eq!(status.unwrap().unwrap().outcome, StageOutcome::Done);
    assert!(!is_running("91005"));
}

#[tokio::test]
async fn inv5_a_log_without_end_is_cut_and_the_build_goes_on() {
    let mut bench = Bench::new();
    bench.limits.log = 100_000;
    let attempt = bench.of_text("chatty", "prepare() { yes | head -c 5000000; }\npackage() { :; }");
    super::kit::must(&attempt, RunStage::Prepare).await;
    let length = fs::metadata(attempt.log_path()).unwrap().len();
    assert!((100_000..110_000).contains(&length), "{length}");
}
