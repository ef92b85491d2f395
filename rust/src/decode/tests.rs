//! The decoder against exchanges written down by hand, whole and split at every byte.

use proptest::prelude::*;

use crate::event::{Command, Event, Outcome};
use crate::privacy::KeyHasher;
use crate::segment::{Direction, Piece, Segment};

use super::{Decoder, Responses, Totals};

mod binary;

use Direction::{Request, Response};

/// Requests, responses, and what they come to.
type Row<'a> = (&'a [u8], &'a [u8], &'a [Option<Outcome>]);

/// A connection driven by hand: what the server reads and sends, in order.
struct Exchange {
    decoder: Decoder,
    offsets: [u64; 2],
    call: u32,
    time: u64,
    fills: bool,
    events: Vec<Event>,
}

impl Exchange {
    fn new(responses: Responses, mid_stream: bool) -> Self {
        let hasher = KeyHasher::random().expect("random bytes");
        let mut decoder = Decoder::new(hasher, responses, 1_700_000_000_000_000_000);
        decoder.open(0, mid_stream);
        Self {
            decoder,
            offsets: [0; 2],
            call: 0,
            time: 0,
            fills: false,
            events: Vec::new(),
        }
    }

    fn push(&mut self, direction: Direction, pieces: &[Piece<'_>]) -> &mut Self {
        self.call += 1;
        self.time += 1_000;
        self.push_in_call(direction, pieces)
    }

    fn push_in_call(&mut self, direction: Direction, pieces: &[Piece<'_>]) -> &mut Self {
        let offset = &mut self.offsets[direction as usize];
        let segment = Segment {
            connection: 0,
            direction,
            offset: *offset,
            time: self.time,
            arrival: None,
            filled: self.fills,
            call: self.call,
            pieces,
        };
        *offset += segment.length();
        self.decoder.push(&segment, false);
        self.events.extend_from_slice(self.decoder.events());
        self.decoder.clear_events();
        self
    }

    fn reads(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Request, &[Piece::Bytes(bytes)])
    }

    fn sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Response, &[Piece::Bytes(bytes)])
    }

    fn loses(&mut self, direction: Direction, length: u64) -> &mut Self {
        self.offsets[direction as usize] += length;
        self
    }

    fn end(&mut self) -> (Vec<Event>, Totals) {
        let totals = self.decoder.close(0).expect("an open connection");
        self.events.extend_from_slice(self.decoder.events());
        for flow in [totals.request, totals.response] {
            assert_eq!(
                flow.seen,
                flow.accounted(),
                "every byte is accounted for: {flow:?}"
            );
        }
        (std::mem::take(&mut self.events), totals)
    }
}

fn exchange() -> Exchange {
    Exchange::new(Responses::Bytes, false)
}

fn outcomes(events: &[Event]) -> Vec<(Command, Option<Outcome>)> {
    events
        .iter()
        .map(|event| (event.command, event.outcome))
        .collect()
}

