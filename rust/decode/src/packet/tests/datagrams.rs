//! UDP datagrams.

use super::*;
use crate::packet::testing::{datagram, framed};

/// Findings in datagrams, one microsecond apart.
fn found_in(flows: &mut Flows, frames: &[Vec<u8>]) -> Vec<Plain> {
    let mut found = Vec::new();
    let mut emit = |one: Found<'_>| found.push(Plain::from_found(&one));
    for (at, bytes) in frames.iter().enumerate() {
        let packet = Packet {
            time: at as u64 * US,
            link: Link::Ethernet,
            bytes,
            length: u32::try_from(bytes.len()).unwrap(),
            way: None,
        };
        flows.take(&packet, &mut emit);
    }
    flows.finish(&mut emit);
    found
}

fn asked(id: u16) -> Vec<u8> {
    datagram(Request, 4000, &framed(id, 0, 1, b"get a\r\n"))
}

fn answered(id: u16, sequence: u16, total: u16, text: &[u8]) -> Vec<u8> {
    datagram(Response, 4000, &framed(id, sequence, total, text))
}

#[test]
fn responses_follow_their_requests_and_each_other_however_they_were_captured() {
    let in_order = [
        asked(1),
        answered(1, 0, 2, b"VALUE a 0 1\r\nx\r\n"),
        answered(1, 1, 2, b"END\r\n"),
    ];
    let found = |order: [usize; 3]| {
        let mut flows = Flows::new(&[PORT], Limits::default());
        let frames = order.map(|at| in_order[at].clone());
        let found = found_in(&mut flows, &frames);
        assert_eq!(flows.packets().datagrams, 3);
        found
    };
    let expected = found([0, 1, 2]);
    assert_eq!(expected.len(), 3);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(found(order), expected, "{order:?}");
    }
}

#[test]
fn a_datagram_captured_twice_counts_once() {
    let frames = [asked(1), asked(1), answered(1, 0, 1, b"END\r\n"), asked(2)];
    let mut flows = Flows::new(&[PORT], Limits::default());
    assert_eq!(found_in(&mut flows, &frames).len(), 3);
    assert_eq!(flows.packets().duplicates, 1);
}

#[test]
fn answers_captured_twice_count_once_if_their_request_was_captured_twice() {
    let (ask, answer) = (asked(1), answered(1, 0, 1, b"END\r\n"));
    for (frames, kept) in [
        ([&ask, &ask, &answer, &answer], 2),
        // A request of two commands has two answers, which can be equal.
        ([&ask, &answer, &answer, &answer], 4),
        // An answered request can be asked again, even with the same id.
        ([&ask, &answer, &ask, &answer], 4),
    ] {
        let mut flows = Flows::new(&[PORT], Limits::default());
        let found = found_in(&mut flows, &frames.map(Clone::clone));
        assert_eq!(found.len(), kept);
        assert_eq!(flows.packets().duplicates, 4 - kept as u64);
    }
}

#[test]
fn datagrams_of_other_protocols_are_told_apart() {
    // A query and its answer: id, flags, one question, ….
    let query =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    let plain = [&query[..2], &[0, 0], &query[4..]].concat();
    let mut response = query.to_vec();
    response[2..4].copy_from_slice(&[0x81, 0x80]);
    let quic = [&[0xc3, 0, 0, 0, 1, 8][..], &[7; 40]].concat();
    let frames = [
        datagram(Response, 53, query),
        datagram(Request, 53, &response),
        datagram(Response, 53, &plain),
        datagram(Request, 53, &plain),
        datagram(Request, 443, &quic),
        datagram(Request, 443, b"short"),
    ];
    let mut flows = Flows::new(&[PORT], Limits::default());
    assert_eq!(found_in(&mut flows, &frames), []);
    assert_eq!((flows.packets().foreign, flows.packets().datagrams), (6, 0));
    assert_eq!(flows.unfollowed(), Unfollowed::default());
}

#[test]
fn a_datagram_cut_within_its_frame_header_is_counted() {
    let whole = asked(1);
    let packet = Packet {
        time: 0,
        link: Link::Ethernet,
        bytes: &whole[..14 + 20 + 8 + 3],
        length: u32::try_from(whole.len()).unwrap(),
        way: None,
    };
    let mut flows = Flows::new(&[PORT], Limits::default());
    flows.take(&packet, &mut |found| panic!("{found:?}"));
    assert_eq!(flows.unfollowed().udp, 15);
}

#[test]
fn servers_on_any_port_are_found_by_their_datagrams() {
    let mut flows = Flows::following(Ports::Any, Limits::default());
    let frames = [
        datagram(Request, 53, &[7; 40]),
        asked(1),
        answered(1, 0, 1, b"END\r\n"),
    ];
    assert_eq!(found_in(&mut flows, &frames).len(), 2);
    assert_eq!(flows.packets().foreign, 1);
}

#[test]
fn silent_clients_are_forgotten() {
    let mut flows = Flows::new(&[PORT], Limits::default());
    assert_eq!(found_in(&mut flows, &[asked(1)]).len(), 1);
    let mut found = Vec::new();
    flows.advance_to(61 * S, &mut |one| found.push(Plain::from_found(&one)));
    assert_eq!(found, [Plain::Left(4000)]);
    // A flood of clients makes room for itself.
    let mut clients: Vec<_> = (0..20_000)
        .map(|port| datagram(Request, port, &framed(1, 0, 1, b"get a\r\n")))
        .collect();
    found_in(&mut flows, &clients);
    assert!(flows.unfollowed().no_state > 0);
    clients.truncate(1);
    let packet = Packet {
        time: 64 * S,
        link: Link::Ethernet,
        bytes: &clients[0],
        length: u32::try_from(clients[0].len()).unwrap(),
        way: None,
    };
    let before = flows.packets().datagrams;
    flows.take(&packet, &mut |_| {});
    assert_eq!(flows.packets().datagrams, before + 1);
}
