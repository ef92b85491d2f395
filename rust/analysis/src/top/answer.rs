//! An event → the bytes of its answer, as memcached's protocols lay it out.

use membench_event::{Command, Event, Outcome, Protocol};

/// Bytes of a binary header.
const BINARY_HEADER: u64 = 24;
/// Bytes of the flags in a binary answer that holds a value.
const BINARY_FLAGS: u64 = 4;
/// Bytes of a counter's value in a binary answer.
const BINARY_COUNTER: u64 = 8;
/// Digits of a cas value; a server's values have at least as many once it has stored ten items.
const CAS_DIGITS: u64 = 2;

/// Returns the bytes of the answer to an event, as far as its columns tell: without the error text of a refused request,
/// lists of statistics, and all but the shortest cas values and meta flags.
pub(super) fn answer_size(event: &Event) -> u64 {
    let Some(outcome) = event.outcome else {
        return 0;
    };
    match event.protocol {
        _ if outcome == Outcome::Suppressed => 0,
        Protocol::Binary => binary(event, outcome),
        Protocol::Meta => meta(event, outcome),
        Protocol::Text => text(event, outcome),
    }
}

/// Returns the bytes of a value's line, the value and its line end.
fn value_block(event: &Event, start: &str, parts: &[u64]) -> u64 {
    let size = u64::from(event.value_size.unwrap_or(0));
    let line = start.len() as u64 + parts.iter().map(|part| part + 1).sum::<u64>();
    line + digits(size) + 1 + size + 4
}

fn text(event: &Event, outcome: Outcome) -> u64 {
    let key = u64::from(event.key_size.unwrap_or(0));
    let flags = digits(u64::from(event.flags.unwrap_or(0)));
    match (event.command, outcome) {
        (Command::Get | Command::Gat, Outcome::Hit) => {
            value_block(event, "VALUE", &[key, flags]) + text_end(event)
        }
        (Command::Gets | Command::Gats, Outcome::Hit) => {
            value_block(event, "VALUE", &[key, flags, CAS_DIGITS]) + text_end(event)
        }
        (Command::Get | Command::Gat | Command::Gets | Command::Gats, _) => text_end(event),
        (Command::Incr | Command::Decr, Outcome::Stored) => {
            u64::from(event.value_size.unwrap_or(1)) + 2
        }
        _ => line(match outcome {
            Outcome::Stored => "STORED",
            Outcome::NotStored => "NOT_STORED",
            Outcome::Exists => "EXISTS",
            Outcome::NotFound => "NOT_FOUND",
            Outcome::Deleted => "DELETED",
            Outcome::Touched => "TOUCHED",
            Outcome::ClientError => "CLIENT_ERROR",
            Outcome::ServerError => "SERVER_ERROR",
            _ => "OK",
        }),
    }
}

/// Returns the bytes of the line that ends a retrieval: once a request, at its first key.
fn text_end(event: &Event) -> u64 {
    let retrieves = matches!(
        event.command,
        Command::Get | Command::Gat | Command::Gets | Command::Gats
    );
    if retrieves && event.request_size.is_some() {
        line("END")
    } else {
        0
    }
}

fn meta(event: &Event, outcome: Outcome) -> u64 {
    let returns_value = event.command == Command::MetaGet && event.value_size.is_some();
    match outcome {
        Outcome::Hit | Outcome::Stale | Outcome::Won if returns_value => {
            value_block(event, "VA", &[])
        }
        Outcome::ClientError => line("CLIENT_ERROR"),
        Outcome::ServerError => line("SERVER_ERROR"),
        _ => line("HD"),
    }
}

fn binary(event: &Event, outcome: Outcome) -> u64 {
    let value = u64::from(event.value_size.unwrap_or(0));
    BINARY_HEADER
        + match (event.command, outcome) {
            (Command::Get | Command::Gat, Outcome::Hit) => BINARY_FLAGS + value,
            (Command::Incr | Command::Decr, Outcome::Stored) => BINARY_COUNTER,
            (_, Outcome::Miss | Outcome::NotFound) => "Not found".len() as u64,
            _ => 0,
        }
}

fn line(text: &str) -> u64 {
    text.len() as u64 + 2
}

fn digits(number: u64) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(command: Command, outcome: Outcome) -> Event {
        Event {
            outcome: Some(outcome),
            key_size: Some(5),
            request_size: Some(20),
            ..Event::new(command)
        }
    }

    #[test]
    fn answers_have_the_length_that_memcached_writes() {
        let hit = Event {
            value_size: Some(100),
            flags: Some(7),
            ..event(Command::Get, Outcome::Hit)
        };
        let second_key = Event {
            request_size: None,
            ..hit
        };
        let quiet = Event {
            protocol: Protocol::Meta,
            ..event(Command::MetaSet, Outcome::Suppressed)
        };
        for (event, answer) in [
            (event(Command::Set, Outcome::Stored), "STORED\r\n".len()),
            (event(Command::Get, Outcome::Miss), "END\r\n".len()),
            (
                event(Command::Delete, Outcome::NotFound),
                "NOT_FOUND\r\n".len(),
            ),
            (event(Command::Set, Outcome::Suppressed), 0),
            (quiet, 0),
            (
                hit,
                "VALUE key_5 7 100\r\n".len() + 100 + "\r\nEND\r\n".len(),
            ),
            (second_key, "VALUE key_5 7 100\r\n".len() + 100 + 2),
        ] {
            assert_eq!(answer_size(&event), answer as u64, "{event:?}");
        }
    }
}
