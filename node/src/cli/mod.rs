//! The command line: what is typed becomes one request to a running node, and the answer becomes text or JSON.
//!
//! No logic of its own. Exit codes: 0 done, 1 it failed (the reason on stderr), 2 usage, 3 no node answers; the daemon
//! ends with 4 where another machine runs with its key.

mod backup;
mod build;
mod daemon;
mod exit;
mod follow;
mod keys;
mod member;
mod print;
mod repo;
mod show;
mod since;
mod unseen;
mod user;

use std::{os::unix::process::CommandExt, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand};
use pacmesh_protocol::{
    names::{Architecture, MeshName, PackageName, RepositoryName},
    roles::Roles,
};

use crate::home::Home;
pub(crate) use exit::Failure;

const FIRST_EVENING: &str = "\
A first evening:
  desktop$ pacmesh daemon &                 start this machine's node (or its systemd unit)
  desktop$ pacmesh init --repo home         found a mesh; keep the recovery code that it prints
  desktop$ pacmesh invite                   print a token, good for one machine within an hour
  laptop$  pacmesh daemon &
  laptop$  pacmesh join                     paste the token: the laptop is in
  laptop$  pacmesh build ./my-package       built wherever there is room, signed, published
  any$     pacmesh setup-pacman --print     what to type on machines that install from the mesh
  any$     pacmesh status                   who leads, who is alive, what needs a look

Several nodes on one machine: give each its own --home DIR (and ports, see 'pacmesh daemon --help').";

