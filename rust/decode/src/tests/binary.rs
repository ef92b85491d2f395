//! Hand-written exchanges of the binary protocol → events.

use super::*;

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const INCR: u8 = 0x05;
const GETQ: u8 = 0x09;
const NOOP: u8 = 0x0a;
const GETK: u8 = 0x0c;
const GETKQ: u8 = 0x0d;
const STAT: u8 = 0x10;
const SETQ: u8 = 0x11;
const DELETEQ: u8 = 0x14;

const OK: u16 = 0;
const NOT_FOUND: u16 = 1;
const EXISTS: u16 = 2;

/// Parts of a message after its header.
#[derive(Clone, Copy, Default)]
struct Body<'a> {
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

/// Fields of a header that do not follow from the body.
#[derive(Clone, Copy, Default)]
struct Header {
    magic: u8,
    opcode: u8,
    status: u16,
    opaque: u32,
    cas: u64,
}

fn message(header: Header, Body { extras, key, value }: Body<'_>) -> Vec<u8> {
    let Header {
        magic,
        opcode,
        status,
        opaque,
        cas,
    } = header;
    let size = |bytes: &[u8]| u8::try_from(bytes.len()).expect("a short part");
    let body = u32::try_from(extras.len() + key.len() + value.len()).expect("a short body");
    let mut bytes = vec![magic, opcode, 0, size(key), size(extras), 0];
    bytes.extend(status.to_be_bytes());
    bytes.extend(body.to_be_bytes());
    bytes.extend(opaque.to_be_bytes());
    bytes.extend(cas.to_be_bytes());
    [&bytes, extras, key, value].concat()
}

fn asks(opcode: u8, opaque: u32, key: &str) -> Vec<u8> {
    let extras: &[u8] = match opcode {
        SET | SETQ | 0x02 | 0x03 | 0x12 | 0x13 => &[0, 0, 0, 7, 0, 0, 0, 60],
        0x1c..=0x1e | 0x23 | 0x24 => &[0, 0, 0, 60],
        INCR | 0x06 => &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 30],
        _ => b"",
    };
    let value: &[u8] = match opcode {
        SET | SETQ | 0x02 | 0x03 | 0x0e | 0x0f => b"value",
        _ => b"",
    };
    let key = key.as_bytes();
    let header = Header {
        magic: 0x80,
        opcode,
        opaque,
        ..Header::default()
    };
    message(header, Body { extras, key, value })
}

fn answer(opcode: u8, status: u16, opaque: u32) -> Header {
    Header {
        magic: 0x81,
        opcode,
        status,
        opaque,
        cas: 0,
    }
}

fn says(opcode: u8, status: u16, opaque: u32, value: &[u8]) -> Vec<u8> {
    let body = Body {
        value,
        ..Body::default()
    };
    message(answer(opcode, status, opaque), body)
}

fn hits(opcode: u8, opaque: u32, key: &str, value: &[u8]) -> Vec<u8> {
    let body = Body {
        extras: &[0, 0, 0, 7],
        key: key.as_bytes(),
        value,
    };
    let header = Header {
        cas: 99,
        ..answer(opcode, OK, opaque)
    };
    message(header, body)
}

fn found(events: &[Event]) -> Vec<Option<Outcome>> {
    events.iter().map(|event| event.outcome).collect()
}

