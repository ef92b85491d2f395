//! Records of the kernel programs → events and the ledger.

mod bounds;
mod packets;

use std::net::SocketAddr;

use membench_common::{Close, Part, Socket};
use membench_decode::Responses;
use membench_decode::privacy::KeyHasher;
use membench_event::Transport;
use zerocopy::IntoBytes;

use super::*;
use crate::session::peer::{OpenBefore, OwnAddresses};

const COOKIE: u64 = 7;
const NAMESPACE: u32 = 1;

/// A session that has seen the announcement of one connection.
fn session() -> Session {
    session_of(0, OpenBefore::default())
}

/// A session with one connection, on which so many bytes of requests had moved before its first call.
fn session_of(request_before: u32, open_before: OpenBefore) -> Session {
    let decoder = Decoder::new(KeyHasher::random().unwrap(), Responses::Bytes, 0);
    let own = OwnAddresses::default();
    let sockets = Sockets::new(own, NAMESPACE, open_before, Vec::new());
    let mut session = Session::new(decoder, sockets);
    let socket = Socket {
        namespace: NAMESPACE,
        pid: 2,
        family: 2,
        protocol: 6,
        local_port: 11211,
        remote_port: 40_000,
        local: [0; 16],
        remote: [1; 16],
        request_before,
        response_before: 0,
    };
    take(&mut session, &header(kind::SOCKET, 0, 0), socket.as_bytes());
    session
}

fn header(kind: u32, offset: u64, length: usize) -> Header {
    let length = u32::try_from(length).unwrap();
    Header {
        time: 1 + offset,
        arrival: 0,
        cookie: COOKIE,
        offset,
        length,
        call_length: length,
        kind,
        parts: u32::from(length > 0),
        call: u32::try_from(offset).unwrap(),
        lost: 0,
    }
}

fn take(session: &mut Session, header: &Header, rest: &[u8]) {
    let bytes = [header.as_bytes(), rest].concat();
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .collect();
    session.take(&Record::parse(words.as_bytes()).unwrap());
}

fn take_text(session: &mut Session, kind: u32, offset: u64, text: &str) {
    let part = Part {
        length: u32::try_from(text.len()).unwrap(),
        head: u16::try_from(text.len()).unwrap(),
        tail: 0,
    };
    let mut rest = [part.as_bytes(), text.as_bytes()].concat();
    rest.resize(rest.len().next_multiple_of(8), 0);
    take(session, &header(kind, offset, text.len()), &rest);
}

fn close(session: &mut Session, time: u64) {
    close_at(session, time, (7, 5));
}

fn close_at(session: &mut Session, time: u64, offsets: (u64, u64)) {
    close_after(session, time, offsets, (0, 0));
}

/// Closes the connection, on which so many bytes of requests and of responses moved after the calls that ended at
/// `offsets`.
fn close_after(session: &mut Session, time: u64, offsets: (u64, u64), after: (u32, u32)) {
    let close = Close {
        request_offset: offsets.0,
        response_offset: offsets.1,
        request_lost: 0,
        response_lost: 0,
        request_after: after.0,
        response_after: after.1,
    };
    let header = Header {
        time,
        ..header(kind::CLOSE, 0, 0)
    };
    take(session, &header, close.as_bytes());
}

#[test]
fn bytes_read_soon_after_a_close_belong_to_the_connection() {
    for (waited, events, orphaned) in [(0, 2, 0), (u64::MAX, 1, 7)] {
        let mut session = session();
        take_text(&mut session, kind::REQUEST, 0, "get a\r\n");
        take_text(&mut session, kind::RESPONSE, 0, "END\r\n");
        close(&mut session, 100);
        session.let_go(waited);
        take_text(&mut session, kind::REQUEST, 7, "get b\r\n");
        session.end(0);
        assert_eq!(session.events().len(), events);
        let ledger = session.ledger(Counters::default(), 0);
        assert_eq!(ledger.orphaned, orphaned);
        assert_eq!(ledger.servers[0].request.seen, 14 - orphaned);
        assert_eq!(session.sockets().connections().rows()[0].closed, Some(100));
    }
}

#[test]
fn a_connection_that_was_read_to_its_end_is_settled_when_it_is_closed() {
    let mut session = session();
    take_text(&mut session, kind::REQUEST, 0, "get a\r\n");
    take_text(&mut session, kind::RESPONSE, 0, "END\r\n");
    take(&mut session, &header(kind::END, 7, 0), &[]);
    close(&mut session, 100);
    assert!(session.decoder.open_connections().is_empty());
}

#[test]
fn a_connection_without_a_byte_was_opened_and_closed_and_is_silent() {
    for is_reset in [false, true] {
        let mut session = session();
        if !is_reset {
            take(&mut session, &header(kind::END, 0, 0), &[]);
        }
        close_at(&mut session, 100, (0, 0));
        session.end(0);
        let row = &session.sockets().connections().rows()[0];
        assert_eq!((row.opened, row.closed), (Some(1), Some(100)));
        assert_eq!(session.sockets().silent(), 1);
    }
}

/// The ledger of a session that has ended, and its bytes of requests that were missed.
fn ledger_and_missed(session: &mut Session) -> (Ledger, u64) {
    session.end(0);
    let ledger = session.ledger(Counters::default(), 0);
    for flow in [ledger.servers[0].request, ledger.servers[0].response] {
        assert_eq!(flow.accounted(), flow.seen, "{flow:?}");
    }
    let missed = ledger.servers[0].request.missed;
    (ledger, missed)
}

