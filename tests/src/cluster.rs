//! Real nodes: the built binary in processes of its own, each with a home below one folder that vanishes at the end.
//!
//! The binary is `PACMESH_BIN`, or `pacmesh` in the folder above the test program's (`target/debug/pacmesh`), which
//! `cargo build -p pacmesh` makes, or where there is none the one of another profile. With `PACMESH_TEST_KEEP` in the
//! environment the folder stays, with all homes and logs.

use std::{
    fs::File,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    process::{Outcome, marked, run, signal_group},
    wait::{wait_for, within},
};

/// How long a command may take that builds nothing; publishing waits for copies up to 10 s, knocks for a master 30 s.
pub const COMMAND: Duration = Duration::from_secs(60);
/// How long a build of samples may take on two busy cores.
pub const BUILD: Duration = Duration::from_secs(240);
/// How long nodes on one machine may take to find each other; the goal is 2 s, a busy machine gets more.
pub const MEET: Duration = Duration::from_secs(20);
/// How long a new master may take to lead after the old one was killed.
pub const TAKE_OVER: Duration = Duration::from_secs(30);

/// Where a test's nodes live. Drop it last: it ends whatever is still running below it.
#[derive(Debug)]
pub struct Farm {
    dir: TempDir,
}

impl Default for Farm {
    fn default() -> Self {
        Self::new()
    }
}

impl Farm {
    /// An empty place.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pacmesh-test.")
            .disable_cleanup(std::env::var_os("PACMESH_TEST_KEEP").is_some())
            .tempdir()
            .expect("a temporary folder");
        // Builds of nodes that are root run as other users, who must get through.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("the mode of an own folder");
        Self { dir }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A node that is not started yet, on loopback with free ports and without mDNS.
    pub fn node(&self, name: &str) -> Node {
        Node {
            name: name.to_owned(),
            home: self.path().join(name),
            listen: "127.0.0.1:0".to_owned(),
            repository: "127.0.0.1:0".to_owned(),
            api: free_address(),
            mdns: false,
            bootstrap: Vec::new(),
            namespace: None,
            slots: 2,
            child: None,
        }
    }

    /// A mesh of one that runs, with the repository `farm`.
    pub fn founder(&self, name: &str) -> Node {
        let mut node = self.node(name);
        node.start();
        node.cli(&["init", "--name", "test", "--repo", "farm"]).ok();
        node.wait_until_led();
        node
    }

    /// A mesh that runs: the first name founds, the others join by token with the preset that stands beside them.
    pub fn mesh(&self, members: &[(&str, &str)]) -> Vec<Node> {
        let (founder, others) = members.split_first().expect("a mesh has a founder");
        let mut nodes = vec![self.founder(founder.0)];
        for (name, preset) in others {
            let mut node = self.node(name);
            node.start();
            let token = nodes[0].invite(&["--as", preset]);
            node.cli(&["join", &token]).ok();
            nodes.push(node);
        }
        wait_until_alive(&nodes);
        nodes
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        let mark = format!("{}/", self.path().display());
        let gone = within(Duration::from_secs(20), || {
            let left = marked(&mark);
            for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            left.is_empty().then_some(())
        });
        self.remove_disks();
        if gone.is_none() && !std::thread::panicking() {
            panic!("processes below {mark} do not end: {:?}", marked(&mark));
        }
    }
}

/// One node. Dropping it kills its daemon.
#[derive(Debug)]
pub struct Node {
    /// The name that it asks for.
    pub name: String,
    /// Its `--home`.
    pub home: PathBuf,
    /// `--listen`.
    pub listen: String,
    /// `--http-repo`.
    pub repository: String,
    /// `--http-api`.
    pub api: String,
    /// Whether it looks around by mDNS.
    pub mdns: bool,
    /// `--bootstrap`.
    pub bootstrap: Vec<String>,
    /// The network namespace that it lives in.
    pub namespace: Option<String>,
    /// `--slots`.
    pub slots: u32,
    child: Option<Child>,
}

