//! Holes and lost bytes: the requests that they cost, and those that they must not.

use super::*;

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
fn five_bytes_not_kept_after_a_value_are_the_end_line() {
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
fn a_hole_in_a_list_is_skipped_to_the_line_that_ends_it() {
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
