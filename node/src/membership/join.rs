//! `join`: a node shows its token to a member, and takes its seat.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pacmesh_protocol::{
    entry::{Credential, KnockReply, Welcome},
    ids::NodeId,
    names::NodeName,
    roles::Role,
    signed::{Signed, Verify},
};
use pacmesh_signing::{
    Ed25519Verifier, Token,
    membership::{Member, NoVerdicts, verify_credential},
};
use tokio::time::{Instant, sleep};

use super::{Keys, MembershipError, Standing, seat::put_aside};
use crate::{
    config::host_name,
    home::Home,
    ledger::LedgerHandle,
    local::views::{JoinView, Named},
    transport::{Joiner, KnockError},
};

/// How long a joiner waits for a master to answer (FORMATS, "Who writes, and requests").
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits between two knocks; members allow one a second from an address.
const PAUSE: Duration = Duration::from_millis(1500);

/// Joins the mesh that invited by `token`. Nothing of it counts before the file `membership` is written at the end.
pub async fn join(
    home: &Home,
    token: &str,
    node_name: Option<NodeName>,
) -> Result<JoinView, MembershipError> {
    let token: Token = token.parse()?;
    home.prepare()?;
    if let Some(standing) = Standing::load(home)? {
        return Err(MembershipError::Already {
            mesh: standing.mesh_name.to_string(),
        });
    }
    let node_name = node_name.unwrap_or_else(host_name);
    let keys = Keys::load_or_create(home, &node_name)?;
    let (record, credential) = knock_until_answered(&keys, &token, &node_name).await?;
    take_seat(home, &keys, &token, record, credential).await
}

async fn knock_until_answered(
    keys: &Keys,
    token: &Token,
    name: &NodeName,
) -> Result<(Signed, Credential), MembershipError> {
    let not_admitted = |reason: String| MembershipError::NotAdmitted(reason);
    let transport = Joiner::new(&keys.node.transport_seed())
        .map_err(|error| not_admitted(format!("no connection can be made: {error}")))?;
    let deadline = Instant::now() + PATIENCE;
    let mut last = "the token names no address: make one on a node that runs".to_owned();
    let outcome = loop {
        let mut waits = false;
        for address in token.addresses() {
            match knock(&transport, keys, token, name, *address).await {
                Ok(KnockReply::Admitted { record, credential }) => {
                    transport.close().await;
                    return Ok((record, credential));
                }
                Ok(KnockReply::Refused { reason }) => {
                    transport.close().await;
                    return Err(not_admitted(reason));
                }
                Ok(KnockReply::Wait) => {
                    waits = true;
                    last = "no master is in reach of the node that was asked: try again when one is up"
                        .to_owned();
                }
                Err(error @ KnockError::Closed { .. }) => {
                    let reason = crate::error::chain(&error);
                    last = format!(
                        "{reason}: the token expired or was used up: ask for a new one with 'pacmesh invite'"
                    );
                }
                Err(error) => {
                    let reason = crate::error::chain(&error);
                    last = format!("no member answers at {address}: {reason}: is that node up and in reach?");
                }
            }
        }
        if !waits || Instant::now() >= deadline {
            break Err(not_admitted(last));
        }
        sleep(PAUSE).await;
    };
    transport.close().await;
    outcome
}

async fn knock(
    transport: &Joiner,
    keys: &Keys,
    token: &Token,
    name: &NodeName,
    address: SocketAddr,
) -> Result<KnockReply, KnockError> {
    let invitation = token.invitation();
    let certificate = keys.package.certificate().as_bytes().to_vec();
    let node = keys.node.id();
    let build = move |welcome: &Welcome, member: NodeId, exporter: [u8; 32]| {
        // The joiner checks first that the other end proves membership under the token's authority.
        verify_credential(
            &welcome.credential,
            &welcome.mesh,
            &invitation.mesh(),
            &member,
            &NoVerdicts,
        )
        .map_err(|error| error.to_string())?;
        invitation
            .knock(node, name.clone(), certificate, member, exporter)
            .map_err(|error| error.to_string())
    };
    transport.knock(address, build).await
}

async fn take_seat(
    home: &Home,
    keys: &Keys,
    token: &Token,
    record: Signed,
    credential: Credential,
) -> Result<JoinView, MembershipError> {
    let mesh = token.invitation().mesh();
    let node = keys.node.id();
    let Member { admission, .. } = verify_credential(&credential, &mesh, &mesh, &node, &NoVerdicts)
        .map_err(|error| MembershipError::NotAdmitted(format!("the admission does not hold: {error}")))?;
    // What an attempt that was cut short left behind may be of another mesh.
    put_aside(home)?;
    let verify: Arc<dyn Verify> = Arc::new(Ed25519Verifier);
    let ledger = LedgerHandle::open(&home.ledger(), mesh, keys.node.clone(), verify).await?;
    let mut records = credential.links;
    if !records.contains(&record) {
        records.push(record);
    }
    let merged = ledger.merge(records).await;
    let view = ledger.view();
    ledger.close().await;
    merged?;
    let mesh_name = view.mesh_name().cloned().ok_or_else(|| {
        MembershipError::NotAdmitted("the member that answered shows no founding".to_owned())
    })?;
    let name = view
        .member(&node)
        .map_or(admission.name.clone(), |member| member.name.clone());
    Standing::new(mesh, mesh_name.clone(), token.addresses().to_vec()).store(home)?;
    Ok(JoinView {
        mesh: Named {
            id: mesh.to_string(),
            name: mesh_name.to_string(),
        },
        node: Named {
            id: node.to_string(),
            name: name.to_string(),
        },
        roles: admission
            .roles
            .and(token.invitation().terms().roles)
            .iter()
            .map(Role::name)
            .map(str::to_owned)
            .collect(),
    })
}
