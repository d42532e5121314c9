//! `setup-pacman`: what a pacman needs to know to install from the mesh.

use std::{net::SocketAddr, sync::Arc};

use pacmesh_protocol::{
    ledger::view::View,
    membership::{NodeRecord, Table},
};

use super::{
    caller::{Caller, End},
    keys::upper,
};
use crate::{
    keyrings,
    local::{request::LocalReply, views::PacmanView},
    rooms::Rooms,
    settings::{self, Settings},
};

/// Most servers that are named.
const SERVERS: usize = 16;

pub(super) async fn setup(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let view = rooms.ledger.view();
    let table = rooms.discovery.table().borrow().clone();
    let servers = servers(&view, &table);
    if servers.is_empty() {
        return Err("no machine in reach serves the repository: start one with http.repo set".into());
    }
    let stanzas: Vec<String> = Settings(&view)
        .repositories()
        .iter()
        .map(|repository| settings::stanza(repository, &servers))
        .collect();
    let ring = keyrings::for_clients(&view);
    let view = PacmanView {
        stanza: stanzas.join("\n"),
        keys: ring.export(),
        fingerprints: ring
            .trusted()
            .map(|certificate| upper(&certificate.fingerprint()))
            .collect(),
    };
    caller.say(LocalReply::Pacman(view)).await
}

/// Where pacman may ask: this node first, then the others that are alive. Guests keep no archives, and go as they came.
fn servers(view: &View, table: &Table) -> Vec<String> {
    let others = table
        .alive()
        .filter(|(node, _)| !keyrings::is_guest(view, node))
        .filter_map(|(_, seen)| seen.record.as_deref());
    let mut servers = Vec::new();
    for record in std::iter::once(&*table.own).chain(others) {
        let Some(server) = server(record) else { continue };
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers.truncate(SERVERS);
    servers
}

fn server(record: &NodeRecord) -> Option<String> {
    let port = record.repository_port?;
    let address = best(&record.addresses)?;
    Some(format!("http://{}", SocketAddr::new(address.ip(), port)))
}

/// One that other machines can use where there is one; IPv4 before IPv6, whose link-local ones need a zone.
fn best(addresses: &[SocketAddr]) -> Option<&SocketAddr> {
    addresses
        .iter()
        .min_by_key(|address| (address.ip().is_loopback(), address.is_ipv6()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_is_chosen() {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        let all = parse(&["127.0.0.1:1", "[fe80::1]:1", "10.0.0.7:1"]);
        assert_eq!(best(&all), Some(&all[2]));
        let lonely = parse(&["127.0.0.1:1"]);
        assert_eq!(best(&lonely), Some(&lonely[0]));
    }
}
