//! Announcements of sockets, and the connections, clients and servers that they become.

use super::*;

fn socket(pid: u32, port: u16, client: u8) -> Socket {
    let mut remote = [0; 16];
    remote[..4].copy_from_slice(&[127, 0, 0, client]);
    Socket {
        namespace: 1,
        pid,
        family: 2,
        protocol: 6,
        local_port: port,
        remote_port: 40_000,
        local: [0; 16],
        remote,
        mid_stream: 0,
        padding: 0,
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
fn own_connections_are_not_connections() {
    let own = OwnAddresses::default();
    own.add(Peer::Address(SocketAddr::from(([127, 0, 0, 9], 40_000))));
    let mut sockets = Sockets::new(own, 1, OpenBefore::default(), Vec::new());
    assert_eq!(sockets.announce(1, &socket(1, 11211, 9), 0), Role::Own(0));
    assert_eq!(
        sockets.announce(2, &socket(1, 11211, 8), 0),
        Role::Connection(0)
    );
    let elsewhere = Socket {
        namespace: 2,
        ..socket(1, 11211, 9)
    };
    assert_eq!(sockets.announce(3, &elsewhere, 0), Role::Connection(1));
    assert_eq!(sockets.counts(), (2, 2));
}

#[test]
fn network_namespaces_keep_equal_addresses_apart() {
    let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let before = OpenBefore::new([(2, peer)], []);
    let mut sockets = Sockets::new(OwnAddresses::default(), 1, before, Vec::new());
    for (cookie, namespace) in [1, 2].into_iter().enumerate() {
        let socket = Socket {
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
    let mut mapped = socket(1, 11211, 0);
    mapped.family = 10;
    mapped.remote = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
    sockets.announce(1, &mapped, 0);
    sockets.announce(2, &socket(1, 11211, 1), 0);
    let (connections, _) = sockets.into_tables();
    assert_eq!(connections[0].client, connections[1].client);
    assert_eq!(connections[0].transport, Transport::Tcp4);
}

#[test]
fn unix_domain_sockets_are_told_by_path_and_inode() {
    let own = OwnAddresses::default();
    own.add(Peer::Inode(77));
    let before = OpenBefore::new([], [12]);
    let mut sockets = Sockets::new(own, 1, before, vec!["/a".into(), "/b".into()]);
    let at = |path, inode: u64, peer: u64| Socket {
        family: AF_UNIX,
        local: zerocopy::transmute!([inode, 0]),
        remote: zerocopy::transmute!([peer, 0]),
        ..socket(1, path, 0)
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
    assert!(sockets.began_before(1, &at(1, 12, 6)));
    assert!(!sockets.began_before(0, &at(0, 11, 5)));
    let (connections, servers) = sockets.into_tables();
    let opened: Vec<Option<u64>> = connections.iter().map(|row| row.opened).collect();
    assert_eq!(opened, [Some(7), None]);
    assert_eq!(connections[0].transport, Transport::Unix);
    let paths: Vec<Option<&str>> = servers.iter().map(|one| one.path.as_deref()).collect();
    assert_eq!(paths, [Some("/a"), Some("/b")]);
}

#[test]
fn who_closed_first_is_remembered() {
    let mut sockets = Sockets::default();
    sockets.announce(1, &socket(1, 11211, 1), 0);
    sockets.announce(2, &socket(1, 11211, 1), 0);
    sockets.ended(1, CloseSide::Client);
    sockets.closed(1, 5);
    sockets.closed(2, 6);
    let (connections, _) = sockets.into_tables();
    let sides: Vec<Option<CloseSide>> = connections.iter().map(|row| row.close_side).collect();
    assert_eq!(sides, [Some(CloseSide::Client), Some(CloseSide::Server)]);
}
