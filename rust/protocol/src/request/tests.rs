use std::string::String;
use std::vec::Vec;

use super::*;
use crate::response::Kind;
use crate::token::Tokens;

fn parsed(bytes: &[u8]) -> Request<'_> {
    parsed_as(bytes, Dialect::Classic)
}

fn parsed_as(bytes: &[u8], dialect: Dialect) -> Request<'_> {
    match parse_as(bytes, dialect) {
        Ok(Status::Complete { value, .. }) => value,
        other => panic!("{other:?}"),
    }
}

fn options(bytes: &[u8]) -> String {
    let mut text = String::new();
    assert_eq!(parsed(bytes).options(&mut text), Ok(()));
    text
}

fn keys<'a>(request: &Request<'a>) -> Vec<&'a [u8]> {
    request.keys.clone().map(|key| key.raw()).collect()
}

#[test]
fn a_storage_line_gives_all_its_numbers() {
    let request = parsed(b"cas key 7 -60 5 99 noreply\r\nvalue\r\n");
    assert_eq!(keys(&request), [b"key"]);
    assert_eq!(
        (request.client_flags, request.ttl, request.value_size),
        (Some(7), Some(-60), Some(5))
    );
    assert_eq!((request.cas, request.noreply), (Some(99), true));
    assert!(!request.refused && !request.meta);
}

#[test]
fn every_verb_names_its_command() {
    for command in Command::ALL {
        let line = [command.name().as_bytes(), b" k 1 1 1 1\r\n"].concat();
        assert_eq!(parsed(&line).command, command);
        assert_eq!(parsed(&line).meta, command.is_meta());
    }
}

#[test]
fn a_multiget_gives_its_keys_in_order() {
    let request = parsed(b"gats 30  a b  c \n");
    assert_eq!(keys(&request), [b"a", b"b", b"c"]);
    assert_eq!((request.keys.len(), request.ttl), (3, Some(30)));
}

#[test]
fn a_line_without_end_is_partial() {
    let line = b"get a\r\n";
    for size in 0..line.len() {
        assert_eq!(parse(&line[..size]), Ok(Status::Partial));
    }
}

#[test]
fn only_the_line_is_consumed() {
    let table: &[(&[u8], usize)] = &[
        (b"set k 0 0 3\r\nabc\r\n", 13),
        (b"get a\nget b\n", 6),
        (b"\r\nget b\r\n", 2),
    ];
    for (bytes, expected) in table {
        assert!(
            matches!(parse(bytes), Ok(Status::Complete { consumed, .. }) if consumed == *expected)
        );
    }
}

#[test]
fn the_binary_protocol_is_recognised() {
    assert_eq!(parse(b"\x80\0\0\0"), Err(ParseError::Binary));
}

#[test]
fn meta_flags_fill_their_fields() {
    let request = parsed(b"ma Zm9v b N60 T30 R5 C9 D2 J100 F3 Oid MD q k v\r\n");
    assert_eq!(
        (request.vivify_ttl, request.ttl, request.recache_ttl),
        (Some(60), Some(30), Some(5))
    );
    assert_eq!(
        (request.cas, request.delta, request.initial),
        (Some(9), Some(2), Some(100))
    );
    assert_eq!(
        (request.client_flags, request.mode()),
        (Some(3), Some(b'D'))
    );
    assert_eq!(request.opaque, Some(&b"id"[..]));
    assert!(request.quiet() && request.returns_key() && request.returns_value());
    assert!(request.base64() && !request.refused);
    let mut scratch = [0; 256];
    let decoded: Vec<_> = request
        .keys
        .map(|key| key.decode(&mut scratch).to_vec())
        .collect();
    assert_eq!(decoded, [b"foo"]);
}

#[test]
fn a_refused_meta_set_has_its_data_read_once_its_size_is_known() {
    let table: &[(&[u8], Option<u32>)] = &[
        (b"ms k 3 y\r\n", Some(3)),
        (b"ms k 3 T1 T1\r\n", Some(3)),
        (b"ms Zm9 3 b\r\n", Some(3)),
        (b"ms k x\r\n", None),
        (b"ms k\r\n", None),
        (b"ms k -1\r\n", None),
    ];
    for (line, expected) in table {
        let request = parsed(line);
        assert!(request.refused, "{request:?}");
        assert_eq!(request.value_size, *expected, "{request:?}");
    }
}

#[test]
fn the_dialects_differ_on_refused_storage_lines() {
    let table: &[(&[u8], Option<u32>, Option<u32>)] = &[
        (b"set k x 0 3\r\n", None, Some(3)),
        (b"set k 0 x 3\r\n", None, Some(3)),
        (b"cas k 0 0 3 x\r\n", None, Some(3)),
        (b"set k 0 0 x\r\n", None, None),
        (b"set k 0 0 -3\r\n", None, None),
        (b"set k 0 0\r\n", None, None),
    ];
    for (line, classic, shared) in table {
        for (dialect, expected) in [(Dialect::Classic, classic), (Dialect::Shared, shared)] {
            let request = parsed_as(line, dialect);
            assert!(request.refused);
            assert_eq!(request.value_size, *expected, "{request:?}");
        }
    }
}

