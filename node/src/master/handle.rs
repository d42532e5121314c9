//! What others may ask the master's room, whether or not this node leads.

use pacmesh_protocol::{
    entry::{CarriedKnock, KnockReply},
    ids::{Digest, JobId, NodeId, Term},
    ledger::record::ReignId,
    names::PackageVersion,
    reign::{
        Role,
        document::{Ballot, Document},
    },
    signed::Signed,
    wire::{CarriedReply, CopiesState, LiveJob, Reply},
    work::{Fence, Report},
};
use tokio::sync::{mpsc, oneshot, watch};

/// How many questions may wait for the room; more have to wait outside.
const QUEUE: usize = 256;

/// Who leads, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// What this node is.
    pub role: Role,
}

impl Leadership {
    /// Who leads.
    pub fn master(&self) -> Option<NodeId> {
        self.role.reign().map(|reign| reign.node)
    }

    /// The number of the reign; 0 for none.
    pub fn term(&self) -> Term {
        self.role.reign().map_or(0, |reign| reign.term)
    }
}

/// A question to the room.
#[derive(Debug)]
pub enum Message {
    /// Somebody wants to lead.
    Claim {
        /// Who.
        from: NodeId,
        /// The claim.
        claim: Signed,
        /// The answer.
        reply: oneshot::Sender<Ballot>,
    },
    /// A reign began.
    Document {
        /// Who says so.
        from: NodeId,
        /// Its proof.
        document: Box<Document>,
    },
    /// The master hands over to this node.
    Abdicated {
        /// Who says so.
        from: NodeId,
        /// Which reign ends.
        reign: ReignId,
    },
    /// This node stops leading.
    Abdicate {
        /// Who should lead next.
        to: Option<NodeId>,
    },
    /// To the leader.
    Lead(LeaderMessage),
}

/// A question to the leading master.
#[derive(Debug)]
pub enum LeaderMessage {
    /// A change.
    Carry {
        /// The authenticated neighbour who brings it.
        from: NodeId,
        /// A signed [`pacmesh_protocol::wire::Carried`].
        carried: Signed,
        /// The answer.
        reply: oneshot::Sender<CarriedReply>,
    },
    /// Somebody at some member's door.
    Knock {
        /// Knock and session.
        knock: Box<CarriedKnock>,
        /// The answer.
        reply: oneshot::Sender<KnockReply>,
    },
    /// A worker asks for its pkgrel.
    Prepared {
        /// Who.
        worker: NodeId,
        /// Which job.
        job: JobId,
        /// Which attempt.
        fence: Fence,
        /// After `pkgver()`.
        version: PackageVersion,
        /// The answer.
        reply: oneshot::Sender<Reply>,
    },
    /// An attempt ended.
    Report {
        /// Who says so.
        worker: NodeId,
        /// How.
        report: Box<Report>,
        /// The acknowledgement.
        reply: oneshot::Sender<Reply>,
    },
    /// What is known of jobs beyond the ledger.
    JobStates {
        /// Empty: all open ones.
        jobs: Vec<JobId>,
        /// The answer.
        reply: oneshot::Sender<Vec<LiveJob>>,
    },
    /// How do the copies stand?
    Copies {
        /// The answer.
        reply: oneshot::Sender<CopiesState>,
    },
    /// A replica is about to go.
    CopySole {
        /// Which.
        node: NodeId,
        /// What is still only there when nothing more can be done.
        reply: oneshot::Sender<Vec<Digest>>,
    },
}

/// The way into the room.
#[derive(Debug, Clone)]
pub struct MasterHandle {
    sender: mpsc::Sender<Message>,
    leadership: watch::Receiver<Leadership>,
}

/// The room's side of a handle.
#[derive(Debug)]
pub struct Inbox {
    /// Questions.
    pub(super) messages: mpsc::Receiver<Message>,
    /// What the handle shows.
    pub(super) leadership: watch::Sender<Leadership>,
}