#[test]
fn each_opcode_gets_the_outcome_of_its_response() {
    use Command as C;
    use Outcome as O;
    let table: &[(u8, &str, u16, C, O)] = &[
        (GET, "k", NOT_FOUND, C::Get, O::Miss),
        (SET, "k", OK, C::Set, O::Stored),
        (0x02, "k", EXISTS, C::Add, O::NotStored),
        (0x03, "k", NOT_FOUND, C::Replace, O::NotStored),
        (0x04, "k", OK, C::Delete, O::Deleted),
        (INCR, "k", OK, C::Incr, O::Stored),
        (0x06, "k", 6, C::Decr, O::ClientError),
        (0x07, "", OK, C::Quit, O::Ok),
        (0x08, "", OK, C::FlushAll, O::Ok),
        (NOOP, "", OK, C::MetaNoop, O::Ok),
        (0x0b, "", OK, C::Version, O::Ok),
        (GETK, "k", NOT_FOUND, C::Get, O::Miss),
        (0x0e, "k", 5, C::Append, O::NotStored),
        (0x0f, "k", 3, C::Prepend, O::ServerError),
        (STAT, "settings", OK, C::Stats, O::Ok),
        (0x1c, "k", NOT_FOUND, C::Touch, O::NotFound),
        (0x1d, "k", NOT_FOUND, C::Gat, O::Miss),
        (0x20, "", 0x81, C::Other, O::ClientError),
        (0x22, "PLAIN", 0x20, C::Other, O::ClientError),
    ];
    for (opcode, key, status, command, expected) in table {
        let (events, totals) = exchange()
            .reads(&asks(*opcode, 5, key))
            .sends(&says(*opcode, *status, 5, b""))
            .end();
        assert_eq!(outcomes(&events), [(*command, Some(*expected))]);
        let event = events[0];
        assert_eq!(event.protocol.name(), "binary");
        assert_eq!((event.opaque_size, event.server_time), (None, Some(1_000)));
        assert_eq!(totals.unmatched + totals.unpaired, 0, "{opcode:#x}");
    }
}

#[test]
fn an_event_holds_all_numbers_of_its_request() {
    let mut with_cas = asks(SETQ, 1, "k");
    with_cas[23] = 77;
    let stream = [asks(SET, 1, "a key"), with_cas, asks(INCR, 1, "k")].concat();
    let answers = [
        says(SET, OK, 1, b""),
        says(SETQ, EXISTS, 1, b""),
        says(INCR, OK, 1, b"12345678"),
    ]
    .concat();
    let mut exchange = exchange();
    let (events, _) = exchange.reads(&stream).sends(&answers).end();
    let [set, cas, incr] = events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((set.key_size, set.value_size), (Some(5), Some(5)));
    assert_eq!((set.flags, set.ttl), (Some(7), Some(60)));
    assert_eq!(set.request_size, Some(24 + 8 + 5 + 5));
    assert_eq!(
        (cas.command, cas.cas, cas.outcome),
        (Command::Cas, Some(0), Some(Outcome::Exists))
    );
    assert_eq!(exchange.decoder.options().name(cas.options), "q");
    assert_eq!((incr.delta_size, incr.initial_size), (Some(1), Some(1)));
    assert_eq!((incr.vivify_ttl, incr.value_size), (Some(30), None));
}

#[test]
fn quiet_gets_are_settled_by_the_noop_after_them() {
    let requests: Vec<u8> = (0..4)
        .map(|index| asks(GETKQ, index, &format!("k{index}")))
        .chain([asks(NOOP, 9, "")])
        .flatten()
        .collect();
    let answers = [
        hits(GETKQ, 1, "k1", b"one"),
        hits(GETKQ, 3, "k3", b""),
        says(NOOP, OK, 9, b""),
    ]
    .concat();
    let (events, totals) = exchange().reads(&requests).sends(&answers).end();
    let [hit, none, ok] = [Outcome::Hit, Outcome::Suppressed, Outcome::Ok].map(Some);
    assert_eq!(found(&events), [none, hit, none, hit, ok]);
    assert_eq!(
        (events[1].value_size, events[3].value_size),
        (Some(3), Some(0))
    );
    assert_eq!((events[1].cas, events[1].flags), (Some(0), None));
    assert_eq!(totals.response.value_skipped, 3);
}