#[test]
fn each_command_gets_the_outcome_of_its_response() {
    use Command as C;
    use Outcome as O;
    let table: &[(&[u8], &[u8], C, O)] = &[
        (b"get a\r\n", b"END\r\n", C::Get, O::Miss),
        (b"get a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n", C::Get, O::Hit),
        (
            b"gets a\r\n",
            b"VALUE a 5 1 77\r\nx\r\nEND\r\n",
            C::Gets,
            O::Hit,
        ),
        (b"gat 10 a\r\n", b"END\r\n", C::Gat, O::Miss),
        (b"set a 0 0 1\r\nx\r\n", b"STORED\r\n", C::Set, O::Stored),
        (
            b"add a 0 0 1\r\nx\r\n",
            b"NOT_STORED\r\n",
            C::Add,
            O::NotStored,
        ),
        (b"cas a 0 0 1 5\r\nx\r\n", b"EXISTS\r\n", C::Cas, O::Exists),
        (
            b"cas a 0 0 1 5\r\nx\r\n",
            b"NOT_FOUND\r\n",
            C::Cas,
            O::NotFound,
        ),
        (
            b"set a 0 0 1\r\nx\r\n",
            b"SERVER_ERROR out of memory storing object\r\n",
            C::Set,
            O::ServerError,
        ),
        (b"delete a\r\n", b"DELETED\r\n", C::Delete, O::Deleted),
        (b"incr a 5\r\n", b"12\r\n", C::Incr, O::Stored),
        (b"decr a 5\r\n", b"NOT_FOUND\r\n", C::Decr, O::NotFound),
        (b"touch a 5\r\n", b"TOUCHED\r\n", C::Touch, O::Touched),
        (b"flush_all\r\n", b"OK\r\n", C::FlushAll, O::Ok),
        (b"version\r\n", b"VERSION 1.6.18\r\n", C::Version, O::Ok),
        (
            b"stats\r\n",
            b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n",
            C::Stats,
            O::Ok,
        ),
        (b"stats reset\r\n", b"RESET\r\n", C::Stats, O::Ok),
        (b"nonsense\r\n", b"ERROR\r\n", C::Other, O::ClientError),
        (b"mg a v\r\n", b"VA 1\r\nx\r\n", C::MetaGet, O::Hit),
        (b"mg a v\r\n", b"VA 1 W\r\nx\r\n", C::MetaGet, O::Won),
        (b"mg a v\r\n", b"VA 1 X\r\nx\r\n", C::MetaGet, O::Stale),
        (b"mg a\r\n", b"EN\r\n", C::MetaGet, O::Miss),
        (b"ms a 1\r\nx\r\n", b"HD\r\n", C::MetaSet, O::Stored),
        (b"md a\r\n", b"NF\r\n", C::MetaDelete, O::NotFound),
        (b"ma a\r\n", b"HD\r\n", C::MetaArithmetic, O::Stored),
        (b"mn\r\n", b"MN\r\n", C::MetaNoop, O::Ok),
    ];
    for (request, response, command, outcome) in table {
        let (events, totals) = exchange().reads(request).sends(response).end();
        assert_eq!(
            outcomes(&events),
            [(*command, Some(*outcome))],
            "{}",
            request.escape_ascii()
        );
        assert_eq!(totals.unpaired + totals.unmatched, 0);
        assert_eq!(events[0].server_time, Some(1_000));
        assert_eq!(events[0].request_size, u32::try_from(request.len()).ok());
    }
}

#[test]
fn a_multi_get_is_an_event_a_key_and_misses_are_those_passed_over() {
    let (events, _) = exchange()
        .reads(b"get a b c d\r\n")
        .sends(b"VALUE b 0 2\r\nxx\r\nVALUE d 0 1\r\ny\r\nEND\r\n")
        .end();
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.outcome, event.value_size, event.request))
        .collect();
    let (miss, hit) = (Some(Outcome::Miss), Some(Outcome::Hit));
    assert_eq!(
        found,
        [
            (miss, None, 0),
            (hit, Some(2), 0),
            (miss, None, 0),
            (hit, Some(1), 0)
        ]
    );
    assert_eq!(events[0].request_size, Some(13));
    assert_eq!(events[1].request_size, None);
    let distinct: std::collections::HashSet<_> = events.iter().map(|event| event.key).collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn pipelined_requests_are_paired_in_order_and_share_a_batch() {
    let (events, _) = exchange()
        .reads(b"get a\r\nset b 0 0 2\r\nhi\r\ndelete c\r\n")
        .sends(b"END\r\n")
        .sends(b"STORED\r\nNOT_FOUND\r\n")
        .reads(b"get a\r\n")
        .sends(b"END\r\n")
        .end();
    let batches: Vec<_> = events
        .iter()
        .map(|event| (event.batch, event.request))
        .collect();
    assert_eq!(batches, [(0, 0), (0, 1), (0, 2), (1, 3)]);
    assert_eq!(events[2].outcome, Some(Outcome::NotFound));
}

#[test]
fn noreply_is_suppressed_and_takes_no_response() {
    let (events, totals) = exchange()
        .reads(b"set a 0 0 1 noreply\r\nx\r\nget b\r\n")
        .sends(b"END\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Set, Some(Outcome::Suppressed)),
            (Command::Get, Some(Outcome::Miss))
        ]
    );
    assert_eq!(totals.unpaired, 0);
}

