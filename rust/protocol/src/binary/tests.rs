use std::string::String;
use std::vec::Vec;

use super::*;
use crate::encode::{Encoder, Full};
use crate::{Command, KEY_SIZE_MAX, ParseError, Request, Status};

const OPAQUE: u32 = 0x0102_0304;

fn tag(opcode: u8, cas: u64) -> Tag {
    Tag {
        opcode: Opcode(opcode),
        opaque: OPAQUE,
        cas,
    }
}

fn message(write: impl FnOnce(&mut Encoder<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut out = [0; 400];
    let mut encoder = Encoder::new(&mut out);
    assert_eq!(write(&mut encoder), Ok(()));
    let written = encoder.written();
    out[..written].to_vec()
}

/// Builds a message from the fields of its header, with zeros as its extras and letters `k` as its key.
fn raw(magic: u8, opcode: u8, key: u16, extras: u8, body: u32, status: u16) -> Vec<u8> {
    let mut bytes = Vec::from([magic, opcode]);
    bytes.extend(key.to_be_bytes());
    bytes.extend([extras, 0]);
    bytes.extend(status.to_be_bytes());
    bytes.extend(body.to_be_bytes());
    bytes.extend(OPAQUE.to_be_bytes());
    bytes.extend(9_u64.to_be_bytes());
    bytes.resize(bytes.len() + usize::from(extras), 0);
    bytes.resize(bytes.len() + usize::from(key), b'k');
    bytes
}

fn parsed(bytes: &[u8]) -> Request<'_> {
    match parse_request(bytes) {
        Ok(Status::Complete { value, .. }) => value,
        other => panic!("{other:?}"),
    }
}

fn options(request: &Request<'_>) -> String {
    let mut text = String::new();
    assert_eq!(request.options(&mut text), Ok(()));
    text
}

#[test]
fn every_opcode_is_found_by_its_command_and_variant() {
    let named: Vec<_> = (0..=u8::MAX)
        .map(Opcode)
        .filter(|opcode| opcode.command() != Command::Other)
        .collect();
    assert_eq!(named.len(), 33);
    for opcode in named {
        let found = Opcode::from_command(opcode.command(), opcode.is_quiet(), opcode.returns_key());
        assert_eq!(found, Some(opcode));
    }
    assert_eq!(Opcode::from_command(Command::Touch, true, false), None);
    assert_eq!(
        Opcode::from_command(Command::Cas, true, false),
        Some(Opcode(0x11))
    );
}

#[test]
fn a_storage_request_gives_all_its_numbers() {
    let item = Item {
        client_flags: 7,
        ttl: 60,
    };
    let bytes = message(|out| out.binary_storage(tag(0x11, 99), b"a key", item, 3));
    let request = parsed(&bytes);
    let keys: Vec<_> = request.keys.clone().map(|key| key.raw()).collect();
    assert_eq!(keys, [b"a key"]);
    assert_eq!(
        (request.command, request.client_flags, request.ttl),
        (Command::Cas, Some(7), Some(60))
    );
    assert_eq!(
        (request.value_size, request.block_size(), request.cas),
        (Some(3), 3, Some(99))
    );
    assert_eq!(request.opaque, Some(&OPAQUE.to_be_bytes()[..]));
    assert_eq!(options(&request), "q");
    assert!(request.quiet() && request.is_answered() && !request.refused);
}

#[test]
fn arithmetic_that_creates_no_counter_has_no_initial_value() {
    let numbers = |initial| Arithmetic { delta: 5, initial };
    let bytes = message(|out| out.binary_arithmetic(tag(5, 0), b"k", numbers(Some((8, 30)))));
    let request = parsed(&bytes);
    assert_eq!((request.delta, request.initial), (Some(5), Some(8)));
    assert_eq!((request.vivify_ttl, request.cas), (Some(30), None));
    let bytes = message(|out| out.binary_arithmetic(tag(5, 0), b"k", numbers(None)));
    let request = parsed(&bytes);
    assert_eq!((request.initial, request.vivify_ttl), (None, None));
    let bytes = message(|out| out.binary_arithmetic(tag(5, 7), b"k", numbers(None)));
    let request = parsed(&bytes);
    assert_eq!((request.cas, &*options(&request)), (Some(7), "C"));
}

#[test]
fn an_expiry_beyond_31_bits_saturates() {
    let bytes = message(|out| out.binary_ttl(tag(0x1c, 0), b"k", u32::MAX));
    assert_eq!(parsed(&bytes).ttl, Some(i32::MAX));
}

#[test]
fn authentication_secrets_are_not_values_and_mechanisms_are_not_keys() {
    for opcode in [Opcode::SASL_AUTH, Opcode::SASL_STEP] {
        let bytes = raw(REQUEST_MAGIC, opcode.0, 5, 0, 5 + 20, 0);
        let request = parsed(&bytes);
        assert_eq!((request.command, request.keys.len()), (Command::Other, 0));
        assert_eq!((request.value_size, request.block_size()), (None, 20));
        assert!(!request.refused && options(&request).is_empty());
    }
}

