//! Arbitrary bytes and requests → properties that hold for all of them.

use membench_protocol::binary::{Arithmetic, Item, Opcode, Tag};
use membench_protocol::encode::{Encoder, Flag, Storage};
use membench_protocol::{Command, Dialect, ParseError, Request, Status, binary, request, response};
use proptest::prelude::*;

/// The requests of a whole stream, each by its command, value size, keys and refusal.
type Seen = Vec<(Command, Option<u32>, Vec<Vec<u8>>, bool)>;

fn seen(request: &Request<'_>) -> (Command, Option<u32>, Vec<Vec<u8>>, bool) {
    let keys = request.keys.clone().map(|key| key.raw().to_vec()).collect();
    (request.command, request.value_size, keys, request.refused)
}

type Parser = fn(&[u8]) -> Result<Status<Request<'_>>, ParseError>;

/// Parses a stream that arrives in the given parts, holding only incomplete requests in memory as a decoder does.
fn requests(parts: &[&[u8]], parse: Parser) -> Result<Seen, ParseError> {
    let (mut held, mut skip, mut all) = (Vec::new(), 0_usize, Seen::new());
    for part in parts {
        held.extend_from_slice(part);
        loop {
            let skipped = skip.min(held.len());
            held.drain(..skipped);
            skip -= skipped;
            let Status::Complete { value, consumed } = parse(&held)? else {
                break;
            };
            all.push(seen(&value));
            skip = consumed + usize::try_from(value.block_size()).unwrap_or(usize::MAX);
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

/// Generates requests of the binary protocol, some with lengths that their opcodes do not allow.
fn binary_like() -> impl Strategy<Value = Vec<u8>> {
    let message = (0..=0x40_u8, 0..4_u8, 0..6_u8, 0..4_u8, any::<[u8; 16]>()).prop_map(
        |(opcode, key, extras, value, rest)| {
            let extras = [0, 4, 8, 20, 1, 24][usize::from(extras)];
            let body = extras + key + value;
            let mut bytes = vec![0x80, opcode, 0, key, extras, 0, 0, 0, 0, 0, 0, body];
            bytes.extend(&rest[..12]);
            bytes.resize(24 + usize::from(body), rest[15]);
            bytes
        },
    );
    proptest::collection::vec(message, 0..8).prop_map(|messages| messages.concat())
}

type Cuts = Vec<prop::sample::Index>;

fn cuts() -> impl Strategy<Value = Cuts> {
    proptest::collection::vec(any::<prop::sample::Index>(), 0..8)
}

fn split<'a>(stream: &'a [u8], cuts: &Cuts) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(stream.len());
    let starts = std::iter::once(0).chain(ends.clone());
    starts
        .zip(ends)
        .map(|(start, end)| &stream[start..end])
        .collect()
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_requests(stream in protocol_like(), cuts in cuts()) {
        let parts = split(&stream, &cuts);
        prop_assert_eq!(requests(&parts, request::parse), requests(&[&stream], request::parse));
    }

    #[test]
    fn any_split_of_a_binary_stream_gives_the_same_requests(stream in binary_like(), cuts in cuts()) {
        let parts = split(&stream, &cuts);
        let whole = requests(&[&stream], binary::parse_request);
        prop_assert_eq!(requests(&parts, binary::parse_request), whole);
    }

    #[test]
    fn no_bytes_panic_as_binary_messages(
        magic in 0x7f..0x83_u8, bytes in proptest::collection::vec(any::<u8>(), 0..80)
    ) {
        let message = [&[magic], &bytes[..]].concat();
        if let Ok(Status::Complete { value, consumed }) = binary::parse_request(&message) {
            prop_assert!(consumed <= message.len());
            prop_assert_eq!(value.keys.clone().len(), value.keys.clone().count());
            prop_assert!(value.options(&mut String::new()).is_ok());
        }
        if let Ok(Status::Complete { value, consumed }) = binary::parse_response(&message) {
            prop_assert!(consumed <= message.len());
            prop_assert_eq!(24 + value.body_size as usize, consumed + value.value_size() as usize);
        }
        let _ = binary::begins_request(&message, true);
    }

    #[test]
    fn a_binary_request_parses_to_what_was_encoded(
        key in proptest::collection::vec(any::<u8>(), 1..=250), opaque: u32, cas in 1..u64::MAX, client_flags: u32,
        ttl in 0..i32::MAX, size in 0..binary::BODY_SIZE_MAX, delta: u64, initial: Option<u64>,
    ) {
        let seconds = ttl.unsigned_abs();
        let storage = Tag { opcode: Opcode(0x11), opaque, cas };
        let counter = Tag { opcode: Opcode(0x16), opaque, cas: 0 };
        let arithmetic = Arithmetic { delta, initial: initial.map(|initial| (initial, seconds)) };
        let mut out = [0; 800];
        let mut encoder = Encoder::new(&mut out);
        let item = Item { client_flags, ttl: seconds };
        prop_assert!(encoder.binary_storage(storage, &key, item, size).is_ok());
        let first = encoder.written();
        prop_assert!(encoder.binary_arithmetic(counter, &key, arithmetic).is_ok());
        let Ok(Status::Complete { value, consumed }) = binary::parse_request(&out) else {
            return Err(TestCaseError::fail("incomplete"));
        };
        prop_assert_eq!((consumed, value.value_size, value.block_size()), (first, Some(size), size.into()));
        prop_assert_eq!((value.client_flags, value.ttl, value.cas), (Some(client_flags), Some(ttl), Some(cas)));
        prop_assert_eq!((value.opaque, seen(&value).2), (Some(&opaque.to_be_bytes()[..]), vec![key.clone()]));
        let Ok(Status::Complete { value, .. }) = binary::parse_request(&out[first..]) else {
            return Err(TestCaseError::fail("incomplete"));
        };
        prop_assert_eq!((value.delta, value.initial), (Some(delta), initial));
        prop_assert_eq!(value.vivify_ttl, initial.map(|_| ttl));
        prop_assert!(value.quiet() && !value.refused);
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
                return Err(TestCaseError::fail("incomplete"));
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
            return Err(TestCaseError::fail("incomplete"));
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
