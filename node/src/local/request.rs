//! What the command line asks its node, and what comes back.
//!
//! A connection carries one request. Trees and keys that a command brings follow their request as chunks; answers are
//! one [`LocalReply::Done`], `Value` or `Failed`, after any number of `Event`, `Bytes` and `Note`.

use std::time::Duration;

use pacmesh_protocol::{
    ids::{Digest, JobId, RequestId},
    ledger::kinds::{BuildOptions, Origin},
    names::{Architecture, MeshName, PackageName, RepositoryName},
    roles::Roles,
};
use pacmesh_signing::{account::Access, backup::Passphrase};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::marks::{BuildMark, LogMark};
use super::views::{
    BuildEvent, CheckView, InitView, InviteView, JobView, JoinView, NodeView, PackageView, PacmanView,
    RestoreView, SignerView, StatusView, UserView,
};

/// Greatest length of a chunk of a stream, in bytes.
pub const CHUNK: usize = 256 << 10;

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalRequest {
    /// `init`
    Init {
        /// The mesh's display name.
        name: Option<MeshName>,
        /// Its first repository.
        repository: Option<RepositoryName>,
    },
    /// `join`
    Join {
        /// As printed by `invite`.
        token: String,
    },
    /// `invite`
    Invite {
        /// What the joiner may become.
        roles: Roles,
        /// How long it is good.
        expires: Duration,
        /// For how many nodes.
        uses: u32,
        /// Contents of an exported authority key, or the recovery code.
        authority: Option<String>,
    },
    /// `leave`
    Leave,
    /// `status`
    Status,
    /// `nodes`
    Nodes,
    /// `jobs`
    Jobs {
        /// Ended ones, too.
        all: bool,
        /// Failed ones only.
        failed: bool,
    },
    /// `packages`
    Packages,
    /// Stores a source tree; followed by [`LocalChunk`]s. Answered by [`LocalReply::Stored`].
    Store,
    /// `build`, of trees that were stored before.
    Build {
        /// What.
        sources: Vec<BuildSource>,
        /// Where to.
        repository: Option<RepositoryName>,
        /// For which architectures.
        arches: Vec<Architecture>,
        /// How.
        options: BuildOptions,
        /// Track the sources.
        track: bool,
        /// Answer with events until every job ended, else as soon as they are queued.
        wait: bool,
        /// Drawn by the caller: asked again under it, nothing is done twice.
        request: RequestId,
    },
    /// `rebuild`
    Rebuild {
        /// Bases.
        bases: Vec<PackageName>,
        /// As in `Build`.
        wait: bool,
        /// As in `Build`.
        request: RequestId,
    },
    /// `logs`
    Logs {
        /// An id prefix or a package base.
        job: String,
        /// Go on until the job ends.
        follow: bool,
    },
    /// `why`
    Why {
        /// An id prefix or a package base.
        job: String,
    },
    /// `cancel`
    Cancel {
        /// An id prefix or a package base.
        job: String,
    },
    /// `retry`
    Retry {
        /// An id prefix or a package base.
        job: String,
    },
    /// `remove`
    Remove {
        /// Package names or bases.
        names: Vec<PackageName>,
    },
    /// `keys list`
    Keys,
    /// `keys export`
    ExportKeys,
    /// `keys trust`, `keys import`: a certificate, binary or armoured.
    TrustKey {
        /// The certificate.
        certificate: Vec<u8>,
    },
    /// `keys distrust`
    DistrustKey {
        /// Fingerprint or the end of one.
        fingerprint: String,
    },
    /// `node …`
    Node {
        /// Display name or id.
        node: String,
        /// What.
        action: NodeAction,
    },
    /// `lead`
    Lead {
        /// Display name or id.
        node: String,
    },
    /// `setup-pacman`
    SetupPacman,
    /// `config get`
    GetSetting {
        /// Empty: all.
        name: String,
    },
    /// `config set`
    SetSetting {
        /// Which.
        name: String,
        /// Empty: as by default.
        value: String,
    },
    /// `repo check`
    CheckRepository,
    /// `backup`: answered by [`LocalReply::Bytes`] until [`LocalReply::Done`].
    Backup {
        /// What will open it.
        passphrase: Passphrase,
    },
    /// The file of a backup was written: `status` reminds no longer.
    BackupKept,
    /// `restore`; followed by the backup as [`LocalChunk`]s.
    Restore {
        /// What opens it.
        passphrase: Passphrase,
    },
    /// `build` or `rebuild` whose answer broke off: its rest.
    ResumeBuild {
        /// As it came last.
        mark: BuildMark,
        /// As it came last.
        log: Option<LogMark>,
    },
    /// `logs -f` whose answer broke off: its rest.
    ResumeLogs {
        /// As it came last.
        log: LogMark,
    },
    /// `hold` and `unhold`
    Hold {
        /// Package bases.
        bases: Vec<PackageName>,
        /// Hold, else release.
        hold: bool,
    },
    /// `user add`
    AddUser {
        /// Its name.
        name: String,
        /// What it may do.
        access: Access,
        /// As typed.
        password: Password,
    },
    /// `user remove`
    RemoveUser {
        /// Its name.
        name: String,
    },
    /// `user list`
    Users,
}

