//! Discovery on real sockets: who is met, who is not talked to, and how a member goes.

mod kit;

use kit::{Identity, mesh};
use pacmesh_discovery::{DiscoveryError, Event};
use pacmesh_protocol::membership::MemberState;

#[tokio::test]
async fn nodes_that_dial_one_of_them_all_see_each_other() {
    mesh(4).await;
}

#[tokio::test]
async fn a_change_of_the_own_record_reaches_the_others() {
    let nodes = mesh(2).await;
    nodes[0].rename("renamed").await;
    nodes[1].until_named(nodes[0].id, "renamed").await;
}

#[tokio::test]
async fn inv5_a_stranger_is_not_talked_to() {
    let nodes = mesh(2).await;
    let stranger = Identity::new(77).start().await;
    stranger.admit(&[nodes[0].id], &[]).await;
    stranger.handle.dial(nodes[0].id, nodes[0].address).await;
    stranger.until_state(nodes[0].id, MemberState::Lost).await;
    assert!(
        stranger.table().record(&nodes[0].id).is_none(),
        "it learned nothing"
    );
    assert!(!nodes[0].table().members.contains_key(&stranger.id));
    assert_eq!(nodes[0].table().state(&nodes[1].id), Some(MemberState::Alive));
}

#[tokio::test]
async fn gossip_by_a_barred_author_is_not_taken_from_those_who_still_trust_it() {
    let nodes = mesh(3).await;
    let [a, b, c] = &nodes[..] else {
        unreachable!("three were made")
    };
    a.admit(&[a.id, b.id], &[c.id]).await;
    a.until("the barred one left the table", |table| {
        !table.members.contains_key(&c.id)
    })
    .await;
    c.rename("intruder").await;
    b.until_named(c.id, "intruder").await;
    b.rename("witness").await;
    a.until_named(b.id, "witness").await;
    assert!(!a.table().members.contains_key(&c.id));
}

#[tokio::test]
async fn a_node_that_ends_without_a_goodbye_is_lost() {
    let mut nodes = mesh(3).await;
    let killed = nodes.remove(2);
    let id = killed.id;
    drop(killed);
    for node in &nodes {
        node.until_state(id, MemberState::Lost).await;
    }
}

#[tokio::test]
async fn a_goodbye_is_believed_at_once_and_by_all() {
    let mut nodes = mesh(3).await;
    let leaving = nodes.remove(2);
    let id = leaving.id;
    leaving.handle.goodbye().await;
    for node in &mut nodes {
        node.until_state(id, MemberState::Left).await;
        while let Ok(event) = node.events.try_recv() {
            let state = MemberState::Lost;
            assert_ne!(event, Event::State { node: id, state });
        }
    }
}

#[tokio::test]
async fn a_node_that_was_killed_and_started_again_is_alive_in_its_new_life() {
    let steady = Identity::new(1).start().await;
    let mut identity = Identity::new(2);
    let first = identity.start().await;
    let ids = [steady.id, first.id];
    steady.admit(&ids, &[]).await;
    first.admit(&ids, &[]).await;
    first.handle.dial(steady.id, steady.address).await;
    steady.until_all_alive(1).await;
    let before = steady.table().record(&first.id).unwrap().incarnation;
    drop(first);

    let second = identity.start().await;
    second.admit(&ids, &[]).await;
    second.handle.dial(steady.id, steady.address).await;
    steady
        .until("alive in its new life", |table| {
            let record = table.record(&second.id);
            table.is_alive(&second.id) && record.is_some_and(|record| record.incarnation > before)
        })
        .await;
    second.until_all_alive(1).await;
}

#[tokio::test]
async fn an_admission_is_enough_for_two_that_never_dialled_each_other() {
    let nodes = mesh(2).await;
    let late = Identity::new(9).start().await;
    let ids = [nodes[0].id, nodes[1].id, late.id];
    late.admit(&ids, &[]).await;
    nodes[0].admit(&ids, &[]).await;
    late.handle.dial(nodes[0].id, nodes[0].address).await;
    late.until_state(nodes[0].id, MemberState::Alive).await;
    nodes[1].admit(&ids, &[]).await;
    nodes[1].until_state(late.id, MemberState::Alive).await;
    late.until_state(nodes[1].id, MemberState::Alive).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_in_the_error() {
    let running = Identity::new(1).start().await;
    let mut second = Identity::new(2);
    second.address = running.address;
    let error = second.try_start().await.err().unwrap();
    assert!(matches!(error, DiscoveryError::Listen { .. }), "{error}");
    assert!(error.to_string().contains(&running.address.to_string()));
}
