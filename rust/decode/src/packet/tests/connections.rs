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
fn a_connection_captured_midway_starts_at_the_positions_of_both_sides() {
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
    assert_eq!(
        found(&until(reset(501)))[2..],
        [Plain::Ended(Response), Plain::Closed { orderly: false }]
    );
    assert_eq!(found(&until(reset(0x9000_0000)))[2..], []);
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
