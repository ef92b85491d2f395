//! Records of the kernel programs → events and the ledger.

mod bounds;
mod packets;

use membench_common::{Close, Part, Socket};
use membench_decode::Responses;
use membench_decode::privacy::KeyHasher;
use membench_event::Transport;
use zerocopy::IntoBytes;

use super::*;

const COOKIE: u64 = 7;

/// A session that has seen the announcement of one connection.
fn session() -> Session {
    session_of(0)
}

/// A session with one connection, whose socket says that bytes have moved if `mid_stream` is 1.
fn session_of(mid_stream: u32) -> Session {
    let decoder = Decoder::new(KeyHasher::random().unwrap(), Responses::Bytes, 0);
    let mut session = Session::new(decoder, Sockets::default());
    let socket = Socket {
        namespace: 1,
        pid: 2,
        family: 2,
        protocol: 6,
        local_port: 11211,
        remote_port: 40_000,
        local: [0; 16],
        remote: [1; 16],
        mid_stream,
        padding: 0,
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
    let close = Close {
        request_offset: offsets.0,
        response_offset: offsets.1,
        request_lost: 0,
        response_lost: 0,
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
    // The FIN that was there before the first call counts as a byte in the socket.
    for mid_stream in [0, 1] {
        for is_reset in [false, true] {
            let mut session = session_of(mid_stream);
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
}

#[test]
fn a_connection_that_was_used_or_stays_open_is_not_silent() {
    let mut used = session();
    take_text(&mut used, kind::REQUEST, 0, "get a\r\n");
    take_text(&mut used, kind::RESPONSE, 0, "END\r\n");
    close(&mut used, 100);
    for mut session in [used, session(), session_of(1)] {
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
