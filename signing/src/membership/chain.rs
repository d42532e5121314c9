//! Credentials: the chain of admissions from the founder to one node, verified without asking anybody.
//!
//! Each link is an admission record. The first is the founder's, by the founder itself, and holds the authority's
//! founding statement. Every other is by the node that the link before it admits, which had the role master, gives a
//! greater seat, and holds an invitation that the authority signed for at least the roles that were given. The last
//! admits the node whose key TLS proved. Of the clock nothing is asked: expiry was judged at admission.

use pacmesh_protocol::codec;
use pacmesh_protocol::entry::{CREDENTIAL_LIMIT, CREDENTIAL_LINKS, Credential};
use pacmesh_protocol::ids::{MeshId, NodeId, Seat};
use pacmesh_protocol::ledger::kinds::{AdmissionV1, FoundingV1, InvitationStatementV1, Kind, Value, Warrant};
use pacmesh_protocol::ledger::record::{Entry, Position, Record, RecordError, VALUE_LIMIT};
use pacmesh_protocol::roles::{Role, Roles};
use pacmesh_protocol::signed::{Purpose, Signed};

use crate::node_key::Ed25519Verifier;

/// What the verdicts that a node holds say, as far as a chain is concerned.
pub trait Verdicts {
    /// Whether the admission of `admitted` that `author` wrote at `position` fell by a verdict on `author`.
    fn voids(&self, author: &NodeId, position: &Position, admitted: &NodeId) -> bool;

    /// Whether the node itself is suspended or revoked.
    fn excludes(&self, node: &NodeId) -> bool;
}

/// The verdicts known to someone who has not entered yet: none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoVerdicts;

impl Verdicts for NoVerdicts {
    fn voids(&self, _: &NodeId, _: &Position, _: &NodeId) -> bool {
        false
    }

    fn excludes(&self, _: &NodeId) -> bool {
        false
    }
}

/// Why a credential proves nothing. `link` counts from 0, the founder's.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No link at all.
    #[error("a stranger: it shows no admission")]
    Stranger,
    /// It speaks of another mesh.
    #[error("a node of another mesh ({})", theirs.short())]
    OtherMesh {
        /// Which.
        theirs: MeshId,
    },
    /// More links than a credential may have.
    #[error(
        "a chain of {0} admissions, at most {CREDENTIAL_LINKS} are allowed: let a node admit that entered earlier"
    )]
    TooManyLinks(usize),
    /// More bytes than a credential may have.
    #[error("a chain longer than {CREDENTIAL_LIMIT} bytes: let a node admit that entered earlier")]
    TooLong,
    /// A link is not a record of this mesh with a fitting signature.
    #[error("a forged chain: link {link} is no valid record")]
    Record {
        /// Which.
        link: usize,
        /// What is wrong with it.
        source: RecordError,
    },
    /// A link is written by someone else than the node admitted before.
    #[error("a forged chain: link {link} was not written by the node of the link before it")]
    Author {
        /// Which.
        link: usize,
    },
    /// A link does not admit the node that comes next.
    #[error("a forged chain: link {link} does not admit {}", node.short())]
    NoAdmission {
        /// Which.
        link: usize,
        /// Who should have been admitted.
        node: NodeId,
    },
    /// The founding or invitation in a link is not one that the authority signed for it.
    #[error("a forged chain: the authority did not sign the {what} in link {link}")]
    Warrant {
        /// Which.
        link: usize,
        /// Founding or invitation.
        what: &'static str,
    },
    /// The author of a link had no right to admit.
    #[error("a forged chain: link {link} is by {}, which is no master", author.short())]
    NoMaster {
        /// Which.
        link: usize,
        /// Its author.
        author: NodeId,
    },
    /// A link gives a seat that is not junior to its author's (or the founder's is not 0).
    #[error("a forged chain: link {link} gives seat {seat}, which is not after its author's")]
    Seat {
        /// Which.
        link: usize,
        /// The seat given.
        seat: Seat,
    },
    /// A link gives more roles than its invitation allows.
    #[error("a forged chain: link {link} gives the roles {given}, its invitation allows {allowed}")]
    Roles {
        /// Which.
        link: usize,
        /// Given.
        given: Roles,
        /// Allowed.
        allowed: Roles,
    },
    /// The chain is another node's.
    #[error("the credential of another node ({}), not of {}", last.short(), key.short())]
    WrongKey {
        /// Whose it is.
        last: NodeId,
        /// Who showed it.
        key: NodeId,
    },
    /// A verdict took away an admission on the path.
    #[error("the admission of {} by {} was withdrawn", node.short(), author.short())]
    Voided {
        /// Who had been admitted.
        node: NodeId,
        /// By whom.
        author: NodeId,
    },
    /// The node is suspended or revoked.
    #[error("{} is suspended or revoked", node.short())]
    Excluded {
        /// Which node.
        node: NodeId,
    },
}

