//! Boundaries: connections opened before the recording, and streams that end within a message.

use super::*;

#[test]
fn a_connection_opened_before_the_start_begins_at_its_first_request() {
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
fn reads_while_the_source_detaches_are_boundary() {
    let mut exchange = exchange();
    exchange
        .reads(b"get a\r\n")
        .sends(b"END\r\n")
        .reads(b"get b\r\n");
    exchange.decoder.start_detaching();
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
fn requests_after_the_tail_of_a_value_get_no_foreign_outcome() {
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
fn what_follows_quit_in_its_read_is_not_read() {
    for last in [&b"quit\r\n"[..], b"GET / HTTP/1.1\r\n"] {
        let (events, totals) = exchange()
            .reads(&[b"get a\r\n", last, b"get b\r\n"].concat())
            .sends(b"END\r\n")
            .end();
        let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
        assert_eq!(found, [Outcome::Suppressed, Outcome::Miss].map(Some));
        assert_eq!((totals.request.boundary, totals.unpaired), (7, 0));
        assert_eq!(totals.request.unsynced, 0);
    }
}