impl MasterHandle {
    /// A handle, and the inbox for [`super::ReignDriver`].
    pub fn new() -> (Self, Inbox) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let (shown, leadership) = watch::channel(Leadership { role: Role::Standby });
        (
            Self { sender, leadership },
            Inbox {
                messages,
                leadership: shown,
            },
        )
    }

    /// Who leads now.
    pub fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }

    /// Who leads, as it changes.
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Asks; `None` when the room is closed or the question was dropped (the reign ended meanwhile).
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(message(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Judges a claim.
    pub async fn claim(&self, from: NodeId, claim: Signed) -> Option<Ballot> {
        self.ask(|reply| Message::Claim { from, claim, reply }).await
    }

    /// Tells of a reign.
    pub async fn document(&self, from: NodeId, document: Document) {
        let message = Message::Document {
            from,
            document: Box::new(document),
        };
        self.tell(message).await;
    }

    /// Takes a lead that is handed over.
    pub async fn abdicated(&self, from: NodeId, reign: ReignId) {
        self.tell(Message::Abdicated { from, reign }).await;
    }

    /// Hands the lead over, if this node has it.
    pub async fn abdicate(&self, to: Option<NodeId>) {
        self.tell(Message::Abdicate { to }).await;
    }

    /// Asks for a change; `NotMaster` when this node does not lead.
    pub async fn carry(&self, from: NodeId, carried: Signed) -> CarriedReply {
        self.ask(|reply| Message::Lead(LeaderMessage::Carry { from, carried, reply }))
            .await
            .unwrap_or_else(|| CarriedReply::NotMaster {
                master: self.leadership().master(),
            })
    }

    /// Asks for admission of somebody; `Wait` when this node does not lead.
    pub async fn knock_here(&self, knock: CarriedKnock) -> KnockReply {
        self.ask(|reply| {
            Message::Lead(LeaderMessage::Knock {
                knock: Box::new(knock),
                reply,
            })
        })
        .await
        .unwrap_or(KnockReply::Wait)
    }

    /// Asks with which pkgrel to build.
    pub async fn prepared(&self, worker: NodeId, job: JobId, fence: Fence, version: PackageVersion) -> Reply {
        self.ask(|reply| {
            Message::Lead(LeaderMessage::Prepared {
                worker,
                job,
                fence,
                version,
                reply,
            })
        })
        .await
        .unwrap_or_else(not_leading)
    }

    /// Reports an attempt; answered by `Done` once the record that ends the job is synced.
    pub async fn report(&self, worker: NodeId, report: Report) -> Reply {
        self.ask(|reply| {
            Message::Lead(LeaderMessage::Report {
                worker,
                report: Box::new(report),
                reply,
            })
        })
        .await
        .unwrap_or_else(not_leading)
    }

    /// What the leading node knows of jobs; `None` when it is not this one.
    pub async fn job_states(&self, jobs: Vec<JobId>) -> Option<Vec<LiveJob>> {
        self.ask(|reply| Message::Lead(LeaderMessage::JobStates { jobs, reply }))
            .await
    }

    /// How the copies stand; `None` when this node does not lead.
    pub async fn copies(&self) -> Option<CopiesState> {
        self.ask(|reply| Message::Lead(LeaderMessage::Copies { reply }))
            .await
    }

    /// Has others keep what only `node` holds; what is still only there, `None` when this node does not lead.
    pub async fn copy_sole(&self, node: NodeId) -> Option<Vec<Digest>> {
        self.ask(|reply| Message::Lead(LeaderMessage::CopySole { node, reply }))
            .await
    }

    async fn tell(&self, message: Message) {
        if self.sender.send(message).await.is_err() {
            tracing::debug!("the master's room is closed");
        }
    }
}

fn not_leading() -> Reply {
    Reply::Refused {
        reason: "this node does not lead, or ceased to".to_owned(),
    }
}