#[test]
fn replies_held_back_while_a_value_is_read_are_not_unpaired() {
    let (events, totals) = exchange()
        .reads(b"get a\r\nset b 0 0 10\r\n01234")
        .reads(b"56789\r\n")
        .sends(b"END\r\nSTORED\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Get, Some(Outcome::Miss)),
            (Command::Set, Some(Outcome::Stored))
        ]
    );
    assert_eq!(totals.unpaired, 0);
    assert_eq!(
        events[1].server_time,
        Some(1_000),
        "from the read that completed the value"
    );
}

#[test]
fn a_request_without_response_before_the_next_read_is_unpaired_and_shifts_nothing() {
    let (events, totals) = exchange()
        .reads(b"set a 0 0 1\r\nx\r\n")
        .reads(b"delete b\r\n")
        .sends(b"DELETED\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Set, None),
            (Command::Delete, Some(Outcome::Deleted))
        ]
    );
    assert_eq!(totals.unpaired, 1);
}

#[test]
fn a_read_that_filled_the_buffer_is_followed_by_one_before_the_answers() {
    let mut exchange = exchange();
    exchange.fills = true;
    exchange.reads(b"get a\r\ndelete b\r\nset v 0 0 6 noreply\r\nab");
    exchange.reads(b"cdef\r\nget ");
    exchange.fills = false;
    let (events, totals) = exchange
        .reads(b"c\r\n")
        .sends(b"END\r\nDELETED\r\nEND\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    let expected = [
        Outcome::Suppressed,
        Outcome::Miss,
        Outcome::Deleted,
        Outcome::Miss,
    ];
    assert_eq!(found, expected.map(Some));
    assert_eq!(totals.unpaired + totals.unmatched, 0);
}

#[test]
fn holes_inside_values_are_skipped_by_length() {
    let (events, totals) = exchange()
        .reads(b"set a 0 0 100000\r\n0123")
        .push(
            Request,
            &[
                Piece::Bytes(b"4"),
                Piece::Hole(99_990),
                Piece::Bytes(b"56789\r\n"),
            ],
        )
        .sends(b"STORED\r\n")
        .reads(b"get a\r\n")
        .push(
            Response,
            &[
                Piece::Bytes(b"VALUE a 0 100000\r\n"),
                Piece::Hole(100_002),
                Piece::Bytes(b"END\r\n"),
            ],
        )
        .end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Set, Some(Outcome::Stored)),
            (Command::Get, Some(Outcome::Hit))
        ]
    );
    assert_eq!(totals.request.truncated + totals.response.truncated, 0);
    assert_eq!(totals.response.value_skipped, 100_002);
}

#[test]
fn behind_a_value_five_bytes_that_were_not_kept_are_the_end() {
    let mut exchange = exchange();
    exchange.reads(b"get a b\r\nget c\r\n");
    let parts = |line| [Piece::Bytes(line), Piece::Hole(5), Piece::Hole(5)];
    exchange
        .push(Response, &parts(b"VALUE b 0 3\r\n"))
        .push(Response, &parts(b"VALUE c 0 3\r\n"));
    let (events, totals) = exchange.end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Get, Some(Outcome::Miss)),
            (Command::Get, Some(Outcome::Hit)),
            (Command::Get, Some(Outcome::Hit)),
        ]
    );
    assert_eq!(totals.response.truncated, 0);
    assert_eq!(totals.response.text_skipped, 10);
}

#[test]
fn a_hole_in_a_list_is_skipped_to_the_tail_that_ends_it() {
    let (events, totals) = exchange()
        .reads(b"stats\r\nget a\r\n")
        .push(
            Response,
            &[
                Piece::Bytes(b"STAT pid 1\r\nSTAT upti"),
                Piece::Hole(2_000),
                Piece::Bytes(b"s 4\r\nEND\r\n"),
            ],
        )
        .sends(b"END\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Stats, Some(Outcome::Ok)),
            (Command::Get, Some(Outcome::Miss))
        ]
    );
    assert!(totals.response.text_skipped >= 2_000);
    assert_eq!(totals.response.truncated, 0);
}