#[test]
fn quiet_requests_with_equal_opaque_values_are_paired_by_key_or_count_or_not_at_all() {
    type Row<'a> = (u8, &'a [Vec<u8>], [Option<Outcome>; 3]);
    let [hit, gone, none, ok] = [
        Outcome::Hit,
        Outcome::NotFound,
        Outcome::Suppressed,
        Outcome::Ok,
    ]
    .map(Some);
    let noop = says(NOOP, OK, 0, b"");
    let failed = says(DELETEQ, NOT_FOUND, 0, b"Not found");
    let twice = [failed.clone(), failed];
    let table: &[Row<'_>] = &[
        (GETKQ, &[hits(GETKQ, 0, "b", b"x")], [none, hit, ok]),
        (GETQ, &[hits(GETQ, 0, "", b"x")], [None, None, ok]),
        (
            GETQ,
            &[hits(GETQ, 0, "", b"x"), hits(GETQ, 0, "", b"y")],
            [hit, hit, ok],
        ),
        (GETQ, &[], [none, none, ok]),
        (DELETEQ, &twice[..1], [None, None, ok]),
        (DELETEQ, &twice, [gone, gone, ok]),
    ];
    for (opcode, answers, expected) in table {
        let requests = [
            asks(*opcode, 0, "a"),
            asks(*opcode, 0, "b"),
            asks(NOOP, 0, ""),
        ]
        .concat();
        let answers = [answers.concat(), noop.clone()].concat();
        let (events, totals) = exchange().reads(&requests).sends(&answers).end();
        assert_eq!(found(&events), expected, "{opcode:#x}");
        assert_eq!(totals.unmatched + totals.unpaired, 0);
    }
}

#[test]
fn quiet_requests_of_a_read_finish_at_the_next_read() {
    let (events, totals) = exchange()
        .reads(&[asks(SETQ, 1, "a"), asks(GETQ, 2, "b")].concat())
        .reads(&asks(GET, 3, "a"))
        .sends(&hits(GET, 3, "", b"value"))
        .end();
    let [none, hit] = [Outcome::Suppressed, Outcome::Hit].map(Some);
    assert_eq!(found(&events), [none, none, hit]);
    assert_eq!(totals.unpaired, 0);
}

#[test]
fn holes_after_a_header_cost_nothing() {
    let answer = hits(GETK, 1, "key", &[b'x'; 500]);
    for kept in 24..=answer.len() {
        let hole = u32::try_from(answer.len() - kept).expect("a short hole");
        let (events, totals) = exchange()
            .reads(&asks(GETK, 1, "key"))
            .push(
                Response,
                &[Piece::Bytes(&answer[..kept]), Piece::Hole(hole)],
            )
            .end();
        assert_eq!(found(&events), [Some(Outcome::Hit)]);
        assert_eq!(events[0].value_size, Some(500));
        assert_eq!(totals.response.truncated + totals.response.unsynced, 0);
    }
}

#[test]
fn a_list_of_statistics_is_skipped_to_the_response_that_ends_it() {
    let named = Body {
        key: b"pid",
        value: b"1234",
        ..Body::default()
    };
    let list = message(answer(STAT, OK, 7), named).repeat(40);
    let whole = [&list[..], &says(STAT, OK, 7, b""), &says(NOOP, OK, 8, b"")].concat();
    let requests = [asks(STAT, 7, ""), asks(NOOP, 8, "")].concat();
    for hole in [0, 1, 100, 900] {
        let (head, tail) = (320, 320 + hole);
        let size = u32::try_from(hole).expect("a short hole");
        let mut pieces = vec![Piece::Bytes(&whole[..head])];
        pieces.extend((hole > 0).then_some(Piece::Hole(size)));
        pieces.push(Piece::Bytes(&whole[tail..]));
        let (events, totals) = exchange().reads(&requests).push(Response, &pieces).end();
        assert_eq!(found(&events), [Some(Outcome::Ok); 2], "{hole}");
        assert_eq!(totals.unmatched + totals.response.truncated, 0);
    }
}

#[test]
fn an_unknown_opcode_takes_the_body_that_memcached_discards() {
    let unknown = [asks(0x30, 1, "key"), b"???".to_vec()].concat();
    let (events, totals) = exchange()
        .reads(&[unknown, asks(NOOP, 2, "")].concat())
        .sends(
            &[
                says(0x30, 0x81, 1, b"Unknown command"),
                says(NOOP, OK, 2, b""),
            ]
            .concat(),
        )
        .end();
    assert_eq!(
        found(&events),
        [Outcome::ClientError, Outcome::Ok].map(Some)
    );
    assert_eq!((events[0].request_size, events[0].key), (Some(30), None));
    assert_eq!(totals.request.boundary + totals.request.unsynced, 0);
}

