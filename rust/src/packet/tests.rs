use proptest::prelude::*;

use super::building::{MS, PORT, Plain, S, Segment, US, client, request, response, take};
use super::*;
use crate::segment::Direction::{Request, Response};

const WHOLE: usize = 1 << 16;

fn found_with(flows: &mut Flows, segments: &[Segment], snaplen: usize) -> Vec<Plain> {
    let mut found = Vec::new();
    for segment in segments {
        take(flows, segment, snaplen, &mut |one| {
            found.push(Plain::of(&one));
        });
    }
    found
}

/// What is found in packets, without what the end of the capture gives up.
fn found(segments: &[Segment]) -> Vec<Plain> {
    found_with(&mut Flows::new(&[PORT], Limits::default()), segments, WHOLE)
}

fn bytes(direction: crate::segment::Direction, offset: u64, bytes: &[u8]) -> Plain {
    Plain::Bytes(direction, offset, bytes.to_vec(), 0)
}

fn opened(mid_stream: bool) -> Plain {
    Plain::Opened {
        client: client(40_000),
        mid_stream,
    }
}

/// A connection's first three packets, the client's bytes from 101 on, the server's from 501.
fn handshake() -> Vec<Segment> {
    vec![
        request(0, 100, 0, b"").with("S").without_acknowledgement(),
        response(US, 500, 101, b"").with("S"),
        request(2 * US, 101, 501, b""),
    ]
}

fn after_handshake(rest: &[Segment]) -> Vec<Segment> {
    [handshake(), rest.to_vec()].concat()
}

#[test]
fn a_connection_is_followed_from_its_beginning_to_its_end() {
    let segments = after_handshake(&[
        request(3 * US, 101, 501, b"get a\r\n"),
        response(4 * US, 501, 108, b"END\r\n"),
        request(5 * US, 108, 506, b"").with("F"),
        response(6 * US, 506, 109, b"").with("F"),
        request(7 * US, 109, 507, b""),
        request(8 * US, 101, 507, b"get a\r\n"),
    ]);
    assert_eq!(
        found(&segments),
        [
            opened(false),
            bytes(Request, 0, b"get a\r\n"),
            bytes(Response, 0, b"END\r\n"),
            Plain::Ended(Request),
            Plain::Ended(Response),
            Plain::Closed { orderly: true },
        ]
    );
}

#[test]
fn order_repetition_and_overlap_are_mended() {
    let whole: Vec<u8> = (b'a'..=b'z').collect();
    let piece = |time: u64, start: usize, end: usize| {
        let sequence = 101 + u32::try_from(start).unwrap();
        request(time * US, sequence, 501, &whole[start..end])
    };
    for (what, pieces) in [
        ("in order", vec![(0, 9), (9, 26)]),
        ("out of order", vec![(9, 26), (0, 9)]),
        ("sent again", vec![(0, 9), (0, 9), (9, 26), (9, 26)]),
        ("sent again in larger pieces", vec![(0, 9), (0, 26)]),
        ("overlapping", vec![(5, 15), (12, 26), (0, 8)]),
        (
            "a longer one at the same place",
            vec![(9, 12), (9, 26), (0, 9)],
        ),
        (
            "a shorter one at the same place",
            vec![(9, 26), (9, 12), (0, 9)],
        ),
        (
            "inside out",
            vec![(3, 5), (1, 20), (2, 4), (19, 26), (0, 2)],
        ),
    ] {
        let pieces = pieces.iter().enumerate();
        let pieces: Vec<_> = pieces
            .map(|(at, (start, end))| piece(at as u64 + 3, *start, *end))
            .collect();
        let mut streamed = Vec::new();
        for found in found(&after_handshake(&pieces)) {
            if let Plain::Bytes(Request, offset, bytes, 0) = found {
                assert_eq!(offset, streamed.len() as u64, "{what}");
                streamed.extend(bytes);
            }
        }
        assert_eq!(streamed, whole, "{what}");
    }
}

