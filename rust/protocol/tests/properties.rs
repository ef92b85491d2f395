//! Any bytes and any request → properties that hold for all of them.

use membench_protocol::encode::{Encoder, Flag, Storage};
use membench_protocol::{Command, Dialect, ParseError, Request, Status, request, response};
use proptest::prelude::*;

/// What parsing a whole stream saw: each request's words and sizes.
type Seen = Vec<(Command, Option<u32>, Vec<Vec<u8>>, bool)>;

fn seen(request: &Request<'_>) -> (Command, Option<u32>, Vec<Vec<u8>>, bool) {
    let keys = request.keys.clone().map(|key| key.raw().to_vec()).collect();
    (request.command, request.value_size, keys, request.refused)
}

/// Parses a stream that arrives in the given parts, as a decoder with a small memory does.
fn requests(parts: &[&[u8]]) -> Result<Seen, ParseError> {
    let (mut held, mut skip, mut all) = (Vec::new(), 0_usize, Seen::new());
    for part in parts {
        held.extend_from_slice(part);
        loop {
            let skipped = skip.min(held.len());
            held.drain(..skipped);
            skip -= skipped;
            let Status::Complete { value, consumed } = request::parse(&held)? else {
                break;
            };
            all.push(seen(&value));
            skip = consumed + value.value_size.map_or(0, |size| size as usize + 2);
        }
    }
    Ok(all)
}

fn protocol_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("get"),
        Just("set"),
        Just("cas"),
        Just("mg"),
        Just("ms"),
        Just("ma"),
        Just("delete"),
        Just("noreply"),
        Just("key"),
        Just("0"),
        Just("3"),
        Just("-1"),
        Just("q"),
        Just("b"),
        Just("MA"),
        Just("Oid"),
        Just(" "),
        Just("\r\n"),
        Just("\n"),
        Just("\0"),
        Just("\r"),
        Just("Zm9v"),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.join(" ").into_bytes())
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0x21..0x7f_u8, 1..=250)
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_requests(
        stream in protocol_like(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8)
    ) {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(stream.len());
        let mut start = 0;
        let mut parts = Vec::new();
        for end in ends {
            parts.push(&stream[start..end]);
            start = end;
        }
        prop_assert_eq!(requests(&parts), requests(&[&stream]));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for dialect in [Dialect::Classic, Dialect::Shared] {
            if let Ok(Status::Complete { value, consumed }) = request::parse_as(&bytes, dialect) {
                prop_assert!(consumed <= bytes.len());
                let mut scratch = [0; 256];
                prop_assert_eq!(value.keys.clone().len(), value.keys.clone().count());
                for key in value.keys.clone() {
                    let _ = key.decode(&mut scratch);
                }
                prop_assert!(value.options(&mut String::new()).is_ok());
            }
        }
        let _ = response::parse(&bytes);
    }

    #[test]
    fn a_storage_request_parses_to_what_was_encoded(
        key in key(), client_flags: u32, ttl: i32, size in 0..=i32::MAX.unsigned_abs() - 2, cas: Option<u64>,
        noreply: bool,
    ) {
        let command = if cas.is_some() { Command::Cas } else { Command::Append };
        let mut out = [0; 400];
        let mut encoder = Encoder::new(&mut out);
        let storage = Storage { key: &key, client_flags, ttl, size, cas, noreply };
        prop_assert!(encoder.storage(command, &storage).is_ok());
        let written = encoder.written();
        for dialect in [Dialect::Classic, Dialect::Shared] {
            let Ok(Status::Complete { value, consumed }) = request::parse_as(&out, dialect) else {
                return Err(TestCaseError::fail("not whole"));
            };
            prop_assert_eq!((value.command, consumed), (command, written));
            prop_assert_eq!((value.client_flags, value.ttl), (Some(client_flags), Some(ttl)));
            prop_assert_eq!((value.value_size, value.cas), (Some(size), cas));
            prop_assert_eq!((value.noreply, value.refused), (noreply, false));
            prop_assert_eq!(seen(&value).2, vec![key.clone()]);
        }
    }

    #[test]
    fn a_meta_request_parses_to_what_was_encoded(key in key(), ttl: i32, cas: u64, opaque in "[a-z]{1,31}") {
        let flags = [
            Flag::Bare(b'q'), Flag::Ttl(b'T', ttl), Flag::Number(b'C', cas), Flag::Word(b'O', opaque.as_bytes()),
            Flag::Word(b'M', b"R"),
        ];
        let mut out = [0; 400];
        prop_assert!(Encoder::new(&mut out).meta(Command::MetaSet, &key, Some(7), flags).is_ok());
        let Ok(Status::Complete { value, .. }) = request::parse(&out) else {
            return Err(TestCaseError::fail("not whole"));
        };
        prop_assert_eq!((value.ttl, value.cas, value.mode()), (Some(ttl), Some(cas), Some(b'R')));
        prop_assert_eq!((value.opaque, value.value_size), (Some(opaque.as_bytes()), Some(7)));
        prop_assert!(value.quiet() && !value.refused);
    }

    #[test]
    fn a_response_line_is_never_read_differently_for_what_follows(
        line in "(VALUE|VA|HD|STAT|[A-Z_]{1,12}) [a-z0-9 ]{0,40}\r\n", rest in proptest::collection::vec(any::<u8>(), 0..40)
    ) {
        let longer = [line.as_bytes(), &rest].concat();
        prop_assert_eq!(response::parse(&longer), response::parse(line.as_bytes()));
        prop_assert_eq!(response::parse(&line.as_bytes()[..line.len() - 1]), Ok(Status::Partial));
    }
}