#[test]
fn bytes_after_lengths_that_close_the_connection_are_boundary() {
    let mut bad = asks(GET, 1, "key");
    bad[11] = 2;
    let (events, totals) = exchange()
        .reads(&[bad, asks(NOOP, 2, "")].concat())
        .sends(&says(GET, 0x81, 1, b"Unknown command"))
        .end();
    assert_eq!(found(&events), [Some(Outcome::ClientError)]);
    assert_eq!((totals.request.boundary, totals.request.unsynced), (24, 0));
}

#[test]
fn a_connection_opened_before_the_start_syncs_at_its_first_request() {
    let (events, totals) = Exchange::new(Responses::Bytes, true)
        .reads(b"the tail of a value")
        .reads(&asks(GET, 1, "a"))
        .sends(&says(GET, NOT_FOUND, 1, b"Not found"))
        .end();
    assert_eq!(found(&events), [Some(Outcome::Miss)]);
    assert_eq!((totals.request.boundary, totals.request.unsynced), (19, 0));
}

#[test]
fn after_lost_bytes_decoding_resumes_at_a_request_followed_by_another() {
    let pipeline = [asks(GET, 2, "a"), asks(SET, 3, "b"), asks(NOOP, 4, "")].concat();
    let (events, totals) = exchange()
        .reads(&asks(GET, 1, "a"))
        .sends(&says(GET, NOT_FOUND, 1, b"Not found"))
        .loses(Request, 1_000)
        .reads(&[b"\x80 lost\x80\x01", &pipeline[..]].concat())
        .sends(&says(NOOP, OK, 4, b""))
        .reads(&asks(GET, 5, "a"))
        .sends(&hits(GET, 5, "", b"value"))
        .end();
    let [miss, hit] = [Outcome::Miss, Outcome::Hit].map(Some);
    assert_eq!(found(&events), [miss, None, None, None, hit]);
    assert_eq!((totals.request.unsynced, totals.resyncs), (8, 0));
}

#[test]
fn a_read_that_filled_the_buffer_is_a_barrier_for_messages() {
    let mut exchange = exchange();
    exchange.fills = true;
    let (events, totals) = exchange
        .reads(&asks(GET, 1, "a"))
        .reads(&asks(GET, 2, "a"))
        .sends(&says(GET, NOT_FOUND, 2, b"Not found"))
        .end();
    assert_eq!(found(&events), [None, Some(Outcome::Miss)]);
    assert_eq!(totals.unpaired, 1);
}

#[test]
fn lengths_settle_the_binary_outcomes_that_they_imply() {
    let mut exchange = Exchange::new(Responses::Lengths, false);
    let table = [
        (GET, 33, None),
        (GET, 32, Some(Outcome::Hit)),
        (GET, 1_000, Some(Outcome::Hit)),
        (GETK, 60, None),
        (SET, 24, Some(Outcome::Stored)),
        (0x02, 44, Some(Outcome::NotStored)),
        (0x04, 33, Some(Outcome::NotFound)),
        (0x1c, 28, Some(Outcome::Touched)),
        (INCR, 32, None),
    ];
    for (opcode, length, _) in table {
        exchange
            .reads(&asks(opcode, 1, "k"))
            .push(Response, &[Piece::Hole(length)]);
    }
    let (events, _) = exchange.end();
    let expected: Vec<_> = table.map(|(_, _, outcome)| outcome).into();
    assert_eq!(found(&events), expected);
    assert!(events.iter().all(|event| event.server_time == Some(1_000)));
}

/// A pipeline of requests and its answers.
pub(super) fn pipeline() -> (Vec<u8>, Vec<u8>) {
    let requests = [
        asks(SET, 1, "a"),
        asks(GETKQ, 2, "a"),
        asks(GETKQ, 3, "b"),
        asks(STAT, 4, ""),
        asks(SETQ, 5, "c"),
        asks(DELETEQ, 6, "d"),
        asks(INCR, 7, "e"),
        asks(NOOP, 8, ""),
    ];
    let answers = [
        says(SET, OK, 1, b""),
        hits(GETKQ, 2, "a", b"\x81value"),
        says(STAT, OK, 4, b""),
        says(DELETEQ, NOT_FOUND, 6, b"Not found"),
        says(INCR, OK, 7, b"12345678"),
        says(NOOP, OK, 8, b""),
    ];
    (requests.concat(), answers.concat())
}