#[test]
fn a_hole_where_a_line_was_needed_loses_only_up_to_the_next_read() {
    let (events, totals) = exchange()
        .reads(b"get a\r\nget b\r\n")
        .push(Response, &[Piece::Hole(5)])
        .sends(b"END\r\n")
        .reads(b"get c\r\n")
        .sends(b"END\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Get, None),
            (Command::Get, None),
            (Command::Get, Some(Outcome::Miss))
        ]
    );
    assert_eq!(totals.unpaired, 2);
    assert_eq!(totals.response.truncated, 5);
    assert_eq!(totals.response.unsynced, 5);
}

#[test]
fn after_lost_requests_no_outcome_is_invented() {
    let (events, totals) = exchange()
        .reads(b"delete a\r\n")
        .sends(b"DELETED\r\n")
        .loses(Request, 30)
        .sends(b"NOT_FOUND\r\n")
        .reads(b"delete c\r\n")
        .sends(b"DELETED\r\n")
        .end();
    assert_eq!(
        outcomes(&events).last(),
        Some(&(Command::Delete, Some(Outcome::Deleted)))
    );
    assert_eq!(totals.request.not_decoded, 30);
    assert_eq!(events.len(), 2);
}

#[test]
fn lost_responses_leave_their_requests_without_outcome() {
    let (events, totals) = exchange()
        .reads(b"delete a\r\ndelete b\r\ndelete c\r\n")
        .loses(Response, 9)
        .sends(b"NOT_FOUND\r\nDELETED\r\n")
        .reads(b"delete d\r\n")
        .sends(b"DELETED\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [None, None, None, Some(Outcome::Deleted)]);
    assert_eq!(totals.response.not_decoded, 9);
    assert_eq!(totals.unpaired, 3);
}

#[test]
fn a_connection_open_before_the_start_begins_at_its_first_request() {
    let (events, totals) = Exchange::new(Responses::Bytes, true)
        .sends(b"END\r\n")
        .reads(b"tail of a value\r\n")
        .sends(b"STORED\r\n")
        .reads(b"get a\r\n")
        .sends(b"END\r\n")
        .end();
    assert_eq!(outcomes(&events), [(Command::Get, Some(Outcome::Miss))]);
    assert_eq!(totals.request.boundary, 17);
    assert_eq!(totals.response.boundary, 13);
    assert_eq!(totals.unpaired + totals.unmatched, 0);
    assert_eq!(totals.request.unsynced + totals.response.unsynced, 0);
}

#[test]
fn what_is_read_while_the_source_is_detached_is_boundary() {
    let mut exchange = exchange();
    exchange
        .reads(b"get a\r\n")
        .sends(b"END\r\n")
        .reads(b"get b\r\n");
    exchange.decoder.ending();
    let (events, totals) = exchange
        .sends(b"END\r\n")
        .reads(b"get c\r\n")
        .sends(b"END\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [(Command::Get, Some(Outcome::Miss)); 2],
        "answers are taken as long as they come"
    );
    let boundary = (totals.request.boundary, totals.response.boundary);
    assert_eq!(
        (boundary, totals.unpaired, totals.unmatched),
        ((7, 5), 0, 0)
    );
}

#[test]
fn requests_behind_the_tail_of_a_value_get_no_outcome_of_another() {
    let (events, totals) = Exchange::new(Responses::Bytes, true)
        .reads(b"tail\r\nset b 0 0 1\r\ny\r\n")
        .sends(b"NOT_STORED\r\nSTORED\r\n")
        .reads(b"get a\r\n")
        .sends(b"END\r\n")
        .end();
    assert_eq!(
        outcomes(&events),
        [(Command::Set, None), (Command::Get, Some(Outcome::Miss))]
    );
    assert_eq!(totals.unpaired, 0, "boundary is not loss");
}

#[test]
fn unfinished_messages_at_the_end_are_boundary() {
    let (events, totals) = exchange()
        .reads(b"get a\r\nset b 0 0 10\r\n012")
        .sends(b"EN")
        .end();
    assert_eq!(outcomes(&events), [(Command::Get, None)]);
    assert_eq!(totals.request.boundary, 17);
    assert_eq!(totals.response.boundary, 2);
    assert_eq!(totals.unpaired, 0);
}

#[test]
fn quiet_requests_are_settled_by_opaque_key_or_uniqueness() {
    let hit = Some(Outcome::Hit);
    let quiet = Some(Outcome::Suppressed);
    let noop = Some(Outcome::Ok);
    let table: &[Row<'_>] = &[
        (
            b"mg a q v O1\r\nmg b q v O2\r\nmn\r\n",
            b"VA 1 O2\r\nx\r\nMN\r\n",
            &[quiet, hit, noop],
        ),
        (
            b"mg a q v k\r\nmg b q v k\r\nmn\r\n",
            b"VA 1 kb\r\nx\r\nMN\r\n",
            &[quiet, hit, noop],
        ),
        (
            b"mg a q v\r\nmg b q v\r\nmn\r\n",
            b"MN\r\n",
            &[quiet, quiet, noop],
        ),
        (
            b"mg a q v\r\nmg b q v\r\nmn\r\n",
            b"VA 1\r\nx\r\nVA 1\r\ny\r\nMN\r\n",
            &[hit, hit, noop],
        ),
        (
            b"mg a q v\r\nmg b q v\r\nmn\r\n",
            b"VA 1\r\nx\r\nMN\r\n",
            &[None, None, noop],
        ),
        (b"mg a q v\r\nmn\r\n", b"VA 1\r\nx\r\nMN\r\n", &[hit, noop]),
        (b"ms a 1 q\r\nx\r\nmn\r\n", b"MN\r\n", &[quiet, noop]),
        (
            b"ms a 1 q MA\r\nx\r\nmn\r\n",
            b"NS\r\nMN\r\n",
            &[Some(Outcome::NotStored), noop],
        ),
    ];
    for (request, response, expected) in table {
        let (events, totals) = exchange().reads(request).sends(response).end();
        let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
        assert_eq!(found, *expected, "{}", request.escape_ascii());
        assert_eq!(
            totals.unpaired + totals.unmatched,
            0,
            "{}",
            request.escape_ascii()
        );
    }
}

#[test]
fn a_cas_has_the_ordinal_of_the_gets_before_it() {
    let (events, _) = exchange()
        .reads(b"gets a b\r\n")
        .sends(b"VALUE a 0 1 901\r\nx\r\nVALUE b 0 1 902\r\ny\r\nEND\r\n")
        .reads(b"cas b 0 0 1 902\r\nz\r\n")
        .sends(b"STORED\r\n")
        .end();
    let ordinals: Vec<_> = events.iter().map(|event| event.cas).collect();
    assert_eq!(ordinals, [Some(0), Some(1), Some(1)]);
    assert_eq!(
        events[1].key, events[2].key,
        "the key of a request with a value"
    );
    assert_eq!(events[2].key_size, Some(1));
}

#[test]
fn absolute_expiry_times_become_relative() {
    let mut exchange = exchange();
    let (events, _) = exchange
        .reads(b"set a 0 1700000060 1\r\nx\r\nset b 0 60 1\r\nx\r\n")
        .sends(b"STORED\r\nSTORED\r\n")
        .end();
    assert_eq!(events[0].ttl, Some(60));
    assert_eq!(exchange.decoder.options().name(events[0].options), "A");
    assert_eq!(events[1].ttl, Some(60));
    assert_eq!(exchange.decoder.options().name(events[1].options), "");
}

#[test]
fn lengths_settle_what_they_can() {
    let mut exchange = Exchange::new(Responses::Lengths, false);
    for (request, length) in [
        (&b"get a\r\n"[..], 5),
        (b"get a\r\n", 40),
        (b"set a 0 0 1\r\nx\r\n", 8),
        (b"delete a\r\n", 11),
        (b"cas a 0 0 1 5\r\nx\r\n", 8),
        (b"mg a v\r\n", 4),
    ] {
        exchange
            .reads(request)
            .push(Response, &[Piece::Hole(length)]);
    }
    let (events, totals) = exchange.end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    let settled = [
        Outcome::Miss,
        Outcome::Hit,
        Outcome::Stored,
        Outcome::NotFound,
    ]
    .map(Some);
    assert_eq!(found[..4], settled);
    assert_eq!(found[4..], [None, None]);
    assert!(events.iter().all(|event| event.server_time == Some(1_000)));
    assert_eq!(totals.unpaired, 0);
}

#[test]
fn without_responses_events_come_at_once_and_nothing_is_unpaired() {
    let (events, totals) = Exchange::new(Responses::None, false)
        .reads(b"get a b\r\nset c 0 0 1 noreply\r\nx\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [None, None, Some(Outcome::Suppressed)]);
    assert_eq!(totals.unpaired, 0);
}

#[test]
fn a_line_without_end_is_bounded() {
    let mut exchange = exchange();
    for _ in 0..1_000 {
        exchange.reads(&[b'x'; 16_384]);
    }
    let (events, totals) = exchange.end();
    assert!(events.is_empty());
    assert_eq!(totals.request.seen, 16_384_000);
}

#[test]
fn the_binary_magic_inside_a_text_connection_is_a_bad_verb() {
    let (events, totals) = exchange()
        .reads(b"get a\r\n\x80oops\r\nget b\r\n")
        .sends(b"END\r\nERROR\r\nEND\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(
        found,
        [Outcome::Miss, Outcome::ClientError, Outcome::Miss].map(Some)
    );
    assert_eq!(totals.unmatched + totals.unpaired, 0);
}

#[test]
fn what_follows_a_refused_line_depends_on_the_version() {
    type Row<'a> = (&'a str, &'a [u8], &'a [Option<Outcome>]);
    let refused = format!("set {} 0 0 7\r\nget b\r\n\r\n", "k".repeat(251));
    let bad = Some(Outcome::ClientError);
    let [miss, ok] = [Outcome::Miss, Outcome::Ok].map(Some);
    let classic = b"CLIENT_ERROR line\r\nEND\r\nERROR\r\nEND\r\n";
    let shared = b"CLIENT_ERROR line\r\nEND\r\n";
    let table: &[Row<'_>] = &[
        ("VERSION 1.6.18", classic, &[ok, bad, miss, bad, miss, miss]),
        ("VERSION 1.6.45", shared, &[ok, bad, miss, miss]),
        ("VERSION 1.6.40", shared, &[ok, None, miss]),
    ];
    for (version, answers, expected) in table {
        let mut exchange = exchange();
        exchange
            .reads(b"version\r\n")
            .sends(format!("{version}\r\n").as_bytes())
            .reads(format!("{refused}get c\r\n").as_bytes())
            .sends(answers)
            .reads(b"get d\r\n")
            .sends(b"END\r\n");
        let (events, totals) = exchange.end();
        let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
        assert_eq!(found, *expected, "{version}");
        let known = expected[1].is_some();
        assert_eq!(totals.request.unsynced == 0, known, "{version}");
        assert_eq!(totals.unmatched, 0, "{version}");
    }
}

#[test]
fn an_empty_line_behind_a_refusal_is_no_answer() {
    let long = format!("get {}\r\nget b\r\n", "k".repeat(251));
    let (events, totals) = exchange()
        .reads(long.as_bytes())
        .sends(b"CLIENT_ERROR bad command line format\r\n\r\nEND\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [Outcome::ClientError, Outcome::Miss].map(Some));
    assert_eq!(totals.unmatched, 0);
}

#[test]
fn statistics_tell_the_version_of_their_server_alone() {
    let mut exchange = exchange();
    exchange.decoder.assign(0, 7);
    exchange
        .reads(b"stats\r\n")
        .sends(b"STAT pid 1\r\nSTAT version 1.6.45\r\nEND\r\n")
        .reads(b"set k x 0 3\r\nabc\r\nget a\r\n")
        .sends(b"CLIENT_ERROR line\r\nEND\r\n");
    exchange.decoder.assign(0, 8);
    let (events, totals) = exchange
        .reads(b"set k x 0 3\r\nabc\r\n")
        .sends(b"CLIENT_ERROR line\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    let [ok, bad, miss] = [Outcome::Ok, Outcome::ClientError, Outcome::Miss].map(Some);
    assert_eq!(found, [ok, bad, miss]);
    assert_eq!(totals.request.unsynced, 18);
}

#[test]
fn a_get_that_drops_answers_leaves_outcomes_open_up_to_the_next_read() {
    let long = format!("set a 0 0 1\r\nx\r\nget {}\r\n", "k".repeat(251));
    let (events, totals) = exchange()
        .reads(long.as_bytes())
        .sends(b"CLIENT_ERROR bad command line format\r\n")
        .reads(b"get b\r\n")
        .sends(b"END\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [None, None, Some(Outcome::Miss)]);
    assert_eq!(totals.unmatched, 0);
}

const REQUESTS: &[u8] = b"get a bb\r\nset a 7 0 3\r\nx\ny\r\nmg bb v k q O9\r\nmn\r\ngets a\r\n\
    cas a 0 0 1 55\r\nq\r\nset n 0 0 2 noreply\r\n10\r\nincr n 5\r\nstats\r\nbad\r\ndelete bb\r\n";
const RESPONSES: &[u8] = b"VALUE bb 0 2\r\nhi\r\nEND\r\nSTORED\r\nVA 2 kbb O9\r\nhi\r\nMN\r\n\
    VALUE a 7 3 55\r\nx\ny\r\nEND\r\nSTORED\r\n15\r\nSTAT a 1\r\nSTAT b 2\r\nEND\r\nERROR\r\nDELETED\r\n";

proptest! {
    #[test]
    fn any_split_of_the_streams_gives_the_same_outcomes(
        mut request_cuts in prop::collection::vec(0..=REQUESTS.len(), 0..6),
        mut response_cuts in prop::collection::vec(0..=RESPONSES.len(), 0..6),
    ) {
        let whole = outcomes(&exchange().reads(REQUESTS).sends(RESPONSES).end().0);
        prop_assert_eq!(whole.len(), 12);
        prop_assert!(whole.iter().all(|(_, outcome)| outcome.is_some()));
        request_cuts.extend([0, REQUESTS.len()]);
        response_cuts.extend([0, RESPONSES.len()]);
        request_cuts.sort_unstable();
        response_cuts.sort_unstable();
        let mut split = exchange();
        split.call += 1;
        for cut in request_cuts.windows(2) {
            split.push_in_call(Request, &[Piece::Bytes(&REQUESTS[cut[0]..cut[1]])]);
        }
        for cut in response_cuts.windows(2) {
            split.push(Response, &[Piece::Bytes(&RESPONSES[cut[0]..cut[1]])]);
        }
        let (events, totals) = split.end();
        prop_assert_eq!(outcomes(&events), whole);
        prop_assert_eq!(totals.unpaired + totals.unmatched, 0);
    }

    #[test]
    fn no_bytes_panic_and_every_byte_is_accounted_for(
        steps in prop::collection::vec(
            (any::<bool>(), 0u32..3, prop::collection::vec(any::<u8>(), 0..40), 0usize..8), 0..20),
        mid_stream in any::<bool>(),
    ) {
        let mut exchange = Exchange::new(Responses::Bytes, mid_stream);
        for (request, kind, noise, known) in &steps {
            let direction = if *request { Request } else { Response };
            let stream = if *request { REQUESTS } else { RESPONSES };
            let bytes = [&stream[known * 4..known * 8], noise].concat();
            match kind {
                0 => exchange.push(direction, &[Piece::Bytes(&bytes)]),
                1 => exchange.push(direction, &[Piece::Bytes(&bytes), Piece::Hole(u32::try_from(noise.len()).unwrap())]),
                _ => exchange.loses(direction, noise.len() as u64),
            };
        }
        exchange.end();
    }
}
