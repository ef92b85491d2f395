//! Arbitrary bytes, split anywhere → the same requests as unsplit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_protocol::{Command, Dialect, ParseError, Request, Status, binary, request};

type Seen = Vec<(Command, Option<u32>, Vec<Vec<u8>>, String)>;

type Parse = for<'a> fn(&'a [u8]) -> Result<Status<Request<'a>>, ParseError>;

/// The parsers under test: one for each dialect of lines, and the binary one.
const PARSERS: [Parse; 4] = [
    |bytes| request::parse_as(bytes, Dialect::Early),
    |bytes| request::parse_as(bytes, Dialect::Classic),
    |bytes| request::parse_as(bytes, Dialect::Shared),
    |bytes| binary::parse_request(bytes),
];

/// Returns the requests of a stream that arrives in `parts`, up to bytes that are not of the protocol.
fn requests(parts: [&[u8]; 2], parse: Parse) -> Seen {
    let (mut held, mut skip, mut all) = (Vec::new(), 0_usize, Seen::new());
    for part in parts {
        held.extend_from_slice(part);
        loop {
            let skipped = skip.min(held.len());
            held.drain(..skipped);
            skip -= skipped;
            let Ok(Status::Complete { value, consumed }) = parse(&held) else {
                break;
            };
            let mut scratch = [0; 256];
            let keys = value.keys.clone();
            assert_eq!(keys.len(), keys.clone().count());
            let keys = keys.map(|key| key.decode(&mut scratch).to_vec()).collect();
            let mut options = String::new();
            assert!(value.options(&mut options).is_ok());
            all.push((value.command, value.value_size, keys, options));
            skip = consumed + usize::try_from(value.block_size()).unwrap_or(usize::MAX);
        }
    }
    all
}

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (cut, parser, stream) = input;
    let (start, end) = stream.split_at(usize::from(cut).min(stream.len()));
    let parse = PARSERS[usize::from(parser) % PARSERS.len()];
    assert_eq!(
        requests([start, end], parse),
        requests([stream, b""], parse)
    );
});
