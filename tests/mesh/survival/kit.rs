//! The kit itself: a mishap that does not happen proves nothing.

use std::{net::UdpSocket, time::Duration};

use pacmesh_tests::{
    cluster::Farm,
    mishaps::fill,
    namespace::{Namespaces, Weather},
    wait::within,
};

const PORT: u16 = 9;

/// Sends datagrams from the first machine to the second, and counts those that arrive.
fn arrive(sender: &UdpSocket, receiver: &UdpSocket, to: &str, count: usize) -> usize {
    let mut buffer = [0; 64];
    receiver
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a time-out");
    for _ in 0..count {
        sender.send_to(b"frame", to).expect("a route");
    }
    std::iter::from_fn(|| receiver.recv(&mut buffer).ok()).count()
}

#[test]
fn a_cut_drops_one_way_or_both_until_it_heals() {
    let network = Namespaces::on_one_bridge(2);
    let sockets = [0, 1].map(|place| network.socket(place, PORT));
    let there = || arrive(&sockets[0], &sockets[1], "10.77.0.2:9", 5);
    let back = || arrive(&sockets[1], &sockets[0], "10.77.0.1:9", 5);
    assert_eq!((there(), back()), (5, 5));

    network.cut_one_way("half", &[0], &[1]);
    assert_eq!((there(), back()), (0, 5));
    network.heal("half");
    network.cut("whole", &[0], &[1]);
    assert_eq!((there(), back()), (0, 0));
    network.heal_all();
    assert_eq!((there(), back()), (5, 5));
}

#[test]
fn weather_loses_its_share_and_delays_the_rest() {
    let weather = Weather {
        loss: 0.2,
        delay: Duration::from_millis(40),
        seed: 7,
    };
    let network = Namespaces::in_weather(2, weather);
    let sockets = [0, 1].map(|place| network.socket(place, PORT));
    // Both learn each other's hardware address first, which takes as many attempts as the weather wants.
    let met = within(Duration::from_secs(20), || {
        (arrive(&sockets[0], &sockets[1], "10.77.0.2:9", 1) == 1).then_some(())
    });
    assert!(met.is_some(), "nothing passes at all");

    let arrived = arrive(&sockets[0], &sockets[1], "10.77.0.2:9", 400);

    assert!((270..370).contains(&arrived), "{arrived} of 400 arrived");
}

#[test]
fn a_network_leaves_nothing_behind() {
    let network = Namespaces::in_weather(
        2,
        Weather {
            loss: 0.0,
            delay: Duration::ZERO,
            seed: 0,
        },
    );
    let places: Vec<_> = network
        .names()
        .iter()
        .map(|name| std::path::Path::new("/run/netns").join(name))
        .collect();
    assert!(places.iter().all(|place| place.exists()));
    drop(network);
    assert!(places.iter().all(|place| !place.exists()));
}

#[test]
fn a_small_disk_is_full_until_there_is_room_and_goes_with_its_farm() {
    let farm = Farm::new();
    let disk = farm.path().join("disk");
    farm.small_disk(&disk, 8);
    let ballast = fill(&disk, 0);
    assert!(std::fs::write(disk.join("more"), vec![0; 1 << 20]).is_err());
    std::fs::remove_file(ballast).expect("the ballast");
    std::fs::write(disk.join("more"), vec![0; 1 << 20]).expect("room again");
    assert_eq!(farm.mounts().len(), 1);
    let mark = disk.display().to_string();
    drop(farm);
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("a table of mounts");
    assert!(!mounts.contains(&mark));
}

#[test]
fn a_closed_lid_stops_every_process_of_a_node_and_only_those() {
    let farm = Farm::new();
    let nodes = farm.mesh(&[("desktop", "peer"), ("laptop", "peer")]);
    nodes[1].close_lid();
    assert_eq!(nodes[0].state_of("desktop").as_deref(), Some("alive"));
    let lost = within(Duration::from_secs(30), || {
        (nodes[0].state_of("laptop").as_deref() == Some("lost")).then_some(())
    });
    assert!(lost.is_some(), "a stopped node is not missed");
    nodes[1].open_lid();
    pacmesh_tests::cluster::wait_until_alive(&nodes);
}
