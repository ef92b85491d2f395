//! Whole exchanges → the outcome of each request.

use super::*;

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
fn a_multi_get_makes_one_event_a_key_and_keys_passed_over_are_misses() {
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
fn quiet_requests_are_settled_by_opaque_token_key_or_uniqueness() {
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
fn lengths_settle_the_outcomes_that_they_imply() {
    let mut exchange = Exchange::new(Responses::Lengths, false);
    for (request, length) in [
        (&b"get a\r\n"[..], 5),
        (b"get a\r\n", 20),
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
fn without_responses_events_appear_at_once_and_nothing_is_unpaired() {
    let (events, totals) = Exchange::new(Responses::None, false)
        .reads(b"get a b\r\nset c 0 0 1 noreply\r\nx\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [None, None, Some(Outcome::Suppressed)]);
    assert_eq!(totals.unpaired, 0);
}
