//! `nodes`: every member with how it stands.

use std::sync::Arc;

use pacmesh_protocol::{
    ledger::member::{Member, Standing},
    membership::{MemberState, Table},
};

use super::{
    caller::{Caller, End, cut},
    mesh::words,
};
use crate::{
    clock,
    local::{request::LocalReply, views::NodeView},
    rooms::Rooms,
};

pub(super) async fn nodes(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let view = rooms.ledger.view();
    let table = rooms.discovery.table().borrow().clone();
    let mut members: Vec<&Member> = view.members().collect();
    members.sort_by_key(|member| (member.seat, member.id));
    let nodes = members.into_iter().map(|member| shown(member, &table)).collect();
    caller.say(LocalReply::Nodes(nodes)).await
}

fn shown(member: &Member, table: &Table) -> NodeView {
    let record = table.record(&member.id);
    let seen = table.members.get(&member.id);
    let last_ack = seen.and_then(|seen| seen.last_ack);
    NodeView {
        id: member.id.to_string(),
        name: member.name.to_string(),
        state: state(member, table).to_owned(),
        roles: words(member.roles),
        environment: record.map_or_else(String::new, |record| record.environment.to_string()),
        arches: record.map_or_else(Vec::new, |record| {
            record.arches.iter().map(ToString::to_string).collect()
        }),
        slots: record.map_or(0, |record| record.slots),
        running: record.map_or(0, |record| record.running),
        addresses: record.map_or_else(Vec::new, |record| {
            record.addresses.iter().map(ToString::to_string).collect()
        }),
        version: record.map_or_else(String::new, |record| cut(&record.version)),
        last_seen_ms: last_ack.map_or(0, |ack| clock::now().since(ack).as_millis() as u64),
        relayed: seen.is_some_and(|seen| seen.relayed),
    }
}

fn state(member: &Member, table: &Table) -> &'static str {
    match member.standing {
        Standing::Left => "left",
        Standing::Suspended => "suspended",
        Standing::Revoked => "revoked",
        Standing::Active if member.id == table.own.node => MemberState::Alive.name(),
        Standing::Active => table.state(&member.id).unwrap_or(MemberState::Suspect).name(),
    }
}