#[test]
fn sequence_numbers_wrap() {
    let start = u32::MAX - 3;
    let segments = [
        request(0, start, 0, b"")
            .with("S")
            .without_acknowledgement(),
        response(US, u32::MAX, start.wrapping_add(1), b"").with("S"),
        request(2 * US, 2, 0, b"cdef"),
        request(3 * US, start.wrapping_add(1), 0, b"zyxab"),
        response(4 * US, 0, 6, b"answer"),
    ];
    assert_eq!(
        found(&segments),
        [
            opened(false),
            bytes(Request, 0, b"zyxab"),
            bytes(Request, 5, b"cdef"),
            bytes(Response, 0, b"answer"),
        ]
    );
}

#[test]
fn a_response_is_handed_on_behind_the_requests_its_sender_had() {
    let segments = after_handshake(&[
        response(3 * US, 501, 108, b"END\r\n"),
        request(4 * US, 101, 501, b"get a\r\n"),
    ]);
    assert_eq!(
        found(&segments)[1..],
        [
            bytes(Request, 0, b"get a\r\n"),
            bytes(Response, 0, b"END\r\n")
        ]
    );
}

#[test]
fn what_the_other_side_received_and_the_capture_did_not_is_given_up_after_a_while() {
    let mut segments = after_handshake(&[
        // `get a` was not captured, its answer was.
        response(3 * US, 501, 108, b"END\r\n"),
        request(4 * US, 108, 506, b"get b\r\n"),
        response(5 * US, 506, 115, b"END\r\n"),
    ]);
    assert_eq!(found(&segments), []);
    segments.push(request(200 * MS, 115, 511, b"get c\r\n"));
    assert_eq!(
        found(&segments),
        [
            opened(false),
            bytes(Request, 7, b""),
            bytes(Response, 0, b"END\r\n"),
            bytes(Request, 7, b"get b\r\n"),
            bytes(Response, 5, b"END\r\n"),
            bytes(Request, 14, b"get c\r\n"),
        ]
    );
}

#[test]
fn what_nobody_received_is_waited_for() {
    let lost = request(3 * US, 101, 501, b"get a\r\n");
    let segments = after_handshake(&[
        request(4 * US, 108, 501, b"get b\r\n"),
        response(5 * US, 501, 101, b""),
        response(S, 501, 101, b""),
        Segment {
            time: 2 * S,
            ..lost
        },
        response(2 * S + US, 501, 115, b"END\r\nEND\r\n"),
    ]);
    assert_eq!(
        found(&segments)[1..],
        [
            bytes(Request, 0, b"get a\r\n"),
            bytes(Request, 7, b"get b\r\n"),
            bytes(Response, 0, b"END\r\nEND\r\n"),
        ]
    );
}

#[test]
fn the_end_of_a_capture_gives_up_what_is_missing_and_hands_on_the_rest() {
    let segments = after_handshake(&[
        request(4 * US, 108, 501, b"get b\r\n"),
        response(5 * US, 501, 120, b""),
    ]);
    let mut flows = Flows::new(&[PORT], Limits::default());
    let mut all = found_with(&mut flows, &segments, WHOLE);
    flows.finish(&mut |one| all.push(Plain::of(&one)));
    assert_eq!(
        all,
        [
            opened(false),
            bytes(Request, 7, b""),
            bytes(Request, 7, b"get b\r\n"),
            bytes(Request, 19, b""),
        ]
    );
}

#[test]
fn a_connection_whose_beginning_is_missing_starts_where_both_sides_are() {
    let segments = [
        request(0, 7000, 9000, b"get a\r\n"),
        response(US, 8990, 7000, b"old answer"),
        response(2 * US, 9000, 7007, b"END\r\n"),
    ];
    assert_eq!(
        found(&segments),
        [
            opened(true),
            bytes(Request, 0, b"get a\r\n"),
            bytes(Response, 0, b"END\r\n"),
        ]
    );
}

#[test]
fn addresses_that_are_used_again_are_a_new_connection() {
    let first = after_handshake(&[request(3 * US, 101, 501, b"get a\r\n")]);
    let again = [
        request(4 * US, 9000, 0, b"")
            .with("S")
            .without_acknowledgement(),
        request(5 * US, 9000, 0, b"")
            .with("S")
            .without_acknowledgement(),
        response(6 * US, 100, 9001, b"").with("S"),
        request(7 * US, 9001, 101, b"get b\r\n"),
    ];
    let mut flows = Flows::new(&[PORT], Limits::default());
    assert_eq!(
        found_with(&mut flows, &[&first[..], &again].concat(), WHOLE),
        [
            opened(false),
            bytes(Request, 0, b"get a\r\n"),
            Plain::Closed { orderly: false },
            opened(false),
            bytes(Request, 0, b"get b\r\n"),
        ]
    );
    assert_eq!(flows.packets().reused, 1);
}

