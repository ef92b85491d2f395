//! Any bytes, split anywhere → the same responses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_protocol::{ParseError, Status, response};

/// The response lines of a stream that arrives in `parts`, and the error that ended it.
fn responses(parts: [&[u8]; 2]) -> (Vec<String>, Option<ParseError>) {
    let (mut held, mut skip, mut all) = (Vec::new(), 0_usize, Vec::new());
    for part in parts {
        held.extend_from_slice(part);
        loop {
            let skipped = skip.min(held.len());
            held.drain(..skipped);
            skip -= skipped;
            match response::parse(&held) {
                Ok(Status::Complete { value, consumed }) => {
                    all.push(format!("{value:?}"));
                    skip = consumed + value.value_size().map_or(0, |size| size as usize + 2);
                }
                Ok(Status::Partial) => break,
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, stream) = input;
    let (start, end) = stream.split_at(usize::from(cut).min(stream.len()));
    assert_eq!(responses([start, end]), responses([stream, b""]));
});