#[test]
fn bytes_before_the_first_call_are_missed_if_the_connection_is_new_and_an_edge_if_not() {
    let client = SocketAddr::from(([1, 1, 1, 1], 40_000));
    let known = |clients: &[(u32, SocketAddr)], time, namespace| {
        OpenBefore::new(clients.iter().copied(), []).complete_at(time, [namespace])
    };
    for (what, open_before, is_missed) in [
        ("opened since", known(&[], 0, NAMESPACE), true),
        (
            "open before",
            known(&[(NAMESPACE, client)], 0, NAMESPACE),
            false,
        ),
        (
            "seen while others were listed",
            known(&[], 1, NAMESPACE),
            false,
        ),
        (
            "of an unknown namespace",
            known(&[], 0, NAMESPACE + 1),
            false,
        ),
    ] {
        let mut session = session_of(7, open_before);
        take_text(&mut session, kind::REQUEST, 7, "get b\r\n");
        take_text(&mut session, kind::RESPONSE, 0, "END\r\n");
        take_text(&mut session, kind::REQUEST, 14, "get c\r\n");
        take_text(&mut session, kind::RESPONSE, 5, "END\r\n");
        let (ledger, missed) = ledger_and_missed(&mut session);
        let expected = if is_missed { 7 } else { 0 };
        assert_eq!((missed, ledger.missed), (expected, expected), "{what}");
        assert_eq!(ledger.complete, Some(!is_missed), "{what}");
        assert_eq!(ledger.servers[0].request.seen, 14, "{what}");
        let row = &session.sockets().connections().rows()[0];
        assert_eq!(row.opened.is_some(), is_missed, "{what}");
        assert_eq!(
            (row.lost_bytes > 0, session.events().len()),
            (is_missed, 2),
            "{what}"
        );
    }
}

#[test]
fn bytes_after_the_last_call_are_missed_unless_another_call_follows_the_close() {
    let exchanged = || {
        let mut session = session();
        take_text(&mut session, kind::REQUEST, 0, "get a\r\n");
        take_text(&mut session, kind::RESPONSE, 0, "END\r\n");
        session
    };
    // Both last calls were skipped.
    let mut skipped = exchanged();
    close_after(&mut skipped, 100, (7, 5), (9, 3));
    let (ledger, missed) = ledger_and_missed(&mut skipped);
    assert_eq!((missed, ledger.servers[0].response.missed), (9, 3));
    assert_eq!((ledger.missed, ledger.complete), (12, Some(false)));
    let listed = skipped.take_losses();
    let listed: Vec<_> = listed
        .iter()
        .map(|row| (row.cause.as_str(), row.bytes))
        .collect();
    assert_eq!(listed, [("missed", 9), ("missed", 3)]);
    // The last read had been done as a reset closed the socket, and its program ran after that.
    let mut running = exchanged();
    close_after(&mut running, 100, (7, 5), (7, 0));
    take_text(&mut running, kind::REQUEST, 7, "get b\r\n");
    let (ledger, missed) = ledger_and_missed(&mut running);
    assert_eq!((missed, ledger.missed, ledger.complete), (0, 0, Some(true)));
    // The last answer was skipped, and the client's end was read.
    let mut read_to_end = exchanged();
    take(&mut read_to_end, &header(kind::END, 7, 0), &[]);
    close_after(&mut read_to_end, 100, (7, 5), (0, 8));
    let (ledger, _) = ledger_and_missed(&mut read_to_end);
    assert_eq!((ledger.missed, ledger.complete), (8, Some(false)));
}

#[test]
fn a_connection_that_was_used_or_stays_open_is_not_silent() {
    let mut used = session();
    take_text(&mut used, kind::REQUEST, 0, "get a\r\n");
    take_text(&mut used, kind::RESPONSE, 0, "END\r\n");
    close(&mut used, 100);
    for mut session in [used, session(), session_of(1, OpenBefore::default())] {
        session.end(0);
        assert_eq!(session.sockets().silent(), 0);
    }
}

#[test]
fn a_record_that_comes_too_late_is_a_loss_and_shifts_nothing_else() {
    let mut session = session();
    let exchanges = ["get a\r\n", "get b\r\n", "get c\r\n"];
    // The second request comes last.
    for (request, response) in [(0, 0), (2, 10), (1, 5)] {
        let text = exchanges[request];
        let offset = (request * text.len()) as u64;
        take_text(&mut session, kind::REQUEST, offset, text);
        take_text(&mut session, kind::RESPONSE, response, "END\r\n");
    }
    session.end(0);
    assert_eq!(session.events().len(), 2);
    let counters = Counters {
        request_bytes: 21,
        response_bytes: 15,
        ..Counters::default()
    };
    let ledger = session.ledger(counters, 0);
    assert_eq!((ledger.late, ledger.complete), (12, Some(false)));
    let flows = (ledger.servers[0].request, ledger.servers[0].response);
    assert_eq!((flows.0.seen, flows.1.seen), (21, 15));
    for flow in [flows.0, flows.1] {
        assert_eq!(flow.accounted(), flow.seen, "{flow:?}");
    }
    let late = |row: &&LossRow| row.cause == "late";
    assert_eq!(session.take_losses().iter().filter(late).count(), 2);
}
