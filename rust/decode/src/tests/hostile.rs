//! Streams that are not memcached's: memory is bounded, every byte is counted, nothing panics.

use super::*;

#[test]
fn an_endless_line_is_bounded() {
    let mut exchange = exchange();
    for _ in 0..1_000 {
        exchange.reads(&[b'x'; 16_384]);
    }
    let so_far = exchange.decoder.totals(0).expect("an open connection");
    assert!(
        so_far.request.accounted() > 16_000_000,
        "the line is not kept"
    );
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
fn an_overlong_line_of_a_list_is_skipped_to_its_end() {
    let mut exchange = exchange();
    exchange
        .reads(b"stats\r\nget a\r\n")
        .sends(b"STAT pid 1\r\nSTAT long ");
    for _ in 0..1_000 {
        exchange.sends(&[b'x'; 16_384]);
    }
    let so_far = exchange.decoder.totals(0).expect("an open connection");
    assert!(
        so_far.response.text_skipped > 16_000_000,
        "the line is not kept"
    );
    let (events, totals) = exchange.sends(b"\r\nEND\r\nEND\r\n").end();
    assert_eq!(
        outcomes(&events),
        [
            (Command::Stats, Some(Outcome::Ok)),
            (Command::Get, Some(Outcome::Miss))
        ]
    );
    assert!(totals.response.text_skipped > 16_000_000);
    assert_eq!(totals.unmatched + totals.unpaired, 0);
}

#[test]
fn unanswered_requests_wait_up_to_a_bound_and_are_then_unpaired() {
    let mut exchange = exchange();
    exchange.fills = true;
    let requests = b"get a\r\n".repeat(1 << 14);
    for _ in 0..40 {
        exchange.reads(&requests);
    }
    assert!(exchange.decoder.open_requests(0) <= 1 << 18);
    exchange.fills = false;
    let (events, totals) = exchange
        .reads(b"get b\r\n")
        .reads(b"get c\r\n")
        .sends(b"END\r\n")
        .end();
    assert_eq!(events.len(), 40 * (1 << 14) + 2);
    assert_eq!(events[events.len() - 1].outcome, Some(Outcome::Miss));
    assert_eq!(totals.unpaired, 40 * (1 << 14) + 1);
}