/// A build farm for Arch Linux package repositories out of the machines on a network.
#[derive(Debug, Parser)]
#[command(name = "pacmesh", version, after_help = FIRST_EVENING, disable_help_subcommand = true)]
struct Cli {
    /// Keep everything of this node below DIR.
    #[arg(long, global = true, env = "PACMESH_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run this machine's node; before 'init' or 'join' it waits.
    Daemon(DaemonArgs),
    /// Found a mesh with this node.
    Init {
        /// The mesh's display name.
        #[arg(long)]
        name: Option<MeshName>,
        /// Its first repository, as it will stand in pacman.conf [default: the mesh's name].
        #[arg(long)]
        repo: Option<RepositoryName>,
        #[command(flatten)]
        json: Json,
    },
    /// Print a token with which other machines join; the last line is the token alone.
    Invite {
        /// What they may do: peer (all), guest (only build), storage (only keep), client (only submit).
        #[arg(long = "as", value_name = "PRESET", default_value = "peer")]
        preset: Roles,
        /// How long the token is good.
        #[arg(long, value_name = "D", default_value = "1h", value_parser = humantime::parse_duration)]
        expires: Duration,
        /// For how many machines.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,
        #[command(flatten)]
        authority: AuthorityFile,
        #[command(flatten)]
        json: Json,
    },
    /// Enter a mesh; without TOKEN it is asked for, '-' reads it from standard input.
    Join {
        /// As printed by 'pacmesh invite'.
        token: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Leave the mesh for good.
    Leave,
    /// Who leads, who is alive, what needs a look.
    Status(Json),
    /// The machines of the mesh.
    Nodes(Json),
    /// What is queued and running.
    Jobs {
        /// Failed ones only.
        #[arg(long)]
        failed: bool,
        /// Ended ones, too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        json: Json,
    },
    /// What is published.
    Packages(Json),
    /// Build packages from source directories, and track them; waits until they are published, unless detached.
    Build(BuildArgs),
    /// Build a tracked package again, as a new release.
    Rebuild {
        /// Package bases.
        #[arg(required = true)]
        bases: Vec<PackageName>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show the log of a job.
    Logs {
        /// A job id, the beginning of one, or a package base (its last job).
        job: String,
        /// Go on until the job ends.
        #[arg(short, long)]
        follow: bool,
    },
    /// Say why a job waits or failed.
    Why {
        /// A job id, the beginning of one, or a package base (its last job).
        job: String,
    },
    /// Stop a job.
    Cancel {
        /// A job id, the beginning of one, or a package base (its last job).
        job: String,
    },
    /// Try a failed or cancelled job again.
    Retry {
        /// A job id, the beginning of one, or a package base (its last job).
        job: String,
    },
    /// Build tracked packages only when somebody asks for it.
    Hold {
        /// Package bases.
        #[arg(required = true)]
        bases: Vec<PackageName>,
    },
    /// Let held packages be built again by themselves.
    Unhold {
        /// Package bases.
        #[arg(required = true)]
        bases: Vec<PackageName>,
    },
    /// Remove packages from the repository.
    Remove {
        /// Package names, or bases for all their packages.
        #[arg(required = true)]
        packages: Vec<PackageName>,
    },
    /// The keys that packages are signed with.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Administer the machines of the mesh.
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Hand the lead to another machine.
    Lead {
        /// Its name or id.
        node: String,
    },
    /// Say how a pacman installs from this mesh.
    SetupPacman {
        /// Print what to type and the stanza for pacman.conf.
        #[arg(long, required = true)]
        print: bool,
    },
    /// The repository as this machine keeps it.
    Repo {
        #[command(subcommand)]
        command: RepoCommand,
    },
    /// Who may log in at the HTTP side, as workers of ahriman do.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Settings of the mesh.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Write this node's keys and what it needs to come back into a file, sealed with a passphrase.
    Backup {
        /// A new file; an existing one is never overwritten.
        file: PathBuf,
    },
    /// Make this machine the node of a backup again. The old one must not run any more.
    Restore {
        /// As written by 'pacmesh backup'.
        file: PathBuf,
        #[command(flatten)]
        json: Json,
    },
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages.
    Man {
        /// Into which folder.
        dir: PathBuf,
    },
    /// Runs one stage of a build in its sandbox.
    #[command(hide = true)]
    Runner {
        /// As the worker calls it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, Clone, Args)]
struct AuthorityFile {
    /// The exported authority key, or the recovery code, where the key is not in this home; '-' reads standard input.
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Args)]
struct Json {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Where the API listens [default: 127.0.0.1:8080].
    #[arg(long, env = "PACMESH_HTTP_API", value_name = "ADDR")]
    http_api: Option<std::net::SocketAddr>,
    /// Where the repository is served [default: [::]:7480].
    #[arg(long, env = "PACMESH_HTTP_REPO", value_name = "ADDR")]
    http_repo: Option<std::net::SocketAddr>,
    /// Discovery on PORT, transport on the next one; port 0 draws free ones [default: [::]:7420].
    #[arg(long, env = "PACMESH_LISTEN", value_name = "IP[:PORT]")]
    listen: Option<String>,
    /// A node beyond this network.
    #[arg(long, env = "PACMESH_BOOTSTRAP", value_delimiter = ',', value_name = "ADDR")]
    bootstrap: Vec<String>,
    /// Do not look around by mDNS.
    #[arg(long)]
    no_mdns: bool,
    /// The name by which others see this machine [default: the host's].
    #[arg(long, env = "PACMESH_NAME")]
    name: Option<String>,
    /// How many builds at once [default: by cores and memory].
    #[arg(long, env = "PACMESH_SLOTS", value_name = "N")]
    slots: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Directories with a PKGBUILD ('.', or a path with a '/').
    #[arg(default_value = ".")]
    sources: Vec<String>,
    #[command(flatten)]
    wait: Wait,
    /// Into which repository [default: the mesh's first].
    #[arg(long)]
    repo: Option<RepositoryName>,
    /// For which architectures [default: all that repository and PKGBUILD name].
    #[arg(long)]
    arch: Vec<Architecture>,
    /// Build once, and do not track the source.
    #[arg(long)]
    once: bool,
    /// Skip check().
    #[arg(long)]
    nocheck: bool,
    /// Build although the PKGBUILD does not name the architecture.
    #[arg(long)]
    ignorearch: bool,
    /// Take sources of more than 64 MiB.
    #[arg(long)]
    force: bool,
    /// Accepted for makepkg's sake; nothing is ever asked.
    #[arg(long)]
    noconfirm: bool,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Wait {
    /// Return as soon as the jobs are queued.
    #[arg(short, long)]
    detach: bool,
    /// Print one JSON object per event.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// All keys and whether they are trusted.
    List(Json),
    /// Every key that a client needs, armoured: for 'pacman-key --add -'.
    Export,
    /// Trust a certificate from a file ('-': standard input).
    Import {
        /// Binary or armoured.
        file: PathBuf,
    },
    /// Trust a certificate from a file ('-': standard input); the same as import.
    Trust {
        /// Binary or armoured.
        file: PathBuf,
    },
    /// Trust a key no longer.
    Distrust {
        /// Its fingerprint, or the end of it.
        fingerprint: String,
    },
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Give it no new work.
    Drain {
        /// Its name or id.
        node: String,
    },
    /// Give it work again.
    Resume {
        /// Its name or id.
        node: String,
    },
    /// Cut it off at once, until it is reinstated.
    Suspend {
        /// Its name or id.
        node: String,
        #[command(flatten)]
        quarantine: Quarantine,
    },
    /// Cut it off for ever: the authority's word.
    Revoke {
        /// Its name or id.
        node: String,
        #[command(flatten)]
        authority: AuthorityFile,
        #[command(flatten)]
        quarantine: Quarantine,
    },
    /// Lift a suspension: the authority's word.
    Reinstate {
        /// Its name or id.
        node: String,
        #[command(flatten)]
        authority: AuthorityFile,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct Quarantine {
    /// Also withdraw what it built, signed or published since then, and build it anew elsewhere: a span (2h, 3d), a day
    /// (2026-11-25) or a time (2026-11-25T14:00:00Z).
    #[arg(long = "quarantine", value_name = "SINCE", value_parser = since::parse)]
    since_ms: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    /// Read all blobs and package files of this machine again, and mend what is damaged from other machines.
    Check(Json),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user, or give it another password and role; the password is read from the terminal or standard input.
    Add {
        /// Its name.
        name: String,
        /// What it may do: full (a worker), reporter or read.
        #[arg(long, value_name = "ROLE", default_value = "full")]
        role: pacmesh_signing::account::Access,
    },
    /// All users and what they may do.
    List(Json),
    /// Remove a user; its sessions end.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a setting of the mesh, or all.
    Get {
        /// Which.
        name: Option<String>,
    },
    /// Change a setting of the mesh; an empty value brings the default back.
    Set {
        /// Which.
        name: String,
        /// To what.
        value: String,
    },
}

/// Parses, runs, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    if let Some(error) = start_without_key_log() {
        return Failure::Failed(format!("cannot start again without {KEY_LOG}: {error}: unset it")).report();
    }
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Names the file to which TLS libraries write the secrets of all connections. libp2p asks for it, and no node ever shall.
const KEY_LOG: &str = "SSLKEYLOGFILE";

/// Where the variable is set: this program anew, without it. Only a failure comes back.
fn start_without_key_log() -> Option<std::io::Error> {
    std::env::var_os(KEY_LOG)?;
    let mut words = std::env::args_os();
    let mut again = std::process::Command::new("/proc/self/exe");
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    Some(again.args(words).env_remove(KEY_LOG).exec())
}

fn run(cli: Cli) -> Result<(), Failure> {
    let home = Home::resolve(cli.home.as_deref())?;
    match cli.command {
        Command::Daemon(args) => daemon::run(home, args),
        Command::Runner { arguments } => daemon::runner(arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "pacmesh", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { dir } => man(&dir),
        other => ask(&home, other),
    }
}

/// The commands that talk to a node; a small runtime is enough for them.
fn ask(home: &Home, command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Init { name, repo, json } => member::init(home, name, repo, json.json).await,
            Command::Invite {
                preset,
                expires,
                uses,
                authority,
                json,
            } => member::invite(home, preset, expires, uses, authority, json.json).await,
            Command::Join { token, json } => member::join(home, token, json.json).await,
            Command::Leave => member::leave(home).await,
            Command::Node { command } => member::node(home, command).await,
            Command::Lead { node } => member::lead(home, node).await,
            Command::Status(json) => show::status(home, json.json).await,
            Command::Nodes(json) => show::nodes(home, json.json).await,
            Command::Jobs { failed, all, json } => show::jobs(home, all, failed, json.json).await,
            Command::Packages(json) => show::packages(home, json.json).await,
            Command::Why { job } => show::why(home, job).await,
            Command::Logs { job, follow } => follow::logs(home, job, follow).await,
            Command::Build(args) => build::build(home, args).await,
            Command::Rebuild { bases, wait } => build::rebuild(home, bases, wait).await,
            Command::Cancel { job } => build::cancel(home, job).await,
            Command::Retry { job } => build::retry(home, job).await,
            Command::Hold { bases } => build::hold(home, bases, true).await,
            Command::Unhold { bases } => build::hold(home, bases, false).await,
            Command::Remove { packages } => build::remove(home, packages).await,
            Command::Keys { command } => keys::run(home, command).await,
            Command::SetupPacman { print: _ } => keys::setup_pacman(home).await,
            Command::Repo {
                command: RepoCommand::Check(json),
            } => repo::check(home, json.json).await,
            Command::User { command } => user::run(home, command).await,
            Command::Config { command } => show::config(home, command).await,
            Command::Backup { file } => backup::back_up(home, &file).await,
            Command::Restore { file, json } => backup::restore(home, &file, json.json).await,
            Command::Daemon(_)
            | Command::Runner { .. }
            | Command::Completions { .. }
            | Command::Man { .. } => {
                unreachable!("answered without a node")
            }
        }
    })
}

fn man(dir: &std::path::Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    Ok(())
}