#[test]
fn a_reset_ends_a_connection_unless_it_is_from_elsewhere() {
    let reset = |sequence| response(4 * US, sequence, 108, b"").with("R");
    let until = |last| after_handshake(&[request(3 * US, 101, 501, b"get a\r\n"), last]);
    assert_eq!(
        found(&until(reset(501)))[2..],
        [Plain::Ended(Response), Plain::Closed { orderly: false }]
    );
    assert_eq!(found(&until(reset(0x9000_0000)))[2..], []);
}

#[test]
fn probes_of_an_idle_connection_carry_nothing() {
    let segments = after_handshake(&[
        request(3 * US, 101, 501, b"get a\r\n"),
        response(4 * US, 501, 108, b"END\r\n"),
        request(S, 107, 506, b""),
        request(2 * S, 107, 506, b"\n"),
        response(2 * S + US, 506, 108, b""),
        request(3 * S, 108, 506, b"get b\r\n"),
    ]);
    assert_eq!(found(&segments)[3..], [bytes(Request, 7, b"get b\r\n")]);
}

#[test]
fn what_was_cut_off_a_packet_is_a_hole() {
    let segments = after_handshake(&[request(3 * US, 101, 501, b"set a 0 0 90\r\n...")]);
    let mut flows = Flows::new(&[PORT], Limits::default());
    let all = found_with(&mut flows, &segments, 14 + 20 + 20 + 10);
    assert_eq!(all[1], Plain::Bytes(Request, 0, b"set a 0 0 ".to_vec(), 7));
    let unreadable = found_with(&mut flows, &segments[3..], 14 + 20 + 10);
    assert_eq!((unreadable, flows.unfollowed().unreadable), (vec![], 1));
}

#[test]
fn a_packet_captured_twice_counts_once() {
    let mut segments = after_handshake(&[
        request(3 * US, 101, 501, b"get a\r\n"),
        request(3 * US, 101, 501, b"get a\r\n"),
        response(4 * US, 501, 108, b"END\r\n"),
        response(4 * US, 501, 108, b"END\r\n"),
    ]);
    segments.push(request(9 * US, 101, 501, b"get a\r\n"));
    let mut flows = Flows::new(&[PORT], Limits::default());
    let all = found_with(&mut flows, &segments, WHOLE);
    assert_eq!(all.len(), 3);
    let packets = flows.packets();
    assert_eq!((packets.duplicates, packets.retransmitted_bytes), (2, 7));
}

#[test]
fn memory_is_bounded_by_giving_up_what_is_missing() {
    let limits = Limits {
        flows: 2,
        flow_bytes: 2000,
        total_bytes: 1 << 20,
    };
    let mut flows = Flows::new(&[PORT], limits);
    let mut all = found_with(&mut flows, &handshake(), WHOLE);
    for number in 0..40_u32 {
        let late = request(
            u64::from(number + 5) * US,
            201 + 100 * number,
            501,
            &[b'x'; 100],
        );
        all.extend(found_with(&mut flows, &[late], WHOLE));
    }
    let streamed = all
        .iter()
        .filter(|one| matches!(one, Plain::Bytes(_, _, bytes, _) if !bytes.is_empty()));
    assert!(streamed.count() >= 20);
    assert_eq!(all[1], bytes(Request, 100, b""));
    for port in [1, 2, 3] {
        let other = Segment {
            client: port,
            ..request(S, 1, 1, b"get a\r\n")
        };
        found_with(&mut flows, &[other], WHOLE);
    }
    assert_eq!(flows.unfollowed().no_state, 14);
}