/// A node whose credential was found good.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its key.
    pub node: NodeId,
    /// What its admission says (later edits of name and roles are the view's to know).
    pub admission: AdmissionV1,
    /// The records of the chain, founder's first: they belong into the ledger.
    pub records: Vec<Record>,
}

/// Verifies that `credential` makes `key` (proved by TLS) a member of `mesh`, when the other end says that it speaks
/// of the mesh `claimed`, by the verdicts that are known here.
///
/// # Errors
/// A distinct reason for each refusal; costs at most [`CREDENTIAL_LINKS`] times two signature checks.
pub fn verify_credential(
    credential: &Credential,
    claimed: &MeshId,
    mesh: &MeshId,
    key: &NodeId,
    verdicts: &dyn Verdicts,
) -> Result<Member, ChainError> {
    if claimed != mesh {
        return Err(ChainError::OtherMesh { theirs: *claimed });
    }
    check_size(credential)?;
    let records = verify_records(credential, mesh)?;
    let (node, admission) = walk(&records, mesh, key, verdicts)?;
    if node != *key {
        return Err(ChainError::WrongKey {
            last: node,
            key: *key,
        });
    }
    if verdicts.excludes(key) {
        return Err(ChainError::Excluded { node: *key });
    }
    Ok(Member {
        node,
        admission,
        records,
    })
}

/// Goes from the founder to the last link; gives whom that one admits, and how.
fn walk(
    records: &[Record],
    mesh: &MeshId,
    key: &NodeId,
    verdicts: &dyn Verdicts,
) -> Result<(NodeId, AdmissionV1), ChainError> {
    let (founding, later) = records.split_first().ok_or(ChainError::Stranger)?;
    let founder = founding.author();
    let mut node = founder;
    let mut admission = check_founder(founding, founder, mesh)?;
    for (at, record) in later.iter().enumerate() {
        let link = at + 1;
        // The next link's author says whom this one must admit; the last must admit whoever showed the chain.
        let admitted = match records.get(link + 1) {
            Some(next) => next.author(),
            None => last_admitted(record, key, link)?,
        };
        let given = check_link(link, record, (node, &admission), admitted, mesh)?;
        if verdicts.voids(&node, &record.position(), &admitted) {
            return Err(ChainError::Voided {
                node: admitted,
                author: node,
            });
        }
        (node, admission) = (admitted, given);
    }
    Ok((node, admission))
}

/// The credential of a node that `record` admits, written by the holder of `parent` (empty for the founder itself).
///
/// # Errors
/// When the chain would be longer than any node accepts; then a master with a shorter chain must admit.
pub fn extend(parent: &Credential, record: &Record) -> Result<Credential, ChainError> {
    let mut links: Vec<Signed> = parent.links.clone();
    links.push(record.signed().clone());
    let credential = Credential { links };
    check_size(&credential)?;
    Ok(credential)
}

fn check_size(credential: &Credential) -> Result<(), ChainError> {
    if credential.links.is_empty() {
        return Err(ChainError::Stranger);
    }
    if credential.links.len() > CREDENTIAL_LINKS {
        return Err(ChainError::TooManyLinks(credential.links.len()));
    }
    codec::encode(credential, CREDENTIAL_LIMIT)
        .map(drop)
        .map_err(|_| ChainError::TooLong)
}

