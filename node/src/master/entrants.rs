//! Admissions: the master judges a knock, and one record lets the joiner in with its signing key.

use pacmesh_protocol::{
    codec::CodecError,
    entry::{CarriedKnock, Credential, KnockReply},
    ledger::{
        kinds::{AdmissionV1, InvitationV1, MemberV1, SignerV1, Value, Warrant},
        record::{Entry, ReignId},
        view::View,
    },
    roles::Roles,
    signed::Signed,
};
use pacmesh_signing::membership::{Entrant, extend, judge_knock};

use crate::{clock, clocks, error::chain, rooms::Rooms};

/// Judges a knock and records the admission. A repeated knock of an admitted key gets the same admission.
pub(super) async fn admit(rooms: &Rooms, reign: ReignId, knock: CarriedKnock) -> KnockReply {
    let view = rooms.ledger.view();
    let node = knock.knock.node;
    if view.is_cut_off(&node) {
        return refused("this node is suspended or revoked here: ask the mesh's administrator");
    }
    let known = view
        .credential_path(&node)
        .and_then(|links| Some((links.last()?.clone(), links)));
    if let Some((record, links)) = known.clone().filter(|_| view.is_member(&node)) {
        let credential = Credential { links };
        return KnockReply::Admitted { record, credential };
    }
    if let Some((_, off)) = rooms
        .clocks
        .wrong(rooms.node)
        .iter()
        .find(|(node, _)| *node == rooms.node)
    {
        return refused(&format!(
            "the token cannot be judged: {}",
            clocks::sentence(&rooms.name_of(&rooms.node), *off)
        ));
    }
    let entrant = match judge_knock(&knock, &rooms.mesh, clock::wall_ms(), |terms| {
        view.invitation_uses(&terms.invitation)
    }) {
        Ok(entrant) => entrant,
        Err(error) => return refused(&chain(&error)),
    };
    if view
        .invitation(&entrant.terms.invitation)
        .is_some_and(|invitation| invitation.closed)
    {
        return refused("the token was closed: ask for a new one with `pacmesh invite`");
    }
    let written = match known {
        // It left, and comes back with the same key: its admission stands, and counts again.
        Some((record, links)) => come_back(rooms, reign, &view, &knock, &entrant)
            .await
            .map(|()| (record, Credential { links })),
        None => enter(rooms, reign, &view, &knock, &entrant).await,
    };
    match written {
        Ok((record, credential)) => {
            tracing::info!(node = %node.short(), name = %knock.knock.name, "admitted");
            KnockReply::Admitted { record, credential }
        }
        Err(reason) => refused(&reason),
    }
}

async fn enter(
    rooms: &Rooms,
    reign: ReignId,
    view: &View,
    knock: &CarriedKnock,
    entrant: &Entrant,
) -> Result<(Signed, Credential), String> {
    let entries = entries(view, knock, entrant).map_err(|error| error.to_string())?;
    let record = rooms
        .ledger
        .append(entries, reign, None)
        .await
        .map_err(|error| chain(&error))?;
    let links = view.credential_path(&rooms.node).unwrap_or_default();
    let credential = extend(&Credential { links }, &record).map_err(|error| error.to_string())?;
    Ok((record.signed().clone(), credential))
}

async fn come_back(
    rooms: &Rooms,
    reign: ReignId,
    view: &View,
    knock: &CarriedKnock,
    entrant: &Entrant,
) -> Result<(), String> {
    let member = view
        .member(&knock.knock.node)
        .ok_or("this node cannot come back: let it join with a new key")?;
    let value = MemberV1 {
        edit: member.edit + 1,
        name: knock.knock.name.clone(),
        roles: roles_after_return(member.roles, entrant.terms.roles)?,
        left: false,
    };
    let mut entries = vec![value.entry(&member.id).map_err(|error| error.to_string())?];
    entries.extend(closing(view, knock, entrant).map_err(|error| error.to_string())?);
    rooms
        .ledger
        .append(entries, reign, None)
        .await
        .map(drop)
        .map_err(|error| chain(&error))
}

/// What a node is that comes back: what its token says, which may not be more than it was, since roles only shrink.
fn roles_after_return(before: Roles, token: Roles) -> Result<Roles, String> {
    if token.within(before) {
        return Ok(token);
    }
    Err(format!(
        "this node was a member with the roles {before}, and comes back with no more: ask for a token for these, or move its home away to join as a new node"
    ))
}

fn entries(view: &View, knock: &CarriedKnock, entrant: &Entrant) -> Result<Vec<Entry>, CodecError> {
    let node = knock.knock.node;
    let certificate = entrant.certificate.as_ref();
    let admission = AdmissionV1 {
        seat: view.next_seat(),
        name: knock.knock.name.clone(),
        roles: entrant.terms.roles,
        warrant: Warrant::Invitation(knock.knock.invitation.clone()),
        signer: certificate.map(|certificate| certificate.fingerprint()),
    };
    let mut entries = vec![admission.entry(&node)?];
    if let Some(certificate) = certificate {
        let signer = SignerV1 {
            generation: 0,
            distrusted: false,
            certificate: certificate.as_bytes().to_vec(),
            node: Some(node),
        };
        entries.push(signer.entry(&certificate.fingerprint())?);
    }
    entries.extend(closing(view, knock, entrant)?);
    Ok(entries)
}

/// Closes the invitation with the last node that it lets in.
fn closing(view: &View, knock: &CarriedKnock, entrant: &Entrant) -> Result<Option<Entry>, CodecError> {
    let invitation = entrant.terms.invitation;
    if view.invitation_uses(&invitation) + 1 < entrant.terms.uses {
        return Ok(None);
    }
    let closed = InvitationV1 {
        statement: knock.knock.invitation.clone(),
        closed: true,
    };
    closed.entry(&invitation).map(Some)
}

fn refused(reason: &str) -> KnockReply {
    KnockReply::Refused {
        reason: reason.chars().take(500).collect(),
    }
}

#[cfg(test)]
mod tests {
    use pacmesh_protocol::roles::Role;

    use super::*;

    #[test]
    fn inv6_who_comes_back_gets_what_the_token_says_and_never_more_than_before() {
        let peer = Roles::of(Role::ALL);
        let guest = Roles::of([Role::Worker]);
        assert_eq!(roles_after_return(peer, peer), Ok(peer));
        assert_eq!(roles_after_return(peer, guest), Ok(guest));
        let said = roles_after_return(guest, peer).expect_err("more than before");
        assert!(said.contains("the roles worker,"), "{said}");
    }
}
