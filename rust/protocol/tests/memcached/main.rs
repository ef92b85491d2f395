//! Unusual request lines → a real memcached and our parser, which must agree on where the next request starts.

use std::io;

use membench_protocol::{Command, Dialect, Request, Response, Status, may_grow, request, response};

use cases::{ANSWERED_ALTHOUGH_QUIET, cases};
use server::Server;

mod binary;
mod cases;
mod server;

const SENTINEL: &[u8] = b"version
";

/// Returns the number of lines that answer a stream of requests, according to our parser, if each has at most one.
fn lines_due(mut bytes: &[u8], dialect: Dialect) -> usize {
    let mut lines = 0;
    while let Ok(Status::Complete { value, consumed }) = request::parse_as(bytes, dialect) {
        if value.closes {
            break;
        }
        lines += usize::from(answered(&value));
        let skipped = value.value_size.map_or(0, |size| size as usize + 2);
        bytes = bytes.get(consumed + skipped..).unwrap_or_default();
    }
    lines
}

fn answered(request: &Request<'_>) -> bool {
    let suppresses = |line| match response::parse(line) {
        Ok(Status::Complete { value, .. }) => request.suppresses(&value),
        Ok(Status::Partial) | Err(_) => false,
    };
    !request.noreply && (request.refused || !suppresses(b"HD\r\n") && !suppresses(b"EN\r\n"))
}

fn is_refusal(answer: &[u8]) -> bool {
    matches!(
        response::parse(answer),
        Ok(Status::Complete {
            value: Response::Error | Response::ClientError(_),
            ..
        })
    )
}

#[test]
fn memcached_and_the_parser_agree_where_each_request_ends() -> io::Result<()> {
    let servers = [
        (Dialect::Classic, Server::start()),
        (
            Dialect::Classic,
            Server::of_suite("trixie", Dialect::Classic),
        ),
        (Dialect::Shared, Server::of_suite("sid", Dialect::Shared)),
    ];
    for (dialect, server) in servers {
        let Some(server) = server else { continue };
        for case in cases() {
            let stream = [&case, SENTINEL].concat();
            server.ask(b"flush_all\r\n")?;
            compare(&case, &stream, &server.ask(&stream)?, dialect);
        }
    }
    Ok(())
}

#[test]
fn memcached_and_the_parser_agree_which_lines_are_too_long() -> io::Result<()> {
    let Some(server) = Server::start() else {
        return Ok(());
    };
    for verb in ["get", "gets", "gat", "mg", "set", "nonsense"] {
        let line = format!("{verb} {}", "key ".repeat(1_000));
        let grows = may_grow(line.as_bytes());
        assert_eq!(server.waits_after(line.as_bytes())?, grows, "{verb}");
    }
    Ok(())
}

#[test]
fn a_retrieval_with_a_long_key_drops_the_answers_not_yet_sent() -> io::Result<()> {
    let Some(server) = Server::start() else {
        return Ok(());
    };
    let long = "k".repeat(251);
    for line in
        ["get ", "gets a ", "gat 0 ", "gats x ", "incr "].map(|verb| format!("{verb}{long}\r\n"))
    {
        let Ok(Status::Complete { value, .. }) = request::parse(line.as_bytes()) else {
            panic!("{line:?} is incomplete");
        };
        let stream = [b"set a 0 0 1\r\nx\r\n", line.as_bytes()].concat();
        let kept = server.ask(&stream)?.starts_with(b"STORED");
        assert_eq!(value.drops_answers(), !kept, "{line:?}");
    }
    Ok(())
}

/// Returns true if the answer is two lines: memcached refuses a retrieval's long key with an error and an empty line.
fn is_answered_with_two_lines(case: &[u8]) -> bool {
    match request::parse_as(case, Dialect::Shared) {
        Ok(Status::Complete { value, .. }) => value.drops_answers(),
        Ok(Status::Partial) | Err(_) => false,
    }
}

fn compare(case: &[u8], stream: &[u8], answer: &[u8], dialect: Dialect) {
    let shown = case[..case.len().min(60)].escape_ascii();
    let mut due = lines_due(stream, dialect);
    let counter = case.starts_with(b"ma ") && dialect == Dialect::Shared;
    due += usize::from(ANSWERED_ALTHOUGH_QUIET.contains(&case) && !counter);
    due += usize::from(dialect == Dialect::Shared && is_answered_with_two_lines(case));
    let lines = answer.split_inclusive(|byte| *byte == b'\n').count();
    assert_eq!(
        lines,
        due,
        "{dialect:?}: {shown} → {}",
        answer.escape_ascii()
    );
    let Ok(Status::Complete { value, .. }) = request::parse_as(case, dialect) else {
        panic!("{shown} is incomplete");
    };
    let depends = DEPENDS_ON_THE_RELEASE.contains(&case);
    if is_certain(&value) && !depends && !bad_block(case) {
        let refused = is_refusal(answer);
        assert_eq!(
            refused,
            value.refused,
            "{shown} → {}",
            answer.escape_ascii()
        );
    }
}

/// Lines that some releases of a dialect refuse and others take. Both answer with one line.
const DEPENDS_ON_THE_RELEASE: [&[u8]; 1] = [
    // Refused by 1.6.18, taken by 1.6.38.
    b"mg absent E1\r\n",
];

/// Returns true if the line alone determines its answer, regardless of the options the server was started with.
fn is_certain(request: &Request<'_>) -> bool {
    let administration = request.command == Command::Other && !request.refused;
    let statistics = request.command == Command::Stats;
    !(request.noreply || request.closes || administration || statistics)
}

/// Returns true if the data block of a line does not end with a line end.
fn bad_block(case: &[u8]) -> bool {
    match request::parse(case) {
        Ok(Status::Complete { value, consumed }) => value.value_size.is_some_and(|size| {
            let end = consumed + size as usize;
            case.get(end..end + 2) != Some(b"\r\n")
        }),
        _ => false,
    }
}
