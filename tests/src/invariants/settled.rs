//! What a healed world must come to: one master that may order, followed by all; equal ledgers and equal views, in
//! memory and on disk.

use pacmesh_protocol::reign::Role;

use crate::sim::World;

/// Exactly one node leads and may order, and every other one follows its reign.
pub fn one_master(world: &mut World) -> Result<(), String> {
    let roles: Vec<_> = world
        .nodes
        .iter()
        .map(|node| node.life.as_ref().map(|life| life.machine.role()))
        .collect();
    let mut leading = roles.iter().filter_map(|role| match role {
        Some(Role::Leading { reign, ready: true }) => Some(*reign),
        _ => None,
    });
    let (Some(reign), None) = (leading.next(), leading.next()) else {
        return Err(format!("not one master: {roles:?}"));
    };
    let strays = roles
        .iter()
        .any(|role| role.and_then(|role| role.reign()) != Some(reign));
    if strays {
        Err(format!("not all follow {reign:?}: {roles:?}"))
    } else {
        Ok(())
    }
}

/// All ledgers are equal, in memory and on disk, and so are the views.
pub fn equal_ledgers(world: &mut World) -> Result<(), String> {
    let (root, view) = (
        world.nodes[0].disk.facts.root(),
        world.nodes[0].disk.facts.in_force(),
    );
    for node in &mut world.nodes {
        let memory = node.life.as_mut().map(|life| &mut life.facts);
        for facts in memory.into_iter().chain([&mut node.disk.facts]) {
            if facts.root() != root || facts.in_force() != view {
                return Err(format!(
                    "n{} and n0 differ: {:?}, {view:?}",
                    node.number,
                    facts.in_force()
                ));
            }
        }
    }
    Ok(())
}
