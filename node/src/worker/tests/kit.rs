//! Attempts from samples or from a PKGBUILD's text, and the runner as this test binary.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use pacmesh_protocol::{ledger::kinds::BuildOptions, work::FailureClass};
use tempfile::TempDir;

use crate::{
    source::{PackOptions, pack},
    worker::{
        DEFAULT_MAKEPKG_CONF,
        attempt::{
            AttemptFolder, AttemptSpec, BuiltArchive, InputArchive, Limits, RunStage, RunnerCommand,
            StageOutcome,
        },
        environment::HostEnvironment,
        runner::runner_main,
    },
};

/// In the environment of every runner; no build may see it.
pub(super) const SECRET: &str = "swordfish-of-the-runner";

/// The body of a runner process.
#[test]
#[ignore = "started by the other tests"]
fn runner_entry() {
    let argument = |name| std::env::var_os(name).expect("set by the kit");
    let arguments = [argument("KIT_FOLDER"), argument("KIT_STAGE")];
    assert_eq!(runner_main(arguments), ExitCode::SUCCESS);
}

/// A daemon that starts a stage and vanishes at once.
#[test]
#[ignore = "started by the other tests"]
fn daemon_entry() {
    let folder = PathBuf::from(std::env::var_os("KIT_FOLDER").expect("set by the kit"));
    let id = folder.file_name().unwrap().to_str().unwrap();
    let attempt = AttemptFolder::open(folder.parent().unwrap(), id).unwrap();
    attempt.start_stage(RunStage::Prepare, &runner()).unwrap();
    std::process::abort();
}

/// `sh` turns the two arguments into variables, because the test harness would read them as filters.
pub(super) fn entry(test: &str) -> RunnerCommand {
    let script = format!(
        "export KIT_SECRET={SECRET} KIT_FOLDER=\"$1\" KIT_STAGE=\"$2\"; \
         exec \"$0\" worker::tests::kit::{test} --exact --ignored --nocapture"
    );
    RunnerCommand {
        program: "/bin/sh".into(),
        arguments: vec![
            "-c".into(),
            script.into(),
            std::env::current_exe().unwrap().into(),
        ],
    }
}

pub(super) fn runner() -> RunnerCommand {
    entry("runner_entry")
}

pub(super) fn sample(name: &str) -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let usual = packages.join("packages").join(name);
    if usual.exists() {
        usual
    } else {
        packages.join("packages-failing").join(name)
    }
}

/// A place for attempts, removed with all that builds left.
pub(super) struct Bench {
    pub(super) root: TempDir,
    pub(super) limits: Limits,
}

impl Bench {
    pub(super) fn new() -> Self {
        HostEnvironment::check_programs().unwrap();
        Self {
            root: tempfile::tempdir().unwrap(),
            limits: Limits::default(),
        }
    }

    pub(super) fn attempts(&self) -> PathBuf {
        self.root.path().join("builds")
    }

    pub(super) fn spec(&self, inputs: &[PathBuf]) -> AttemptSpec {
        AttemptSpec {
            arch: HostEnvironment::detect().unwrap().arch,
            epoch: 1_700_000_000,
            options: BuildOptions::default(),
            inputs: inputs
                .iter()
                .map(|path| InputArchive {
                    file: path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
                    path: path.clone(),
                })
                .collect(),
            make_jobs: 2,
            limits: self.limits,
            note: b"kept".to_vec(),
        }
    }

    pub(super) fn of_folder(&self, id: &str, folder: &Path, inputs: &[PathBuf]) -> AttemptFolder {
        let packed = pack(folder, PackOptions::default()).unwrap();
        let blob = File::open(packed.file.path()).unwrap();
        AttemptFolder::create(
            &self.attempts(),
            id,
            self.spec(inputs),
            DEFAULT_MAKEPKG_CONF,
            blob,
        )
        .unwrap()
    }

    pub(super) fn of_sample(&self, name: &str, inputs: &[PathBuf]) -> AttemptFolder {
        self.of_folder(name, &sample(name), inputs)
    }

    /// A package `id` of arch `any` with these functions.
    pub(super) fn of_text(&self, id: &str, functions: &str) -> AttemptFolder {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "pkgname={id}\npkgver=1\npkgrel=1\npkgdesc=test\nurl=https://pacmesh.invalid\narch=(any)\nlicense=(MIT)\n\
             {functions}\n"
        );
        fs::write(folder.path().join("PKGBUILD"), text).unwrap();
        self.of_folder(id, folder.path(), &[])
    }

    /// Copies an archive out of the dead sandbox, as the worker does.
    pub(super) fn keep(&self, mut archive: BuiltArchive) -> PathBuf {
        let path = self.root.path().join(archive.file.to_string());
        std::io::copy(&mut archive.bytes, &mut File::create(&path).unwrap()).unwrap();
        path
    }
}

pub(super) async fn run(attempt: &AttemptFolder, stage: RunStage) -> StageOutcome {
    let mut running = attempt.start_stage(stage, &runner()).unwrap();
    running.wait().await.unwrap().outcome
}

/// Runs a stage that must succeed; the log is in the message if it does not.
pub(super) async fn must(attempt: &AttemptFolder, stage: RunStage) {
    let outcome = run(attempt, stage).await;
    assert_eq!(outcome, StageOutcome::Done, "{stage}:\n{}", log(attempt));
}

/// Runs a stage that must fail.
pub(super) async fn must_fail(attempt: &AttemptFolder, stage: RunStage) -> (FailureClass, String) {
    match run(attempt, stage).await {
        StageOutcome::Failed { class, reason } => (class, reason),
        other => panic!("{other:?}:\n{}", log(attempt)),
    }
}

/// *prepare* and *build*, and the archives copied out.
pub(super) async fn build(bench: &Bench, attempt: &AttemptFolder) -> Vec<PathBuf> {
    must(attempt, RunStage::Prepare).await;
    must(attempt, RunStage::Build).await;
    let archives = attempt.archives().unwrap();
    archives.into_iter().map(|archive| bench.keep(archive)).collect()
}

pub(super) fn log(attempt: &AttemptFolder) -> String {
    let mut text = String::from_utf8_lossy(&attempt.read_log(0, 1 << 20).unwrap()).into_owned();
    let runner_log = attempt.log_path().with_file_name("runner.log");
    text.push_str(&fs::read_to_string(runner_log).unwrap_or_default());
    text
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether any process of this machine has `mark` in its command line.
pub(super) fn is_running(mark: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| {
            String::from_utf8_lossy(&line)
                .split('\0')
                .any(|word| word == mark)
        })
}
