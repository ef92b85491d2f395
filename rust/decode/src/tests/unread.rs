//! Connections open before the start that never yield a message, and those that only seem so.

use super::*;

fn mid_stream() -> Exchange {
    Exchange::new(Responses::Bytes, true)
}

/// Returns a TLS record of application data.
fn record(length: u16) -> Vec<u8> {
    let mut record = vec![23, 3, 3];
    record.extend(length.to_be_bytes());
    record.extend((0..length).map(|at| (at * 7 % 251) as u8));
    record
}

#[test]
fn tls_is_recognized_at_its_second_record_and_no_byte_of_it_is_an_edge() {
    for mid_stream in [true, false] {
        let mut exchange = Exchange::new(Responses::Bytes, mid_stream);
        for _ in 0..3 {
            // OpenSSL reads a record's header by itself.
            let request = record(300);
            exchange.reads(&request[..5]);
            exchange.reads(&request[5..]);
            exchange.sends(&record(900));
        }
        let (_, totals) = exchange.end();
        assert_eq!(totals.tls_connections, 1);
        assert_eq!(totals.response.unsynced, 3 * 905);
        assert!(totals.request.boundary == 0 || !mid_stream, "{totals:?}");
        assert!(totals.request.unsynced >= 2 * 305, "{totals:?}");
    }
}

#[test]
fn a_value_that_is_tls_is_a_value() {
    let mut exchange = exchange();
    for _ in 0..3 {
        exchange.reads(b"set a 0 0 305\r\n");
        exchange.reads(&record(300));
        exchange.reads(b"\r\n");
        exchange.sends(b"STORED\r\n");
    }
    let (events, totals) = exchange.end();
    assert_eq!((events.len(), totals.tls_connections), (3, 0));
    assert_eq!(totals.request.unsynced, 0);
}

#[test]
fn another_protocol_is_unsynced_from_its_second_answer_on() {
    for (exchanges, is_lost) in [(1, false), (2, true), (9, true)] {
        let mut exchange = mid_stream();
        for _ in 0..exchanges {
            exchange.reads(b"*1\r\n$4\r\nPING\r\n");
            exchange.sends(b"+PONG\r\n");
        }
        let (events, totals) = exchange.end();
        assert!(events.is_empty());
        let unsynced = totals.request.unsynced + totals.response.unsynced;
        let boundary = totals.request.boundary + totals.response.boundary;
        let all = exchanges * 21;
        let expected = if is_lost { (all, 0) } else { (0, all) };
        assert_eq!((unsynced, boundary), expected, "{exchanges} exchanges");
        assert_eq!(totals.tls_connections, 0);
    }
}

#[test]
fn the_end_of_an_answer_or_of_a_value_is_an_edge() {
    let value = vec![b'x'; 1000];
    let mut answered = mid_stream();
    for _ in 0..100 {
        answered.sends(&value);
    }
    let mut stored = mid_stream();
    for _ in 0..100 {
        stored.reads(&value);
    }
    stored.sends(b"STORED\r\n");
    for mut exchange in [answered, stored] {
        let (_, totals) = exchange.end();
        assert_eq!((totals.request.unsynced, totals.response.unsynced), (0, 0));
        assert!(totals.request.boundary + totals.response.boundary >= 100_000);
    }
}

#[test]
fn requests_cut_by_reads_are_an_edge_until_the_first_whole_one() {
    let mut exchange = mid_stream();
    exchange.reads(b"x\r\nset b 0 0 1");
    exchange.sends(b"STORED\r\n");
    exchange.reads(b"\r\ny\r\n");
    exchange.sends(b"STORED\r\n");
    let (_, totals) = exchange.end();
    // `set b` was read whole, and is lost.
    assert!(totals.request.unsynced > 0);

    let mut exchange = mid_stream();
    exchange.reads(b"x\r\nset b 0 0 1");
    exchange.sends(b"STORED\r\n");
    exchange.reads(b"\r\ny\r\nget c\r\n");
    exchange.sends(b"STORED\r\nEND\r\n");
    exchange.reads(b"get d\r\n");
    exchange.sends(b"END\r\n");
    let (events, totals) = exchange.end();
    assert_eq!(events.len(), 2);
    assert_eq!((totals.request.unsynced, totals.response.unsynced), (0, 0));
}

#[test]
fn a_connection_found_after_other_bytes_goes_on_as_after_a_loss() {
    let mut exchange = mid_stream();
    for _ in 0..3 {
        exchange.reads(b"*1\r\n$4\r\nPING\r\n");
        exchange.sends(b"+PONG\r\n");
    }
    exchange.reads(b"get a\r\n");
    exchange.sends(b"END\r\n");
    let (events, totals) = exchange.end();
    assert_eq!(outcomes(&events), [(Command::Get, Some(Outcome::Miss))]);
    assert_eq!(totals.request.unsynced, 3 * 14);
}
