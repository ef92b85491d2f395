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

/// The `number`th combination of sixteen flags.
fn combination(number: usize) -> String {
    let letters = b"bcCfFhIklNORsStT".iter().enumerate();
    let chosen = letters.filter(|(index, _)| number >> index & 1 == 1);
    chosen
        .flat_map(|(_, letter)| [' ', char::from(*letter)])
        .collect()
}

#[test]
fn combinations_of_flags_are_bounded_and_cut_ones_are_counted() {
    let mut exchange = exchange();
    exchange.reads(b"mg k v\r\n").sends(b"EN\r\n");
    let sent: Vec<String> = (0..20_000).map(combination).collect();
    for flags in &sent {
        let request = format!("mg k{flags}\r\n");
        exchange.reads(request.as_bytes()).sends(b"EN\r\n");
    }
    exchange
        .reads(b"mg k s v q MA\r\nmg k v\r\nmn\r\n")
        .sends(b"EN\r\nMN\r\n");
    let names = exchange.decoder.options().names().to_vec();
    let cut = exchange.decoder.options_cut();
    let (events, _) = exchange.end();
    let kept = |event: &Event| names[usize::from(event.options.0)].to_string();
    let differing = events[1..=sent.len()].iter().zip(&sent);
    let differing = differing.filter(|(event, sent)| kept(event) != sent.trim_start());
    assert_eq!(
        cut,
        differing.count() as u64 + 1,
        "that of the other client"
    );
    assert!(names.len() < 5_000, "{} strings", names.len());
    let last: Vec<_> = events[sent.len() + 1..].iter().map(kept).collect();
    assert_eq!(last, ["MA q v", "v", ""], "what decides the answer is kept");
}
