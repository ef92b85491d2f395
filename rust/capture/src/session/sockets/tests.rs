//! Announcements of sockets → the connections, clients and servers that they make.

use super::*;

/// A TCP connection of a client, by its last octet, to a server's process and port.
fn socket(pid: u32, port: u16, client: u8) -> Announcement {
    Announcement {
        ends: Ends::Inet {
            local: SocketAddr::from(([0, 0, 0, 0], port)),
            remote: SocketAddr::from(([127, 0, 0, client], 40_000)),
        },
        is_udp: false,
        namespace: 1,
        pid,
        mid_stream: false,
        before: [0; 2],
    }
}

#[test]
fn servers_are_told_apart_by_process_and_port() {
    let mut sockets = Sockets::default();
    for (cookie, (pid, port)) in [(1, 11211), (1, 11212), (2, 11211), (1, 11211)]
        .into_iter()
        .enumerate()
    {
        sockets.announce(cookie as u64, &socket(pid, port, 1), 0);
    }
    let (connections, servers) = sockets.into_tables();
    assert_eq!(servers.len(), 3);
    let of: Vec<u32> = connections.iter().map(|row| row.server).collect();
    assert_eq!(of, [0, 1, 2, 0]);
}

#[test]
fn a_client_is_an_address_not_a_port() {
    let mut sockets = Sockets::default();
    for (cookie, client) in [1, 2, 1].into_iter().enumerate() {
        sockets.announce(cookie as u64, &socket(1, 11211, client), 0);
    }
    let (connections, _) = sockets.into_tables();
    let clients: Vec<u32> = connections.iter().map(|row| row.client).collect();
    assert_eq!(clients, [0, 1, 0]);
}

#[test]
fn addresses_of_clients_are_remembered_where_they_are_to_be_shown() {
    let addresses = Addresses::default();
    let mut sockets = Sockets::default().with_addresses(Some(addresses.clone()));
    for (cookie, client) in [5, 6].into_iter().enumerate() {
        sockets.announce(cookie as u64, &socket(1, 11211, client), 0);
    }
    let peer = SocketAddr::from(([10, 0, 0, 7], 4_000));
    sockets.datagram_connection(9, 0, Some(peer), 0);
    let known = [0, 1, 2, 3].map(|client| addresses.get(client).map(|known| known.to_string()));
    let wanted = [Some("127.0.0.5"), Some("127.0.0.6"), Some("10.0.0.7"), None];
    assert_eq!(known, wanted.map(|address| address.map(str::to_owned)));
}

#[test]
fn own_connections_are_not_connections() {
    let own = OwnAddresses::default();
    own.add(Peer::Address(SocketAddr::from(([127, 0, 0, 9], 40_000))));
    let mut sockets = Sockets::new(own, 1, OpenBefore::default(), Vec::new());
    assert_eq!(sockets.announce(1, &socket(1, 11211, 9), 0), Role::Own(0));
    assert_eq!(
        sockets.announce(2, &socket(1, 11211, 8), 0),
        Role::Connection(0)
    );
    let elsewhere = Announcement {
        namespace: 2,
        ..socket(1, 11211, 9)
    };
    assert_eq!(sockets.announce(3, &elsewhere, 0), Role::Connection(1));
    assert_eq!(sockets.connections().total(), 2);
}

#[test]
fn network_namespaces_keep_equal_addresses_apart() {
    let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let before = OpenBefore::new([(2, peer)], []);
    let mut sockets = Sockets::new(OwnAddresses::default(), 1, before, Vec::new());
    for (cookie, namespace) in [1, 2].into_iter().enumerate() {
        let socket = Announcement {
            namespace,
            ..socket(1, 11211, 1)
        };
        sockets.announce(cookie as u64, &socket, 7);
    }
    let (connections, servers) = sockets.into_tables();
    assert_eq!(servers.len(), 2);
    let opened: Vec<Option<u64>> = connections.iter().map(|row| row.opened).collect();
    assert_eq!(opened, [Some(7), None]);
    assert_ne!(connections[0].client, connections[1].client);
}

#[test]
fn an_address_mapped_from_ipv4_is_that_client_over_ipv4() {
    let mut sockets = Sockets::default();
    let ends = Ends::Inet {
        local: "[::]:11211".parse().unwrap(),
        remote: "[::ffff:127.0.0.1]:40000".parse().unwrap(),
    };
    let mapped = Announcement {
        ends,
        ..socket(1, 11211, 0)
    };
    sockets.announce(1, &mapped, 0);
    sockets.announce(2, &socket(1, 11211, 1), 0);
    let (connections, _) = sockets.into_tables();
    assert_eq!(connections[0].client, connections[1].client);
    assert_eq!(connections[0].transport, Transport::Tcp4);
}

#[test]
fn unix_domain_sockets_are_told_apart_by_path_and_inode() {
    let own = OwnAddresses::default();
    own.add(Peer::Inode(77));
    let before = OpenBefore::new([], [12]);
    let mut sockets = Sockets::new(own, 1, before, vec!["/a".into(), "/b".into()]);
    let at = |path, local, remote| Announcement {
        ends: Ends::Unix {
            path,
            local,
            remote,
        },
        ..socket(1, 0, 0)
    };
    let roles = [at(0, 11, 5), at(1, 12, 6), at(0, 13, 77)];
    let roles: Vec<Role> = (1..)
        .zip(&roles)
        .map(|(cookie, socket)| sockets.announce(cookie, socket, 7))
        .collect();
    assert_eq!(
        roles,
        [Role::Connection(0), Role::Connection(1), Role::Own(0)]
    );
    assert!(sockets.is_mid_stream(1, &at(1, 12, 6)));
    assert!(!sockets.is_mid_stream(0, &at(0, 11, 5)));
    let (connections, servers) = sockets.into_tables();
    let opened: Vec<Option<u64>> = connections.iter().map(|row| row.opened).collect();
    assert_eq!(opened, [Some(7), None]);
    assert_eq!(connections[0].transport, Transport::Unix);
    let paths: Vec<Option<&str>> = servers.iter().map(|one| one.path.as_deref()).collect();
    assert_eq!(paths, [Some("/a"), Some("/b")]);
}

#[test]
fn the_side_that_closed_first_is_remembered() {
    let mut sockets = Sockets::default();
    sockets.announce(1, &socket(1, 11211, 1), 0);
    sockets.announce(2, &socket(1, 11211, 1), 0);
    sockets.note_end(1, CloseSide::Client);
    sockets.close(1, 5);
    sockets.close(2, 6);
    let (connections, _) = sockets.into_tables();
    let sides: Vec<Option<CloseSide>> = connections.iter().map(|row| row.close_side).collect();
    assert_eq!(sides, [Some(CloseSide::Client), Some(CloseSide::Server)]);
}