impl Node {
    /// The same node to ask only, for another thread: it neither starts nor ends the daemon.
    pub fn handle(&self) -> Self {
        Self {
            name: self.name.clone(),
            home: self.home.clone(),
            listen: self.listen.clone(),
            repository: self.repository.clone(),
            api: self.api.clone(),
            mdns: self.mdns,
            bootstrap: self.bootstrap.clone(),
            namespace: self.namespace.clone(),
            slots: self.slots,
            child: None,
        }
    }

    /// Starts the daemon and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        wait_for(&format!("{} to answer", self.name), COMMAND, || {
            self.assert_running();
            (self.cli(&["status", "--json"]).code == Some(0)).then_some(())
        });
    }

    /// Starts the daemon and waits for nothing.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let mut command = self.command(&["daemon", "--name", &self.name, "--listen", &self.listen]);
        command.args(["--http-api", &self.api, "--http-repo", &self.repository]);
        command.args(["--slots", &self.slots.to_string()]);
        if !self.mdns {
            command.arg("--no-mdns");
        }
        for address in &self.bootstrap {
            command.args(["--bootstrap", address]);
        }
        command.env("PACMESH_LOG", "warn,pacmesh=debug,pacmesh_discovery=debug");
        let errors = log.try_clone().expect("a second handle of the log");
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        self.child = Some(
            command
                .spawn()
                .expect("the pacmesh binary: 'cargo build -p pacmesh' makes it"),
        );
    }

    /// Asks the daemon to stop, as systemd does, and waits until it has.
    #[track_caller]
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal_group(&child, Signal::TERM);
        let ended = within(Duration::from_secs(45), || child.try_wait().ok().flatten());
        if ended.is_none() {
            signal_group(&child, Signal::KILL);
            let _ = child.wait();
            panic!("{} does not stop\n{}", self.name, self.log());
        }
    }

    /// Kills the daemon (`kill -9`); runners of its builds go on.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // `ip netns exec` becomes the daemon, so the child is the daemon in a namespace, too.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Runs a command of the command line on this node.
    pub fn cli(&self, arguments: &[&str]) -> Outcome {
        run(self.command(arguments), "", COMMAND)
    }

    /// As `cli`, with something on standard input.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        run(self.command(arguments), input, COMMAND)
    }

    /// The JSON that a command prints with `--json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut words = arguments.to_vec();
        words.push("--json");
        self.cli(&words).ok().json()
    }

    /// `build` of directories, to its end; gives the events.
    #[track_caller]
    pub fn build(&self, sources: &[PathBuf]) -> Outcome {
        let outcome = self.try_build(sources);
        if outcome.code.is_none() {
            panic!(
                "{outcome}\n{}\n{}",
                self.cli(&["jobs", "--all"]).stdout,
                self.log()
            );
        }
        outcome
    }

    /// As `build`, and may take too long.
    pub fn try_build(&self, sources: &[PathBuf]) -> Outcome {
        let sources: Vec<_> = sources.iter().map(|path| path.display().to_string()).collect();
        let mut words = vec!["build", "--json"];
        words.extend(sources.iter().map(String::as_str));
        run(self.command(&words), "", BUILD)
    }

    /// A token, with further arguments of `invite`.
    #[track_caller]
    pub fn invite(&self, arguments: &[&str]) -> String {
        let mut words = vec!["invite"];
        words.extend(arguments);
        let said = self.cli(&words).ok().stdout;
        said.lines()
            .next_back()
            .expect("a token on the last line")
            .to_owned()
    }

    /// Its id.
    #[track_caller]
    pub fn id(&self) -> String {
        text(&self.json(&["status"])["node"]["id"])
    }

    /// `alive`, `lost`, … of the node called `name`, as this node sees it.
    #[track_caller]
    pub fn state_of(&self, name: &str) -> Option<String> {
        let nodes = self.json(&["nodes"]);
        let found = nodes.as_array()?.iter().find(|node| node["name"] == name)?;
        Some(text(&found["state"]))
    }

    /// Whether it knows the node called `name` to be alive by the word of others only.
    #[track_caller]
    pub fn sees_through_others(&self, name: &str) -> bool {
        let nodes = self.json(&["nodes"]);
        let found = nodes
            .as_array()
            .and_then(|nodes| nodes.iter().find(|node| node["name"] == name));
        found.is_some_and(|node| node["relayed"] == true && node["state"] == "alive")
    }

    /// How many nodes it sees alive, itself included.
    #[track_caller]
    pub fn alive(&self) -> usize {
        let nodes = self.json(&["nodes"]);
        nodes.as_array().map_or(0, |nodes| {
            nodes.iter().filter(|node| node["state"] == "alive").count()
        })
    }

    /// The name of the node that leads, as this node sees it; nobody while it does not answer yet.
    #[track_caller]
    pub fn master(&self) -> Option<String> {
        let outcome = self.cli(&["status", "--json"]);
        // 3: no node answers.
        if outcome.code == Some(3) {
            return None;
        }
        outcome.ok().json()["master"]["name"].as_str().map(str::to_owned)
    }

    /// Waits until it follows a master.
    #[track_caller]
    pub fn wait_until_led(&self) -> String {
        wait_for(&format!("{} to follow a master", self.name), TAKE_OVER, || {
            self.master()
        })
    }

    /// The package `name` of its `packages --json`.
    #[track_caller]
    pub fn package(&self, name: &str) -> Option<Value> {
        let packages = self.json(&["packages"]);
        packages
            .as_array()?
            .iter()
            .find(|package| package["name"] == name)
            .cloned()
    }

    /// The last job of a base in its `jobs --all --json`.
    #[track_caller]
    pub fn job(&self, base: &str) -> Option<Value> {
        let jobs = self.json(&["jobs", "--all"]);
        let of_base = jobs.as_array()?.iter().filter(|job| job["base"] == base);
        of_base
            .max_by_key(|job| job["submitted_at"].as_str().map(str::to_owned))
            .cloned()
    }

    /// `HOST:PORT` of its discovery, for `--bootstrap`: the port below that of its transport.
    #[track_caller]
    pub fn discovery_address(&self) -> String {
        let id = self.id();
        let nodes = self.json(&["nodes"]);
        let own = nodes
            .as_array()
            .and_then(|nodes| nodes.iter().find(|node| node["id"] == id));
        let address = text(&own.expect("a node sees itself")["addresses"][0]);
        let address: std::net::SocketAddr = address.parse().expect("an address");
        std::net::SocketAddr::new(address.ip(), address.port() - 1).to_string()
    }

    /// What its daemon said.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        format!("--- log of {}\n{log}", self.name)
    }

    /// The daemon's process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How its daemon ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        status.code()
    }

    #[track_caller]
    fn assert_running(&mut self) {
        let ended = self
            .child
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            panic!("{} ended ({status})\n{}", self.name, self.log());
        }
    }

    fn log_path(&self) -> PathBuf {
        self.home.with_extension("log")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        command.arg("--home").arg(&self.home).args(arguments);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() && self.child.is_some() {
            eprintln!("{}", self.log());
        }
        self.kill();
    }
}

/// A loopback address that nobody listens at now.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

/// Waits until each sees all alive and follows the same master; gives that master's name.
#[track_caller]
pub fn wait_until_alive(nodes: &[Node]) -> String {
    wait_for(
        "all nodes to see each other alive and follow one master",
        MEET,
        || {
            let names: Vec<_> = nodes.iter().map(Node::master).collect();
            let settled = names.iter().all(|name| name.is_some() && *name == names[0]);
            (settled && nodes.iter().all(|node| node.alive() == nodes.len())).then(|| names[0].clone())?
        },
    )
}

/// The string in a JSON value.
#[track_caller]
pub fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
        .to_owned()
}

/// The pacmesh binary.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PACMESH_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of this program");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("test programs are in target/PROFILE/deps");
    // Benchmarks are built with optimisation, and measure what there is.
    ["", "../release", "../debug"]
        .iter()
        .map(|profile| folder.join(profile).join("pacmesh"))
        .find(|path| path.is_file())
        .and_then(|path| path.canonicalize().ok())
        .unwrap_or_else(|| folder.join("pacmesh"))
}
