//! Segments in any order → the bytes of each direction in order.

use super::*;

#[test]
fn disorder_repetition_and_overlap_are_repaired() {
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
fn a_response_is_handed_on_after_the_requests_its_sender_had_received() {
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
fn bytes_received_but_not_captured_are_given_up_after_a_timeout() {
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
fn bytes_that_nobody_received_are_waited_for() {
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
fn the_end_of_a_capture_gives_up_gaps_and_hands_on_the_rest() {
    let segments = after_handshake(&[
        request(4 * US, 108, 501, b"get b\r\n"),
        response(5 * US, 501, 120, b""),
    ]);
    let mut flows = Flows::new(&[PORT], Limits::default());
    let mut all = found_with(&mut flows, &segments, WHOLE);
    flows.finish(&mut |one| all.push(Plain::from_found(&one)));
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
