//! A machine that installs from the mesh: real pacman on a root, a database, a cache and a keyring of its own.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    cluster::{Farm, Node},
    process::{Outcome, run},
};

/// Names that the scratch root does not have and Arch's own packages would bring.
const ASSUMED: [&str; 4] = ["glibc=2", "bash=5", "sh=5", "gcc-libs=14"];
/// What pacman says of what it got, where it does not say that it got nothing.
const WRONG: [&str; 3] = ["error: 404", "corrupted", "invalid"];
/// How long pacman or gpg may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One client.
#[derive(Debug)]
pub struct ScratchRoot {
    dir: PathBuf,
    namespace: Option<String>,
}

impl ScratchRoot {
    /// A client of the repository that `node` serves, with `SigLevel = Required DatabaseOptional` and the mesh's keys
    /// imported and locally signed.
    pub fn of(farm: &Farm, name: &str, node: &Node) -> Self {
        Self::on(farm, name, node.namespace.as_deref(), node)
    }

    /// As `of`, on a machine of its own.
    pub fn on(farm: &Farm, name: &str, namespace: Option<&str>, node: &Node) -> Self {
        let client = Self {
            dir: farm.path().join(name),
            namespace: namespace.map(str::to_owned),
        };
        for folder in ["root/var/lib/pacman", "cache", "hooks"] {
            std::fs::create_dir_all(client.dir.join(folder)).expect("the folders of a client");
        }
        client.point_to(node);
        client.make_master_key();
        client.keyring(&["--init"], "").ok();
        client.trust_keys_of(node);
        client
    }

    /// Takes the repository from `node`, and from no other, from now on.
    #[track_caller]
    pub fn point_to(&self, node: &Node) {
        self.take_from(&only(node));
    }

    /// Takes the repository as a stanza says, from now on.
    pub fn take_from(&self, stanza: &str) {
        let options = "[options]\nArchitecture = auto\nSigLevel = Required DatabaseOptional\n\n";
        std::fs::write(self.config(), format!("{options}{stanza}")).expect("pacman.conf");
    }

