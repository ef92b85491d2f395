//! Beginnings and ends of connections.

use super::*;

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
fn a_connection_captured_midway_starts_at_the_first_bytes_of_both_sides() {
    let segments = [
        request(0, 7000, 9000, b"get a\r\n"),
        response(US, 8990, 7000, b"old answer"),
        response(2 * US, 9000, 7007, b"END\r\n"),
    ];
    assert_eq!(found(&segments), []);
    assert_eq!(
        found_to_the_end(&segments),
        [
            opened(true),
            bytes(Response, 0, b"old answer"),
            bytes(Request, 0, b"get a\r\n"),
            bytes(Response, 10, b"END\r\n"),
        ]
    );
}

#[test]
fn reused_addresses_are_a_new_connection() {
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
fn a_reset_ends_a_connection_unless_it_is_out_of_window() {
    let reset = |sequence| response(4 * US, sequence, 108, b"").with("R");
    let until = |last| after_handshake(&[request(3 * US, 101, 501, b"get a\r\n"), last]);
    let ended = [Plain::Ended(Response), Plain::Closed { orderly: false }];
    assert_eq!(found(&until(reset(501)))[2..], []);
    assert_eq!(found_to_the_end(&until(reset(501)))[2..], ended);
    assert_eq!(found_to_the_end(&until(reset(0x9000_0000)))[2..], []);
}

#[test]
fn an_answer_behind_a_reset_is_handed_on() {
    let segments = after_handshake(&[
        request(3 * US, 101, 501, b"get a\r\n").with("F"),
        request(4 * US, 109, 501, b"").with("R"),
        response(5 * US, 501, 109, b"END\r\n"),
        request(6 * US, 109, 0, b"").with("R"),
    ]);
    let mut flows = Flows::new(&[PORT], Limits::default());
    let mut all = found_with(&mut flows, &segments, WHOLE);
    let expected = [
        opened(false),
        bytes(Request, 0, b"get a\r\n"),
        Plain::Ended(Request),
        bytes(Response, 0, b"END\r\n"),
    ];
    assert_eq!(all, expected);
    flows.advance_to(S, &mut |one| all.push(Plain::from_found(&one)));
    assert_eq!(all[4..], [Plain::Closed { orderly: false }]);
}

#[test]
fn a_fin_is_no_byte_of_payload_wherever_it_was_captured() {
    let answered = [
        request(3 * US, 101, 501, b"get a\r\n"),
        response(4 * US, 501, 108, b"END\r\n"),
    ];
    let (client, server) = (
        request(5 * US, 108, 506, b"").with("F"),
        response(6 * US, 506, 109, b"").with("F"),
    );
    let last = request(7 * US, 109, 507, b"");
    let payload = [
        opened(false),
        bytes(Request, 0, b"get a\r\n"),
        bytes(Response, 0, b"END\r\n"),
    ];
    for (what, ends) in [
        ("in order", vec![&client, &server, &last]),
        ("swapped", vec![&server, &client, &last]),
        ("the last first", vec![&last, &server, &client]),
        ("the client's is missing", vec![&server, &last]),
        ("the server's is missing", vec![&client, &last]),
        ("both are missing", vec![&last]),
    ] {
        let ends: Vec<_> = ends.into_iter().cloned().collect();
        let all = found_to_the_end(&after_handshake(&[&answered[..], &ends].concat()));
        assert_eq!(all[..3], payload, "{what}");
        let rest = &all[3..];
        let is_payload = |one: &Plain| matches!(one, Plain::Bytes(..));
        assert!(!rest.iter().any(is_payload), "{what}: {rest:?}");
    }
}

#[test]
fn an_answer_that_acknowledges_a_fin_which_was_not_captured_loses_nothing() {
    let segments = after_handshake(&[
        request(3 * US, 101, 501, b"get a\r\n"),
        response(4 * US, 501, 109, b"END\r\n"),
        request(S, 109, 506, b""),
    ]);
    assert_eq!(
        found(&segments)[1..],
        [
            bytes(Request, 0, b"get a\r\n"),
            bytes(Response, 0, b"END\r\n")
        ]
    );
}

/// A connection from the port of a server to one that is not followed.
fn outgoing(first: usize) -> Vec<Segment> {
    let mut segments = vec![
        Segment {
            client: 443,
            ..response(0, 500, 0, b"").with("S").without_acknowledgement()
        },
        Segment {
            client: 443,
            ..request(US, 100, 501, b"").with("S")
        },
        Segment {
            client: 443,
            ..response(2 * US, 501, 101, b"\x16\x03\x01 hello")
        },
        Segment {
            client: 443,
            ..request(3 * US, 101, 512, b"\x16\x03\x03 hello")
        },
    ];
    segments.rotate_left(first);
    segments
}

#[test]
fn a_syn_tells_who_is_the_server_whenever_it_is_captured() {
    for first in 0..4 {
        let mut flows = Flows::new(&[PORT], Limits::default());
        let mut all = found_with(&mut flows, &outgoing(first), WHOLE);
        flows.finish(&mut |one| all.push(Plain::from_found(&one)));
        assert_eq!(all, [], "{first}");
    }
}

#[test]
fn servers_on_any_port_are_found_by_what_their_clients_send() {
    let mut foreign = outgoing(0);
    foreign.push(request(S, 9, 9, b"GET / HTTP/1.1\r\n"));
    let mut flows = Flows::following(Ports::Any, Limits::default());
    let mut all = found_with(&mut flows, &foreign, WHOLE);
    assert_eq!(flows.packets().other, 2);
    let opened_late = [
        request(2 * S, 700, 900, b"get b\r\n"),
        response(2 * S + US, 900, 707, b"END\r\n"),
    ];
    all.extend(found_with(&mut flows, &opened_late, WHOLE));
    let whole = after_handshake(&[request(3 * US, 101, 501, b"get a\r\n")])
        .into_iter()
        .map(|segment| Segment {
            client: 50_000,
            ..segment
        });
    all.extend(found_with(&mut flows, &whole.collect::<Vec<_>>(), WHOLE));
    flows.finish(&mut |one| all.push(Plain::from_found(&one)));
    let payload: Vec<_> = all
        .into_iter()
        .filter_map(|one| match one {
            Plain::Bytes(_, _, bytes, _) => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(payload, [&b"get a\r\n"[..], b"get b\r\n", b"END\r\n"]);
}

#[test]
fn keepalive_probes_carry_no_payload() {
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