#[test]
fn noreply_counts_where_each_dialect_looks_for_it() {
    let table: &[(&[u8], bool, bool)] = &[
        (b"delete noreply\r\n", true, false),
        (b"delete k noreply\r\n", false, false),
        (b"touch noreply 0\r\n", true, true),
        (b"incr k noreply\r\n", false, false),
        (b"get noreply\r\n", true, true),
        (b"stats noreply\r\n", true, true),
        (b"watch noreply\r\n", false, true),
        (b"refresh_certs noreply\r\n", true, true),
        (b"shutdown noreply\r\n", true, false),
        (b"slabs automove 0 noreply\r\n", false, false),
        (b"slabs reassign 1 2 noreply\r\n", true, false),
        (b"lru_crawler metadump all noreply\r\n", true, false),
        (b"nonsense noreply\r\n", true, false),
    ];
    for (line, classic, shared) in table {
        for (dialect, expected) in [
            (Dialect::Early, classic),
            (Dialect::Classic, classic),
            (Dialect::Shared, shared),
        ] {
            let request = parsed_as(line, dialect);
            assert_eq!(request.is_answered(), *expected, "{request:?}");
        }
    }
}

#[test]
fn the_early_dialect_takes_the_size_of_a_meta_set_from_a_flag() {
    let table: &[(&[u8], Option<u32>)] = &[
        (b"ms k S3\r\n", Some(3)),
        (b"ms k T0 S3 q\r\n", Some(3)),
        (b"ms k 3\r\n", None),
        (b"ms k T0\r\n", None),
    ];
    for (line, expected) in table {
        assert_eq!(parsed_as(line, Dialect::Early).value_size, *expected);
    }
    assert!(parsed_as(b"ms k S3 q\r\n", Dialect::Early).quiet());
}

#[test]
fn only_lines_that_releases_read_differently_are_disputed() {
    let table: &[(&[u8], bool)] = &[
        (b"get k\r\n", false),
        (b"set k 0 0 3\r\n", false),
        (b"set k x 0 3\r\n", true),
        (b"delete k noreply\r\n", false),
        (b"delete noreply\r\n", true),
        (b"ms k 3\r\n", false),
        (b"ms k S3\r\n", true),
        (b"md k x\r\n", false),
        (b"slabs automove 0\r\n", false),
        (b"slabs reassign 1 2 noreply\r\n", true),
        (b"nonsense\r\n", false),
    ];
    for (line, expected) in table {
        assert_eq!(
            is_disputed(line, &parsed(line)),
            *expected,
            "{}",
            line.escape_ascii()
        );
    }
}

#[test]
fn a_request_to_reset_the_counters_is_known() {
    let table: &[(&[u8], bool, bool)] = &[
        (b"stats reset\r\n", true, true),
        (b"stats re\r\n", false, true),
        (b"stats\r\n", false, false),
        (b"stats resets\r\n", false, false),
    ];
    for (line, classic, shared) in table {
        assert_eq!(parsed_as(line, Dialect::Classic).resets, *classic);
        assert_eq!(parsed_as(line, Dialect::Shared).resets, *shared);
    }
}

#[test]
fn the_shared_dialect_knows_newer_flags_and_no_leading_space() {
    assert!(!parsed_as(b"md k x E7\r\n", Dialect::Shared).refused);
    assert!(parsed_as(b"md k x E7\r\n", Dialect::Classic).refused);
    assert!(parsed_as(b" get k\r\n", Dialect::Shared).refused);
    assert!(!parsed_as(b" get k\r\n", Dialect::Classic).refused);
    assert!(!parsed_as(b"set k 0 0 3 a b\r\n", Dialect::Shared).refused);
}

#[test]
fn a_quiet_request_suppresses_its_ordinary_outcome_only() {
    let table: &[(&[u8], &[Kind])] = &[
        (b"mg k q\r\n", &[Kind::En]),
        (b"ms k 1 q\r\n", &[Kind::Hd]),
        (b"md k q\r\n", &[Kind::Hd]),
        (b"ma k q\r\n", &[Kind::Hd, Kind::Va]),
        (b"mg k v\r\n", &[]),
        (b"me k q\r\n", &[]),
    ];
    let kinds = [Kind::Hd, Kind::Va, Kind::En, Kind::Nf, Kind::Ns, Kind::Ex];
    for (line, expected) in table {
        let request = parsed(line);
        let suppressed: Vec<_> = kinds
            .into_iter()
            .filter(|kind| request.suppresses(&Response::meta(*kind, None, Tokens::new(b""))))
            .collect();
        assert_eq!(suppressed, *expected, "{request:?}");
    }
}

#[test]
fn options_are_letters_and_modes_never_the_users_words() {
    let table: &[(&[u8], &str)] = &[
        (b"get secret\r\n", ""),
        (b"set secret 1 2 3 noreply\r\n", "noreply"),
        (b"ms secret 3 s v q MA\r\n", "s v q MA"),
        (b"mg secret b Osecret T30 k\r\n", "b O T k"),
        (b"mg secret Psecret Lsecret\r\n", "P L"),
        (b"mg secret Msecret M! v v 7secret \xffsecret\r\n", "M v"),
        (b"me secret b secret\r\n", "b s"),
    ];
    for (line, expected) in table {
        assert_eq!(options(line), *expected, "{:?}", line.escape_ascii());
    }
}
