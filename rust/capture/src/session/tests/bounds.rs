//! Clients that open connections, peers and requests without end: what is held stays bounded, and nothing is uncounted.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;

/// A datagram of a client, by number: a request `get a`, or the answer to it.
fn datagram(session: &mut Session, client: u32, direction: Direction) {
    let client = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + client), 4_000));
    let text: &[u8] = match direction {
        Direction::Request => b"\0\x07\0\0\0\x01\0\0get a\r\n",
        Direction::Response => b"\0\x07\0\0\0\x01\0\0END\r\n",
    };
    session.take_found(&Found::Datagram(FoundDatagram {
        socket: 9,
        client,
        server: SocketAddr::from(([10, 255, 0, 1], 11211)),
        direction,
        time: 1,
        bytes: text,
        hole: 0,
    }));
}

#[test]
fn peers_without_end_are_forgotten_and_their_rows_are_handed_on() {
    let mut session = session();
    let (mut rows, mut events) = (0, 0);
    let peers = 100_000;
    for peer in 0..peers {
        datagram(&mut session, peer, Direction::Request);
        datagram(&mut session, peer, Direction::Response);
        session.hand_on(&mut |decoded| events += decoded.events.len());
        rows += session.take_ended().len();
        if peer % 5_000 == 0 {
            assert!(session.decoder.open_connections().len() <= 16_386);
            assert!(session.sockets().connections().open() <= 16_386);
        }
    }
    session.end(0);
    session.hand_on(&mut |decoded| events += decoded.events.len());
    rows += session.take_ended().len();
    // The connection of the session itself is one more.
    assert_eq!((rows, events), (100_001, 100_000));
    let ledger = session.ledger(Counters::default(), 0);
    assert_eq!(ledger.servers[1].request.accounted(), 100_000 * 15);
    assert_eq!(ledger.unpaired, 0);
}

#[test]
fn a_peer_that_stays_in_use_stays_one_connection() {
    let mut session = session();
    for peer in 1..40_000 {
        datagram(&mut session, 0, Direction::Request);
        datagram(&mut session, 0, Direction::Response);
        datagram(&mut session, peer, Direction::Request);
        datagram(&mut session, peer, Direction::Response);
    }
    let open = session.sockets().connections().open_rows();
    let first = open.iter().find(|row| row.transport == Transport::Udp);
    assert_eq!(first.map(|row| row.connection), Some(1), "the first peer's");
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let mut session = session();
    close(&mut session, 1);
    let mut rows = 0;
    for number in 0..50_000_u32 {
        let cookie = u64::from(number) + 100;
        let flow = |found: Found<'_>, session: &mut Session| session.take_found(&found);
        let opened = Found::Opened {
            flow: cookie,
            client: SocketAddr::from((Ipv4Addr::from(number), 4_000)),
            server: SocketAddr::from(([10, 255, 0, 1], 11211)),
            time: 5,
            mid_stream: false,
        };
        flow(opened, &mut session);
        let closed = Found::Closed {
            flow: cookie,
            time: 6,
            orderly: true,
        };
        flow(closed, &mut session);
        session.hand_on(&mut |_| {});
        rows += session.take_ended().len();
    }
    session.let_go(u64::MAX);
    rows += session.take_ended().len();
    assert_eq!(rows, 50_001);
    assert_eq!(session.sockets().connections().open(), 0);
    assert!(session.decoder.open_connections().is_empty());
    assert!(session.sockets().connections().added().len() <= MOST_ADDED);
}

#[test]
fn bytes_lost_at_the_end_of_a_connection_are_among_those_that_its_server_moved() {
    let mut session = session();
    take_text(&mut session, kind::REQUEST, 0, "get a\r\n");
    close_at(&mut session, 100, (1_007, 0));
    let seen = session.sockets.count(Role::Own(0), Direction::Request, 0);
    assert_eq!(seen.request, 1_007);
    session.end(0);
    let ledger = session.ledger(Counters::default(), 0);
    assert_eq!(ledger.servers[0].request.seen, 1_007);
}

#[test]
fn servers_beyond_the_limit_share_the_last_one() {
    let mut session = session();
    for number in 0..10_000_u32 {
        session.take_found(&Found::Opened {
            flow: u64::from(number) + 100,
            client: SocketAddr::from(([10, 0, 0, 1], 4_000)),
            server: SocketAddr::from((Ipv4Addr::from(0x0b00_0000 + number), 11211)),
            time: 5,
            mid_stream: false,
        });
    }
    let servers = session.sockets().servers();
    assert_eq!(servers.len(), 4_096);
    assert!(servers[4_094].address.is_some());
    assert_eq!(servers[4_095].address, None);
    let rows = session.sockets().connections().open_rows();
    assert_eq!(rows[10_000].server, 4_095);
}

#[test]
fn clients_that_send_and_never_read_are_given_up_once_too_much_is_open() {
    let mut session = session();
    let requests = "get a\r\n".repeat(1_000);
    take_text(&mut session, kind::REQUEST, 0, &requests);
    session.bound_open_requests_to(1_000);
    assert_eq!(session.decoder.open_requests(0), 1_000);
    session.bound_open_requests_to(999);
    assert_eq!(session.decoder.open_requests(0), 0);
    session.end(0);
    let ledger = session.ledger(Counters::default(), 0);
    assert_eq!((session.events().len(), ledger.unpaired), (1_000, 1_000));
}
