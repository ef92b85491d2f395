//! Barriers: reads within values, filled buffers, and answers that never came.

use super::*;

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
fn a_get_that_drops_answers_leaves_outcomes_unknown_until_the_next_read() {
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