    /// Imports what `keys export` of `node` prints, and signs what it trusts.
    pub fn trust_keys_of(&self, node: &Node) {
        let keys = node.cli(&["keys", "export"]).ok().stdout;
        self.keyring(&["--add", "-"], &keys).ok();
        let list = node.cli(&["keys", "list", "--json"]).ok().json();
        let trusted = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|key| key["trusted"] == true);
        for fingerprint in trusted.filter_map(|key| key["fingerprint"].as_str()) {
            // Keys of members that sign nothing for clients are not exported.
            if self.keyring(&["--list-keys", fingerprint], "").code == Some(0) {
                self.keyring(&["--lsign-key", fingerprint], "").ok();
            }
        }
    }

    /// Runs pacman on this root.
    pub fn pacman(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command("pacman");
        let place = |folder: &str| self.dir.join(folder);
        command.args(["--noconfirm", "--root"]).arg(self.root());
        command
            .arg("--dbpath")
            .arg(place("root/var/lib/pacman"))
            .arg("--cachedir")
            .arg(place("cache"));
        command
            .arg("--gpgdir")
            .arg(self.gpg())
            .arg("--config")
            .arg(self.config());
        command
            .arg("--hookdir")
            .arg(place("hooks"))
            .arg("--logfile")
            .arg(place("pacman.log"));
        for name in ASSUMED {
            // Only transactions know this option.
            if arguments.first().is_some_and(|word| word.starts_with("-S")) && arguments.len() > 1 {
                command.args(["--assume-installed", name]);
            }
        }
        command.args(arguments);
        run(command, "", PATIENCE)
    }

    /// Installs a package, with a fresh database.
    #[track_caller]
    pub fn install(&self, package: &str) {
        self.pacman(&["-Syy", package]).ok();
    }

    /// The names and versions in the synced databases, one `name version` each, sorted.
    #[track_caller]
    pub fn listed(&self) -> Vec<String> {
        self.pacman(&["-Syy"]).ok();
        self.known()
    }

    /// As `listed`; `None` where no database comes, as in bad weather.
    #[track_caller]
    pub fn try_listed(&self) -> Option<Vec<String>> {
        (self.pacman(&["-Syy"]).code == Some(0)).then(|| self.known())
    }

    #[track_caller]
    fn known(&self) -> Vec<String> {
        let said = self.pacman(&["-Sl"]).ok().stdout;
        let mut found: Vec<_> = said
            .lines()
            .map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "))
            .collect();
        found.sort();
        found
    }

    /// Downloads every package that the synced databases list and the cache lacks; pacman checks hashes and signatures.
    pub fn download_all(&self) -> Outcome {
        let names = self.pacman(&["-Slq"]).ok().stdout;
        if names.trim().is_empty() {
            return self.pacman(&["-V"]);
        }
        let mut words = vec!["-Swdd"];
        words.extend(names.lines());
        self.pacman(&words)
    }

    /// As `download_all`; whether it got all. Panics where what it got, or the answer that it is not there, is wrong.
    #[track_caller]
    pub fn downloads_all(&self, from: &str) -> bool {
        let outcome = self.download_all();
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let is_wrong = |line: &&str| WRONG.iter().any(|word| line.contains(word));
        let wrong = said.lines().find(is_wrong);
        assert!(wrong.is_none(), "{from} shows what it does not serve: {outcome}");
        outcome.code == Some(0)
    }

    /// Forgets every archive that was downloaded.
    pub fn empty_cache(&self) {
        std::fs::remove_dir_all(self.cache()).expect("a cache");
        std::fs::create_dir_all(self.cache()).expect("a cache");
    }

    /// Where downloaded archives are.
    pub fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// Whether a package that `packages --json` shows is installed with that version.
    #[track_caller]
    pub fn has(&self, package: &Value) -> bool {
        let wanted = format!(
            "{} {}",
            package["name"].as_str().unwrap_or(""),
            package["version"].as_str().unwrap_or("")
        );
        self.pacman(&["-Q"])
            .ok()
            .stdout
            .lines()
            .any(|line| line == wanted)
    }

    /// Where packages are installed.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Runs an installed program with the installed libraries; it must succeed. Gives its standard output.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.root().join("usr/bin").join(program));
        command
            .args(arguments)
            .env("LD_LIBRARY_PATH", self.root().join("usr/lib"));
        run(command, "", PATIENCE).ok().stdout
    }

    /// A key to sign others with that takes no time to make; pacman-key makes a large one only where there is none.
    fn make_master_key(&self) {
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::create_dir(self.gpg()).expect("a place for keys");
        std::fs::set_permissions(self.gpg(), mode).expect("the mode of an own folder");
        // As pacman-key does it: nobody has a card to look for.
        std::fs::write(self.gpg().join("gpg-agent.conf"), "disable-scdaemon\n")
            .expect("the agent's settings");
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(self.gpg());
        gpg.args(["--batch", "--quiet", "--passphrase", "", "--quick-generate-key"]);
        gpg.args(["client@localhost", "ed25519", "cert", "never"]);
        run(gpg, "", PATIENCE).ok();
    }

    fn keyring(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut command = self.command("pacman-key");
        command
            .arg("--gpgdir")
            .arg(self.gpg())
            .arg("--config")
            .arg(self.config())
            .args(arguments);
        run(command, input, PATIENCE)
    }

    fn command(&self, program: &str) -> Command {
        match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
            None => Command::new(program),
        }
    }

    fn gpg(&self) -> PathBuf {
        self.dir.join("gpg")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("pacman.conf")
    }
}

/// The stanza for pacman.conf that `node` prints, with itself as the only server.
#[track_caller]
pub fn only(node: &Node) -> String {
    let said = node.cli(&["setup-pacman", "--print"]).ok().stdout;
    let stanza = said.split_once("\n[").expect("a stanza for pacman.conf").1;
    // A node names itself first, and others for when it is off.
    let is_server = |line: &&str| line.starts_with("Server");
    let own = stanza.lines().find(is_server).expect("a Server line");
    let lines = stanza.lines().filter(|line| !is_server(line) || *line == own);
    lines.fold("[".to_owned(), |text, line| text + line + "\n")
}

/// The bytes of a file that `node` serves below its repository, by curl; `None` for 404.
pub fn fetch(node: &Node, path: &str, to: &Path) -> Option<Vec<u8>> {
    let said = node.cli(&["setup-pacman", "--print"]).ok().stdout;
    let server = said
        .lines()
        .find_map(|line| line.strip_prefix("Server = "))
        .expect("a Server line");
    let root = server.split("/$repo").next().expect("the root of the server");
    let mut command = Command::new("curl");
    command
        .args(["-sS", "--fail", "--max-time", "30", "-o"])
        .arg(to)
        .arg(format!("{root}/{path}"));
    let outcome = run(command, "", PATIENCE);
    // 22: the server answered 400 or more.
    if outcome.code == Some(22) {
        return None;
    }
    outcome.ok();
    Some(std::fs::read(to).expect("what was fetched"))
}