#[test]
fn tags_options_and_extension_headers_are_passed_over() {
    let segment = request(0, 101, 501, b"get a\r\n");
    let frame = segment.frame();
    let (ethernet, ip) = frame.split_at(14);
    let tag = [0x81, 0, 0, 5];
    let tagged = [&ethernet[..12], &tag, &ethernet[12..], ip].concat();
    let double = [
        &ethernet[..12],
        &[0x88, 0xa8, 0, 7],
        &tag,
        &ethernet[12..],
        ip,
    ]
    .concat();
    let mut with_options = [&[0x46][..], &ip[1..20], &[1, 1, 1, 0], &ip[20..]].concat();
    with_options[3] += 4;
    let tcp = &ip[20..];
    let length = u8::try_from(tcp.len() + 8).unwrap();
    let six = [
        &[0x60, 0, 0, 0, 0, length, 60, 64][..],
        &[0xfd; 16],
        &[0xfe; 16],
        &[6, 0, 1, 4, 0, 0, 0, 0],
        tcp,
    ]
    .concat();
    // A super-packet: no length field holds its length.
    let mut long = ip.to_vec();
    long[2..4].fill(0);
    for (what, link, bytes) in [
        ("plain", Link::Ethernet, frame.clone()),
        ("one tag", Link::Ethernet, tagged),
        ("two tags", Link::Ethernet, double),
        ("options", Link::Raw, with_options),
        ("extension header", Link::Raw, six),
        ("no length", Link::Raw, long),
        ("padding", Link::Ethernet, [&frame[..], &[0; 9]].concat()),
    ] {
        let packet = Packet {
            time: 0,
            link,
            bytes: &bytes,
            length: u32::try_from(bytes.len()).unwrap(),
            way: None,
        };
        let headers::Seen::Tcp(tcp) = headers::parse(&packet) else {
            panic!("{what}: {:?}", headers::parse(&packet));
        };
        assert_eq!(
            (tcp.payload, tcp.length, tcp.sequence),
            (&b"get a\r\n"[..], 7, 101),
            "{what}"
        );
        assert_eq!(tcp.destination.port(), PORT, "{what}");
    }
}

#[test]
fn pieces_of_packets_are_counted_where_they_can_be_told() {
    let mut first = request(0, 101, 501, b"get a\r\n").frame();
    first[14 + 6] = 0x20;
    let mut later = first.clone();
    later[14 + 7] = 9;
    let mut flows = Flows::new(&[PORT], Limits::default());
    for bytes in [&first, &later] {
        let packet = Packet {
            time: 0,
            link: Link::Ethernet,
            bytes,
            length: u32::try_from(bytes.len()).unwrap(),
            way: None,
        };
        flows.take(&packet, &mut |found| panic!("{found:?}"));
    }
    assert_eq!(
        (flows.unfollowed().fragments, flows.packets().other),
        (1, 1)
    );
}

proptest! {
    /// Every order, repetition and cut of a stream gives the same bytes once.
    #[test]
    fn a_stream_comes_out_whole(
        cuts in proptest::collection::vec(1_usize..400, 1..30),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        start in any::<u32>(),
    ) {
        let total: usize = cuts.iter().sum();
        let stream: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut at = 0;
        let mut pieces = Vec::new();
        for cut in cuts {
            pieces.push((at, at + cut));
            at += cut;
        }
        let mut sent: Vec<_> = order.iter().map(|index| *index.get(&pieces)).collect();
        sent.extend(pieces);
        let first = start.wrapping_add(1);
        let mut segments = vec![
            request(0, start, 0, b"").with("S").without_acknowledgement(),
            response(US, 500, first, b"").with("S"),
        ];
        for (number, (from, to)) in sent.into_iter().enumerate() {
            let sequence = first.wrapping_add(u32::try_from(from).unwrap());
            segments.push(request((number as u64 + 2) * US, sequence, 501, &stream[from..to]));
        }
        let mut streamed = Vec::new();
        for one in found(&segments) {
            if let Plain::Bytes(_, offset, bytes, hole) = one {
                prop_assert_eq!((offset, hole), (streamed.len() as u64, 0));
                streamed.extend(bytes);
            }
        }
        prop_assert_eq!(streamed, stream);
    }

    /// No packet is too odd.
    #[test]
    fn any_bytes_are_some_packet(
        link in 0_u32..300,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        length in any::<u32>(),
    ) {
        if let Some(link) = Link::of_number(link) {
            let mut flows = Flows::new(&[0, 1, 2, 3, PORT], Limits::default());
            flows.take(&Packet { time: 0, link, bytes: &bytes, length, way: None }, &mut |_| {});
        }
    }
}
