//! Arbitrary bytes, split anywhere → the same responses as unsplit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_protocol::{ParseError, Response, Status, binary, response};

/// Parses the next response: its text for comparison, and the size of its value. `consumed` excludes the value.
fn next(bytes: &[u8], is_binary: bool) -> Result<Status<(String, usize)>, ParseError> {
    let (response, size, block) = match is_binary {
        true => match binary::parse_response(bytes)? {
            Status::Complete { value, consumed } => (
                Response::Binary(value),
                consumed,
                value.value_size() as usize,
            ),
            Status::Partial => return Ok(Status::Partial),
        },
        false => match response::parse(bytes)? {
            Status::Complete { value, consumed } => {
                let block = value.value_size().map_or(0, |size| size as usize + 2);
                (value, consumed, block)
            }
            Status::Partial => return Ok(Status::Partial),
        },
    };
    Ok(Status::Complete {
        value: (format!("{response:?}"), block),
        consumed: size,
    })
}

/// Returns the responses of a stream that arrives in `parts`, and the error that ended it, if any.
fn responses(parts: [&[u8]; 2], is_binary: bool) -> (Vec<String>, Option<ParseError>) {
    let (mut held, mut skip, mut all) = (Vec::new(), 0_usize, Vec::new());
    for part in parts {
        held.extend_from_slice(part);
        loop {
            let skipped = skip.min(held.len());
            held.drain(..skipped);
            skip -= skipped;
            match next(&held, is_binary) {
                Ok(Status::Complete {
                    value: (response, block),
                    consumed,
                }) => {
                    all.push(response);
                    skip = consumed + block;
                }
                Ok(Status::Partial) => break,
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

fuzz_target!(|input: (u16, bool, &[u8])| {
    let (cut, is_binary, stream) = input;
    let (start, end) = stream.split_at(usize::from(cut).min(stream.len()));
    assert_eq!(
        responses([start, end], is_binary),
        responses([stream, b""], is_binary)
    );
});
