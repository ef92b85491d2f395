//! Lines that releases of memcached read differently.

use super::*;

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
fn an_empty_line_after_a_refusal_is_no_answer() {
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
fn statistics_set_the_version_of_their_server_only() {
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
fn bytes_that_no_worker_writes_are_known() {
    // Request, answer, and how many of its bytes `bytes_written` lacks.
    let table: &[(&[u8], &[u8], u64)] = &[
        (
            b"lru_crawler metadump all\r\n",
            b"OK\r\nkey=a exp=-1\nEND\r\n",
            22,
        ),
        (b"lru_crawler metadump 2\r\n", b"END\r\n", 5),
        (b"lru_crawler mgdump all\r\n", b"mg a\r\nEN\r\n", 10),
        (
            b"lru_crawler metadump 99\r\n",
            b"BADCLASS invalid class id\r\n",
            0,
        ),
        (b"watch\r\n", b"OK\r\nts=1 gid=1 type=item_get\n", 29),
        (b"watch x\r\n", b"ERROR\r\n", 0),
        (b"stats\r\n", b"STAT pid 1\r\nEND\r\n", 0),
        (b"", b"ERROR Too many open connections\r\n", 33),
    ];
    for (request, answer, expected) in table {
        for split in 1..=answer.len() {
            let mut exchange = exchange();
            exchange.decoder.assign(0, 7);
            if request.is_empty() && split < answer.len() {
                continue;
            }
            if !request.is_empty() {
                exchange.reads(request);
            }
            let (start, end) = answer.split_at(split);
            exchange.sends(start);
            if !end.is_empty() {
                exchange.push_in_call(Response, &[Piece::Bytes(end)]);
            }
            let (_, totals) = exchange.end();
            let shown = request.escape_ascii();
            assert_eq!(exchange.decoder.uncounted(7), *expected, "{shown}, {split}");
            assert_eq!(totals.unmatched, 0, "{shown}");
        }
    }
}

#[test]
fn a_reset_of_the_servers_counters_is_known() {
    let mut exchange = exchange();
    exchange.reads(b"stats\r\n").sends(b"END\r\n");
    assert_eq!(exchange.decoder.resets().count(), 0);
    exchange.reads(b"stats reset\r\n").sends(b"RESET\r\n");
    assert_eq!(exchange.decoder.resets().collect::<Vec<_>>(), [0]);
}