fn verify_records(credential: &Credential, mesh: &MeshId) -> Result<Vec<Record>, ChainError> {
    let verify = |(link, signed): (usize, &Signed)| {
        Record::verify(signed.clone(), mesh, &Ed25519Verifier)
            .map_err(|source| ChainError::Record { link, source })
    };
    credential.links.iter().enumerate().map(verify).collect()
}

/// Whom the last link admits: the holder of `key`, if it does, else somebody else, for the error.
fn last_admitted(record: &Record, key: &NodeId, link: usize) -> Result<NodeId, ChainError> {
    let mut all = admissions(record).map(|(node, _)| node);
    let first = all.next().ok_or(ChainError::NoAdmission { link, node: *key })?;
    Ok(if first == *key || all.any(|node| node == *key) {
        *key
    } else {
        first
    })
}

fn admissions(record: &Record) -> impl Iterator<Item = (NodeId, AdmissionV1)> {
    let known = |entry: &&Entry| entry.kind == Kind::Admission as u16 && entry.version == 1;
    record
        .body()
        .entries
        .iter()
        .filter(known)
        .filter_map(|entry| AdmissionV1::read(entry).ok())
}

fn admission_of(record: &Record, node: NodeId, link: usize) -> Result<AdmissionV1, ChainError> {
    let found = admissions(record).find(|(admitted, _)| *admitted == node);
    found
        .map(|(_, admission)| admission)
        .ok_or(ChainError::NoAdmission { link, node })
}

/// The first link: the founder's own record, by the authority's founding, with seat 0.
fn check_founder(record: &Record, founder: NodeId, mesh: &MeshId) -> Result<AdmissionV1, ChainError> {
    let admission = admission_of(record, founder, 0)?;
    check_founding(0, &admission, founder, mesh)?;
    if admission.seat == 0 {
        Ok(admission)
    } else {
        Err(ChainError::Seat {
            link: 0,
            seat: admission.seat,
        })
    }
}

/// Every other link: by the node of the link before it, a master, for a junior, by an invitation of the authority.
fn check_link(
    link: usize,
    record: &Record,
    (author, by): (NodeId, &AdmissionV1),
    admitted: NodeId,
    mesh: &MeshId,
) -> Result<AdmissionV1, ChainError> {
    if record.author() != author {
        return Err(ChainError::Author { link });
    }
    if !by.roles.has(Role::Master) {
        return Err(ChainError::NoMaster { link, author });
    }
    let admission = admission_of(record, admitted, link)?;
    check_invitation(link, &admission, mesh)?;
    if admission.seat > by.seat {
        Ok(admission)
    } else {
        Err(ChainError::Seat {
            link,
            seat: admission.seat,
        })
    }
}

fn check_founding(
    link: usize,
    admission: &AdmissionV1,
    founder: NodeId,
    mesh: &MeshId,
) -> Result<(), ChainError> {
    let refused = || ChainError::Warrant {
        link,
        what: "founding",
    };
    let Warrant::Founding(statement) = &admission.warrant else {
        return Err(refused());
    };
    let founding: FoundingV1 = statement
        .open(
            Purpose::Found,
            mesh,
            mesh.as_bytes(),
            &Ed25519Verifier,
            VALUE_LIMIT,
        )
        .map_err(|_| refused())?;
    if founding.node == founder {
        Ok(())
    } else {
        Err(refused())
    }
}

fn check_invitation(link: usize, admission: &AdmissionV1, mesh: &MeshId) -> Result<(), ChainError> {
    let refused = || ChainError::Warrant {
        link,
        what: "invitation",
    };
    let Warrant::Invitation(statement) = &admission.warrant else {
        return Err(refused());
    };
    let terms: InvitationStatementV1 = statement
        .open(
            Purpose::Invitation,
            mesh,
            mesh.as_bytes(),
            &Ed25519Verifier,
            VALUE_LIMIT,
        )
        .map_err(|_| refused())?;
    if admission.roles.within(terms.roles) {
        Ok(())
    } else {
        Err(ChainError::Roles {
            link,
            given: admission.roles,
            allowed: terms.roles,
        })
    }
}

#[cfg(test)]
mod tests;
