//! What people and scripts see: the fields that `--json` promises (DESIGN, "The command line").
//!
//! These types are serialised as they stand, so a field here is a promise. No machine's own type is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `status --json`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// This node.
    pub node: StatusNode,
    /// Its mesh; `null` before `init` or `join`.
    pub mesh: Option<Named>,
    /// `master`, `standby`, `worker` or `storage`.
    pub role: String,
    /// Of the reign that it follows; 0 for none.
    pub term: u64,
    /// Who leads.
    pub master: Option<Named>,
    /// Admitted, and neither left nor cut off.
    pub members: usize,
    /// Of these, in reach, with this node.
    pub alive: usize,
    /// How many jobs are in which state.
    pub jobs: JobCounts,
    /// Packages in force.
    pub packages: usize,
    /// `<repo>/<arch>`: the generation that this node shows.
    pub generation: BTreeMap<String, u64>,
    /// Copies of what records name.
    pub copies: Copies,
    /// What somebody should look at.
    pub problems: Vec<String>,
}

/// A node with its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusNode {
    /// Hex.
    pub id: String,
    /// As shown.
    pub name: String,
    /// Of the binary.
    pub version: String,
}

/// An id with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Hex.
    pub id: String,
    /// As shown.
    pub name: String,
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobCounts {
    /// Accepted, not running.
    pub queued: usize,
    /// On a worker.
    pub running: usize,
    /// In the repository.
    pub published: usize,
    /// Given up.
    pub failed: usize,
    /// By request.
    pub cancelled: usize,
}

/// Copies of what records name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Copies {
    /// `replication.copies`.
    pub wanted: u32,
    /// How many of the blobs that records name have fewer.
    pub short: usize,
    /// Of these, how many are being copied now.
    pub coming: usize,
}

/// `repo check --json`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// How many blobs, package files and databases were read.
    pub checked: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// What was damaged and is whole again.
    pub healed: Vec<DamageView>,
    /// What is damaged, and nobody in reach has.
    pub damaged: Vec<DamageView>,
}

/// Something that was found damaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DamageView {
    /// With its package and its file, where it belongs to one.
    pub what: String,
    /// Where it lies.
    pub path: String,
}

/// One line of `nodes --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Hex.
    pub id: String,
    /// As shown.
    pub name: String,
    /// `alive`, `suspect`, `lost`, `left`, `suspended` or `revoked`.
    pub state: String,
    /// In words.
    pub roles: Vec<String>,
    /// What its build roots are made of.
    pub environment: String,
    /// What it can build for.
    pub arches: Vec<String>,
    /// How many builds at once.
    pub slots: u32,
    /// How many run.
    pub running: u32,
    /// Of its transport.
    pub addresses: Vec<String>,
    /// Of its binary.
    pub version: String,
    /// Milliseconds since it last answered; 0 for this node.
    pub last_seen_ms: u64,
    /// Alive by the word of others only: this node does not reach it.
    pub relayed: bool,
}

/// One line of `jobs --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Hex.
    pub id: String,
    /// The package base.
    pub base: String,
    /// As built, or as probed.
    pub version: String,
    /// For which architecture.
    pub arch: String,
    /// Where its packages go.
    pub repository: String,
    /// `queued`, `running`, `published`, `failed` or `cancelled`.
    pub state: String,
    /// Who builds or built it.
    pub worker: Option<String>,
    /// How many attempts.
    pub attempts: u32,
    /// On how many replicas its archives are, least of them; 0 before it is published.
    pub copies: u32,
    /// Why it does not run.
    pub waiting_for: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// RFC 3339.
    pub submitted_at: Option<String>,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
}

/// One line of `packages --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackageView {
    /// The package.
    pub name: String,
    /// Its base.
    pub base: String,
    /// Full version.
    pub version: String,
    /// The database's architecture.
    pub arch: String,
    /// The repository.
    pub repository: String,
    /// Of its archive.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// Hex.
    pub sha256: String,
    /// Hex.
    pub blake3: String,
    /// Fingerprint.
    pub signer: Option<String>,
    /// Who built it, hex.
    pub worker: String,
    /// By which job, hex.
    pub job: String,
    /// RFC 3339.
    pub built_at: String,
}

/// One line of `build --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct BuildEvent {
    /// `queued`, `started`, `published`, `failed`, `cancelled` or `finished`.
    pub event: String,
    /// Hex; empty for `finished`.
    pub job: String,
    /// The package base.
    pub base: String,
    /// Who builds it, hex.
    pub worker: Option<String>,
    /// That node's name, for people.
    pub worker_name: Option<String>,
    /// Which attempt.
    pub attempt: u32,
    /// As published.
    pub version: Option<String>,
    /// On how many replicas.
    pub copies: u32,
    /// Why it failed.
    pub error: Option<String>,
    /// With `finished`: how many were published.
    pub published: usize,
    /// With `finished`: how many were not.
    pub failed: usize,
}

/// What `init` brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InitView {
    /// The mesh.
    pub mesh: Named,
    /// Its first repository.
    pub repository: String,
    /// Gives the authority key back when all else is lost.
    pub recovery_code: String,
    /// For pacman.conf.
    pub stanza: String,
}

/// What `join` brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinView {
    /// The mesh.
    pub mesh: Named,
    /// This node, as it is shown.
    pub node: Named,
    /// In words.
    pub roles: Vec<String>,
}

/// What `invite` brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InviteView {
    /// For `join`.
    pub token: String,
    /// In words.
    pub roles: Vec<String>,
    /// RFC 3339.
    pub expires_at: String,
    /// For how many nodes.
    pub uses: u32,
}

/// `restore --json`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreView {
    /// The mesh that it is in again.
    pub mesh: Named,
    /// This node, as before.
    pub node: Named,
    /// Whether the authority key came with it.
    pub authority: bool,
    /// Where keys lie now that were in the way.
    pub aside: Vec<String>,
}

/// One line of `keys list --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignerView {
    /// Hex, upper case.
    pub fingerprint: String,
    /// Whose.
    pub user_id: String,
    /// The node that signs with it, as shown.
    pub node: Option<String>,
    /// Whether its signatures count.
    pub trusted: bool,
}

/// What a pacman needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PacmanView {
    /// For pacman.conf.
    pub stanza: String,
    /// All that a client needs, armoured.
    pub keys: String,
    /// To be signed locally.
    pub fingerprints: Vec<String>,
}
/// A user of the HTTP side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Its name.
    pub name: String,
    /// `full`, `reporter` or `read`.
    pub role: String,
}