#[test]
fn lengths_that_an_opcode_does_not_allow_are_refused_and_close() {
    let long = u16::try_from(KEY_SIZE_MAX).unwrap_or(0) + 1;
    let table: &[(u8, u16, u8, u32)] = &[
        (0x00, 3, 0, 2),
        (0x00, 0, 0, 0),
        (0x00, 1, 0, 4),
        (0x00, long, 0, long.into()),
        (0x01, 1, 4, 8),
        (0x04, 1, 0, 2),
        (0x05, 1, 20, 22),
        (0x08, 0, 3, 3),
        (0x0a, 0, 0, 1),
        (0x0e, 0, 0, 1),
        (0x10, 0, 1, 1),
        (0x1d, 1, 0, 1),
        (0x21, 0, 0, 9),
    ];
    for (opcode, key, extras, body) in table {
        let bytes = raw(REQUEST_MAGIC, *opcode, *key, *extras, *body, 0);
        let request = parsed(&bytes);
        assert!(request.refused && request.closes && request.is_answered());
        assert_eq!(request.block_size(), 0, "{opcode:#x}");
        assert!(!begins_request(&bytes, true), "{opcode:#x}");
    }
}

#[test]
fn an_unknown_opcode_has_a_whole_body_discarded_after_its_key() {
    for opcode in [0x1b, 0x30, 0x3c, 0xff] {
        let bytes = raw(REQUEST_MAGIC, opcode, 2, 4, 16, 0);
        let request = parsed(&bytes);
        assert!(request.refused && !request.closes);
        assert_eq!(request.block_size(), 16);
    }
}

#[test]
fn quit_is_answered_unless_it_is_quiet() {
    for (opcode, answered) in [(0x07, true), (0x17, false)] {
        let bytes = raw(REQUEST_MAGIC, opcode, 0, 0, 0, 0);
        let request = parsed(&bytes);
        assert!(request.closes);
        assert_eq!(request.is_answered(), answered);
    }
}

#[test]
fn a_response_gives_its_header_before_its_key() {
    let bytes = raw(RESPONSE_MAGIC, 0x0d, 3, 4, 12, 0);
    let Ok(Status::Complete { value, consumed }) = parse_response(&bytes) else {
        panic!("incomplete");
    };
    assert_eq!((consumed, value.key), (31, Some(&b"kkk"[..])));
    assert_eq!((value.opaque, value.cas), (OPAQUE, 9));
    assert_eq!((value.value_size(), value.is_hit()), (5, true));
    assert_eq!(parse_response(&bytes[..30]), Ok(Status::Partial));
    let header = parse_header(&bytes[..24]);
    assert!(matches!(header, Ok(Status::Complete { value, consumed: 24 }) if value.key.is_none()));
}

#[test]
fn an_unknown_status_keeps_its_number() {
    let table = [
        (0x00, Code::Success),
        (0x01, Code::NotFound),
        (0x02, Code::Exists),
        (0x03, Code::TooLarge),
        (0x04, Code::Invalid),
        (0x05, Code::NotStored),
        (0x06, Code::NotNumeric),
        (0x20, Code::Unauthenticated),
        (0x21, Code::Continue),
        (0x81, Code::Unknown),
        (0x82, Code::NoMemory),
        (0x86, Code::Other(0x86)),
    ];
    for (status, expected) in table {
        let bytes = raw(RESPONSE_MAGIC, 0, 0, 0, 0, status);
        let answer = parse_response(&bytes);
        assert!(
            matches!(answer, Ok(Status::Complete { value, .. }) if value.code == expected),
            "{status:#x}"
        );
    }
}

#[test]
fn a_list_of_statistics_ends_with_an_empty_response() {
    for (key, continues) in [(3, true), (0, false)] {
        let bytes = raw(RESPONSE_MAGIC, 0x10, key, 0, key.into(), 0);
        let answer = parse_response(&bytes);
        assert!(
            matches!(answer, Ok(Status::Complete { value, .. }) if value.continues() == continues)
        );
    }
}

#[test]
fn a_malformed_message_is_an_error_that_names_the_broken_rule() {
    assert_eq!(parse_request(b"\x81"), Err(ParseError::Magic));
    assert_eq!(parse_request(b"get a\r\n"), Err(ParseError::Magic));
    assert_eq!(parse_response(b"\x80"), Err(ParseError::Magic));
    let short = raw(RESPONSE_MAGIC, 0, 3, 4, 6, 0);
    assert_eq!(parse_response(&short), Err(ParseError::BodySize));
    assert_eq!(parse_request(b""), Ok(Status::Partial));
    assert_eq!(parse_response(b""), Ok(Status::Partial));
}
