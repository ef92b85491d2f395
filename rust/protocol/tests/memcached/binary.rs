//! Every opcode with unusual lengths → a real memcached and our parser, which must agree on where the next request
//! starts.

use std::io;

use membench_protocol::binary::{self, Answer, Code, Opcode};
use membench_protocol::{Command, Dialect, Request, Status};

use crate::server::Server;

/// The opaque value of the request that ends each stream.
const LAST: u32 = 0xfeed_f00d;
const NOOP: u8 = 0x0a;

fn request(opcode: u8, key: usize, extras: u8, value: usize, opaque: u32) -> Vec<u8> {
    let body = key + usize::from(extras) + value;
    let mut bytes = vec![0x80, opcode];
    bytes.extend(u16::try_from(key).unwrap_or(0).to_be_bytes());
    bytes.extend([extras, 0, 0, 0]);
    bytes.extend(u32::try_from(body).unwrap_or(0).to_be_bytes());
    bytes.extend(opaque.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.resize(bytes.len() + usize::from(extras), 0);
    bytes.resize(bytes.len() + key, b'k');
    bytes.resize(bytes.len() + value, 0x80);
    bytes
}

/// Returns the opcodes, opaque values and statuses of all responses in `bytes`; the responses to one `stat` count once.
fn answers(mut bytes: &[u8]) -> Vec<(Opcode, u32, Code)> {
    let mut all = Vec::new();
    while let Ok(Status::Complete { value, consumed }) = binary::parse_response(bytes) {
        let Answer {
            opcode,
            opaque,
            code,
            ..
        } = value;
        if !value.continues() {
            all.push((opcode, opaque, code));
        }
        let end = consumed + usize::try_from(value.value_size()).unwrap_or(usize::MAX);
        bytes = bytes.get(end..).unwrap_or_default();
    }
    assert_eq!(bytes, b"", "incomplete response");
    all
}

/// Returns the responses that memcached owes to a stream if its cache is empty, according to our parser: opcode, opaque
/// value, refused.
fn due(mut bytes: &[u8]) -> Vec<(Opcode, u32, bool)> {
    let mut all = Vec::new();
    while let Ok(Status::Complete { value, consumed }) = binary::parse_request(bytes) {
        let end = consumed + usize::try_from(value.block_size()).unwrap_or(usize::MAX);
        if end > bytes.len() {
            break;
        }
        let opaque = value.opaque.and_then(|opaque| opaque.try_into().ok());
        if let (Some(opcode), Some(opaque), true) = (value.opcode, opaque, answered(&value)) {
            all.push((opcode, u32::from_be_bytes(opaque), value.refused));
        }
        if value.closes {
            break;
        }
        bytes = bytes.get(end..).unwrap_or_default();
    }
    all
}

/// Returns true if memcached answers. A quiet command that fails is answered, too: these four need an item, and there
/// is none.
fn answered(request: &Request<'_>) -> bool {
    use Command::{Append, Delete, Prepend, Replace};
    let unmet = matches!(request.command, Replace | Delete | Append | Prepend);
    request.is_answered() && (!request.quiet() || request.refused || unmet)
}

#[test]
fn memcached_and_the_parser_agree_where_each_binary_request_ends() -> io::Result<()> {
    for server in [Server::start(), Server::of_suite("sid", Dialect::Shared)]
        .into_iter()
        .flatten()
    {
        compare_all(&server)?;
    }
    Ok(())
}

fn compare_all(server: &Server) -> io::Result<()> {
    let flush = request(0x08, 0, 0, 0, 0);
    for opcode in 0..=0x40 {
        for key in [0, 1, 250, 251] {
            for (extras, value) in [(0, 0), (0, 3), (4, 0), (8, 0), (8, 3), (20, 0), (24, 0)] {
                server.ask(&flush)?;
                let odd = request(opcode, key, extras, value, 7);
                let stream = [odd, request(NOOP, 0, 0, 0, LAST)].concat();
                let shown =
                    format!("opcode {opcode:#x}, key {key}, extras {extras}, value {value}");
                compare(&shown, &stream, &server.ask(&stream)?);
            }
        }
    }
    Ok(())
}

fn compare(shown: &str, stream: &[u8], answer: &[u8]) {
    let answers = answers(answer);
    let due = due(stream);
    let identity = |(opcode, opaque, _)| (opcode, opaque);
    let (found, expected): (Vec<_>, Vec<_>) = (
        answers.iter().copied().map(identity).collect(),
        due.iter()
            .map(|(opcode, opaque, _)| (*opcode, *opaque))
            .collect(),
    );
    assert_eq!(found, expected, "{shown}");
    for ((opcode, _, code), (_, _, refused)) in answers.iter().zip(&due) {
        let sasl_is_off = opcode.is_sasl();
        let refusal = matches!(code, Code::Invalid | Code::Unknown);
        assert!(refusal == *refused || sasl_is_off, "{shown}: {code:?}");
    }
}

#[test]
fn memcached_reads_the_value_of_an_item_that_is_too_large() -> io::Result<()> {
    let Some(server) = Server::start() else {
        return Ok(());
    };
    for (opcode, extras) in [(0x01, 8), (0x11, 8), (0x0e, 0)] {
        let large = request(opcode, 1, extras, 2_000_000, 7);
        let stream = [large, request(NOOP, 0, 0, 0, LAST)].concat();
        let answers = answers(&server.ask(&stream)?);
        let expected = [
            (Opcode(opcode), 7, Code::TooLarge),
            (Opcode(NOOP), LAST, Code::Success),
        ];
        assert_eq!(answers, expected);
    }
    Ok(())
}
