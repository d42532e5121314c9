//! Why the ledger did not do what was asked: each names the file or the record, the reason and the next step.

use std::{path::PathBuf, sync::Arc};

use pacmesh_protocol::{
    codec::CodecError,
    ids::{Incarnation, MeshId, NodeId},
    ledger::record::RecordError,
};

/// The ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has it open; nothing was read.
    #[error("the ledger {} is in use by another process; stop the other pacmesh of this node first", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a ledger, or was damaged; it is unchanged.
    #[error(
        "the ledger {} is damaged ({reason}); move it away and start again, the other members have the records", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A later pacmesh wrote it; it is unchanged.
    #[error("the ledger {} has format {found} and this pacmesh reads up to {known}; install the newer pacmesh", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The greatest that this binary reads.
        known: u32,
    },
    /// It holds the facts of another mesh; it is unchanged.
    #[error("the ledger {} belongs to the mesh {found}, not to {wanted}; use another state directory", .path.display())]
    OtherMesh {
        /// The file.
        path: PathBuf,
        /// Its mesh.
        found: MeshId,
        /// The mesh of this node.
        wanted: MeshId,
    },
    /// It was written by a node with another key; it is unchanged.
    #[error("the ledger {} belongs to the node {found}, not to {wanted}; use the state directory of one node", .path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Its node.
        found: NodeId,
        /// This node.
        wanted: NodeId,
    },
    /// The disk or the database refused; nothing of the transaction is kept.
    #[error("the ledger {} could not be read or written; look at the disk", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Box<redb::Error>,
    },
    /// A value of ours has no encoding within its bound; nothing was written.
    #[error("a value cannot be stored in the ledger")]
    Codec(#[from] CodecError),
    /// The entries do not make a record; nothing was written.
    #[error("a record of this node cannot be written")]
    Record(#[from] RecordError),
    /// Every entry is outranked by what this node wrote before, or says nothing; nothing was written.
    #[error("a record of this node was not kept: {reason}")]
    NotKept {
        /// Why.
        reason: String,
    },
    /// A peer named a life of this node that no clock explains; the incarnation is unchanged.
    #[error("incarnation {known} is said to be known of this node, which is at {own}; that is not believed")]
    Implausible {
        /// What was said.
        known: Incarnation,
        /// What this node has.
        own: Incarnation,
    },
    /// The thread cannot be started.
    #[error("the ledger's thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The ledger was closed, or ended because the disk failed; what was asked may or may not be kept.
    #[error("the ledger is closed ({reason}); start the node again")]
    Closed {
        /// Why it ended.
        reason: Arc<str>,
    },
}

/// An error with its causes, for people who do not see the error itself.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