/// A password on its way to its hash: wiped when dropped, shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Password(Zeroizing<String>);

impl Password {
    /// As typed.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// For hashing.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Password> for String {
    fn from(password: Password) -> Self {
        password.0.as_str().to_owned()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What `node` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeAction {
    /// Takes no new work.
    Drain,
    /// Takes work again.
    Resume,
    /// Cut off until reinstated.
    Suspend {
        /// What it built, signed or published since then is withdrawn; milliseconds since 1970.
        quarantine_since_ms: Option<u64>,
    },
    /// Cut off for ever; signed by the authority's key (in this home, or brought along).
    Revoke {
        /// Contents of an exported authority key, or the recovery code.
        authority: Option<String>,
        /// As with `Suspend`.
        quarantine_since_ms: Option<u64>,
    },
    /// Lifts a suspension; signed by the authority's key.
    Reinstate {
        /// Contents of an exported authority key, or the recovery code.
        authority: Option<String>,
    },
}

/// A source of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSource {
    /// As typed.
    pub label: String,
    /// Stored by [`LocalRequest::Store`] before.
    pub tree: Digest,
    /// Where it came from.
    pub origin: Origin,
    /// SOURCE_DATE_EPOCH, in seconds.
    pub epoch: u64,
}

/// A part of a stream towards the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalChunk {
    /// At most [`CHUNK`] bytes.
    Bytes(Vec<u8>),
    /// That was all.
    End,
}

/// What the node answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LocalReply {
    /// It is done; for people.
    Done(String),
    /// It failed: one line that names the thing, the reason and the next step.
    Failed(String),
    /// Something to say on the way, for people.
    Note(String),
    /// A part of a stream.
    Bytes(Vec<u8>),
    /// A build goes on.
    Event(BuildEvent),
    /// To `Store`.
    Stored(Digest),
    /// To `Status`.
    Status(Box<StatusView>),
    /// To `Nodes`.
    Nodes(Vec<NodeView>),
    /// To `Jobs`; more may follow until `Done`.
    Jobs(Vec<JobView>),
    /// To `Packages`; more may follow until `Done`.
    Packages(Vec<PackageView>),
    /// To `Init`.
    Founded(Box<InitView>),
    /// To `Join`.
    Joined(JoinView),
    /// To `Invite`.
    Invited(InviteView),
    /// To `Keys`.
    Keys(Vec<SignerView>),
    /// To `SetupPacman`.
    Pacman(PacmanView),
    /// To `GetSetting`.
    Settings(Vec<(String, String)>),
    /// To `Cancel` and `Retry`: which jobs it was about.
    Touched(Vec<JobId>),
    /// To `CheckRepository`.
    Checked(CheckView),
    /// To `Restore`.
    Restored(Box<RestoreView>),
    /// All of a build that came before this was told; to be given back where the answer breaks off.
    BuildMark(Box<BuildMark>),
    /// So much of a log came; to be given back where the answer breaks off.
    LogMark(LogMark),
    /// To `Users`.
    Users(Vec<UserView>),
}
