use std::vec::Vec;

use super::*;

fn parsed(line: &[u8]) -> Response<'_> {
    match parse(line) {
        Ok(Status::Complete { value, consumed }) if consumed == line.len() => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_answer_of_the_protocol_is_known() {
    let table: &[(&[u8], Response<'_>)] = &[
        (b"END\r\n", Response::End),
        (b"STORED\r\n", Response::Stored),
        (b"NOT_STORED\r\n", Response::NotStored),
        (b"EXISTS\r\n", Response::Exists),
        (b"NOT_FOUND\r\n", Response::NotFound),
        (b"DELETED\r\n", Response::Deleted),
        (b"TOUCHED\r\n", Response::Touched),
        (b"OK\r\n", Response::Ok),
        (b"RESET\r\n", Response::Reset),
        (b"ERROR\r\n", Response::Error),
        (b"ERROR: shutdown not enabled\r\n", Response::Error),
        (
            b"CLIENT_ERROR bad data chunk\r\n",
            Response::ClientError(b"bad data chunk"),
        ),
        (b"SERVER_ERROR\r\n", Response::ServerError(b"")),
        (b"VERSION 1.6.18\r\n", Response::Version(b"1.6.18")),
        (b"STAT pid 1\r\n", Response::Stat(b"pid 1")),
        (b"BUSY running\r\n", Response::Busy(b"running")),
        (b"18446744073709551615\r\n", Response::Number(u64::MAX)),
        (
            b"18446744073709551616\r\n",
            Response::Line(b"18446744073709551616"),
        ),
        (b"5  \r\n", Response::Number(5)),
        (b"ME key exp=-1\r\n", Response::MetaDebug(b"key exp=-1")),
        (b"STOREDx\r\n", Response::Line(b"STOREDx")),
        (b"key=a exp=-1\n", Response::Line(b"key=a exp=-1")),
        (b"\r\n", Response::Line(b"\r")),
    ];
    for (line, expected) in table {
        assert_eq!(parsed(line), *expected);
    }
}

#[test]
fn a_value_line_announces_its_data_block() {
    let table: &[(&[u8], Option<u64>)] = &[
        (b"VALUE key 4294967295 1048576\r\n", None),
        (
            b"VALUE key 4294967295 1048576 18446744073709551615\r\n",
            Some(u64::MAX),
        ),
    ];
    for (line, cas) in table {
        let response = parsed(line);
        assert_eq!(response.value_size(), Some(1_048_576));
        let expected = Response::Value {
            key: Key::new(b"key", false),
            flags: u32::MAX,
            size: 1_048_576,
            cas: *cas,
        };
        assert_eq!(response, expected);
    }
}

#[test]
fn a_meta_answer_gives_kind_size_and_flags() {
    type Flags<'a> = &'a [(u8, &'a [u8])];
    let table: &[(&[u8], Kind, Option<u32>, Flags<'_>)] = &[
        (b"HD\r\n", Kind::Hd, None, &[]),
        (
            b"HD Oid c7\r\n",
            Kind::Hd,
            None,
            &[(b'O', b"id"), (b'c', b"7")],
        ),
        (
            b"VA 3 kZm9v b W\r\n",
            Kind::Va,
            Some(3),
            &[(b'k', b"Zm9v"), (b'b', b""), (b'W', b"")],
        ),
        (b"EN Oid\r\n", Kind::En, None, &[(b'O', b"id")]),
        (b"NF\r\n", Kind::Nf, None, &[]),
        (b"NS\r\n", Kind::Ns, None, &[]),
        (b"EX\r\n", Kind::Ex, None, &[]),
        (b"MN\r\n", Kind::Mn, None, &[]),
    ];
    for (line, expected, size, expected_flags) in table {
        let Response::Meta {
            kind,
            size: found,
            flags,
            letters,
        } = parsed(line)
        else {
            panic!("{line:?}");
        };
        let given: Vec<u8> = expected_flags.iter().map(|(letter, _)| *letter).collect();
        assert_eq!(letters, Letters::new(&given));
        let flags: Vec<_> = flags.map(|flag| (flag.letter, flag.token)).collect();
        assert_eq!((kind, found, &*flags), (*expected, *size, *expected_flags));
    }
}

#[test]
fn a_malformed_line_is_an_error_that_names_the_broken_rule() {
    let table: &[(&[u8], ParseError)] = &[
        (b"\x81\0\0\0", ParseError::Binary),
        (b"VALUE\r\n", ParseError::ValueKey),
        (b"VALUE key x 3\r\n", ParseError::ValueFlags),
        (b"VALUE key 4294967296 3\r\n", ParseError::ValueFlags),
        (b"VALUE key 0\r\n", ParseError::ValueSize),
        (b"VALUE key 0 2147483648\r\n", ParseError::ValueSize),
        (b"VALUE key 0 3 x\r\n", ParseError::ValueCas),
        (b"VALUE key 0 3 4 5\r\n", ParseError::ValueCas),
        (b"VA\r\n", ParseError::MetaSize),
        (b"VA -1\r\n", ParseError::MetaSize),
        (&[b'x'; LINE_SIZE_MAX], ParseError::LineTooLong),
    ];
    for (line, expected) in table {
        assert_eq!(parse(line), Err(*expected));
    }
}

#[test]
fn a_line_without_end_is_partial() {
    assert_eq!(parse(b"VALUE key 0 3\r"), Ok(Status::Partial));
    assert_eq!(parse(b""), Ok(Status::Partial));
}
