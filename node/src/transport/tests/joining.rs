//! Knocking.

use pacmesh_protocol::{
    codec,
    entry::{Knock, KnockBinding},
    ids::InvitationId,
    ledger::kinds::InvitationStatementV1,
    signed::{Signature, Signed},
};

use super::*;
use crate::transport::{Joiner, KnockError};

const INVITATION: InvitationId = InvitationId([5; 32]);

/// Stands in for the invitation key: who knows the binding "signs" it by its hash.
fn proof(binding: &KnockBinding) -> Signature {
    let hash = *Digest::of(&codec::encode(binding, 1024).unwrap()).as_bytes();
    Signature::from_bytes(&[hash, hash].concat().try_into().unwrap())
}

fn knock_of(node: NodeId, member: NodeId, exporter: [u8; 32]) -> Knock {
    let statement = InvitationStatementV1 {
        invitation: INVITATION,
        roles: pacmesh_protocol::roles::Roles::PEER,
        expires_ms: 0,
        uses: 1,
    };
    let body = codec::encode(&statement, 1024).unwrap();
    let binding = KnockBinding {
        invitation: INVITATION,
        joiner: node,
        member,
        exporter,
    };
    Knock {
        invitation: Signed {
            body,
            signature: Signature::from_bytes(&[0; 64]),
        },
        node,
        name: "newcomer".parse().unwrap(),
        certificate: Vec::new(),
        proof: proof(&binding),
    }
}

fn believed(carried: &CarriedKnock) -> bool {
    carried.knock.proof == proof(&carried.binding)
}

fn door() -> TestNode {
    let member = TestNode::start(1);
    member.double.script(|script| script.invites = true);
    member
}

#[tokio::test]
async fn a_knock_reaches_the_gate_bound_to_both_keys_and_the_session() {
    let member = door();
    let joiner = Joiner::new(&Zeroizing::new([9; 32])).unwrap();
    let reply = joiner
        .knock(member.address(), |welcome, at, exporter| {
            assert_eq!((welcome.mesh, at), (MeshId([7; 32]), id_of(1)));
            Ok(knock_of(id_of(9), at, exporter))
        })
        .await
        .unwrap();
    assert_eq!(reply, KnockReply::Wait);
    let carried = member.double.script(|script| script.knocks.remove(0));
    assert!(believed(&carried));
    assert_eq!(
        (carried.binding.joiner, carried.binding.member),
        (id_of(9), member.id)
    );
    joiner.close().await;
}

#[tokio::test]
async fn inv5_a_knock_of_another_session_does_not_fit_the_binding() {
    let member = door();
    let joiner = Joiner::new(&Zeroizing::new([9; 32])).unwrap();
    let mut first = None;
    let knocked = joiner.knock(member.address(), |_, at, exporter| {
        let knock = knock_of(id_of(9), at, exporter);
        first = Some((knock.clone(), exporter));
        Ok(knock)
    });
    knocked.await.unwrap();
    let (knock, exporter) = first.unwrap();
    // The same key replays its own knock: even so another session has another exporter.
    let replayed = joiner.knock(member.address(), |_, _, other| {
        assert_ne!(exporter, other);
        Ok(knock)
    });
    replayed.await.unwrap();
    let believed: Vec<_> = member
        .double
        .script(|script| script.knocks.iter().map(believed).collect());
    assert_eq!(believed, [true, false]);
}

#[tokio::test]
async fn inv5_a_knock_in_the_name_of_another_key_does_not_reach_the_gate() {
    let member = door();
    let thief = Joiner::new(&Zeroizing::new([8; 32])).unwrap();
    let error = thief
        .knock(member.address(), |_, at, exporter| {
            Ok(knock_of(id_of(9), at, exporter))
        })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another key"), "{error}");
    assert!(member.double.script(|script| script.knocks.is_empty()));
}

#[tokio::test]
async fn without_an_open_invitation_nobody_may_knock() {
    let member = TestNode::start(1);
    let joiner = Joiner::new(&Zeroizing::new([9; 32])).unwrap();
    let error = joiner
        .knock(member.address(), |_, _, _| panic!("a welcome was shown"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no invitation is open"), "{error}");
}

#[tokio::test]
async fn a_joiner_that_does_not_believe_the_member_sends_nothing() {
    let member = door();
    let joiner = Joiner::new(&Zeroizing::new([9; 32])).unwrap();
    let error = joiner
        .knock(
            member.address(),
            |_, _, _| Err("not the mesh of the token".into()),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, KnockError::Distrusted { .. }), "{error}");
    assert!(member.double.script(|script| script.knocks.is_empty()));
}

#[tokio::test]
async fn inv5_an_oversized_knock_does_not_reach_the_gate() {
    let member = door();
    let joiner = Joiner::new(&Zeroizing::new([9; 32])).unwrap();
    let result = joiner.knock(member.address(), |_, at, exporter| {
        Ok(Knock {
            certificate: vec![0; 5000],
            ..knock_of(id_of(9), at, exporter)
        })
    });
    assert!(result.await.is_err());
    let result = joiner.knock(member.address(), |_, at, exporter| {
        Ok(Knock {
            certificate: vec![0; 9000],
            ..knock_of(id_of(9), at, exporter)
        })
    });
    assert!(result.await.is_err());
    assert!(member.double.script(|script| script.knocks.is_empty()));
}

#[tokio::test]
async fn a_member_knocks_with_its_own_transport_too() {
    let (member, other) = (door(), TestNode::start(2));
    let reply = other.transport.knock(member.address(), |_, at, exporter| {
        Ok(knock_of(id_of(2), at, exporter))
    });
    assert_eq!(reply.await.unwrap(), KnockReply::Wait);
}
