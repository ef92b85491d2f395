//! Any bytes, split anywhere → the same requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_protocol::{Command, Dialect, Status, request};

type Seen = Vec<(Command, Option<u32>, Vec<Vec<u8>>, String)>;

/// The requests of a stream that arrives in `parts`; bytes that are no text protocol end it.
fn requests(parts: [&[u8]; 2], dialect: Dialect) -> Seen {
    let (mut held, mut skip, mut all) = (Vec::new(), 0_usize, Seen::new());
    for part in parts {
        held.extend_from_slice(part);
        loop {
            let skipped = skip.min(held.len());
            held.drain(..skipped);
            skip -= skipped;
            let Ok(Status::Complete { value, consumed }) = request::parse_as(&held, dialect) else {
                break;
            };
            let mut scratch = [0; 256];
            let keys = value.keys.clone();
            assert_eq!(keys.len(), keys.clone().count());
            let keys = keys.map(|key| key.decode(&mut scratch).to_vec()).collect();
            let mut options = String::new();
            assert!(value.options(&mut options).is_ok());
            all.push((value.command, value.value_size, keys, options));
            skip = consumed + value.value_size.map_or(0, |size| size as usize + 2);
        }
    }
    all
}

fuzz_target!(|input: (u16, bool, &[u8])| {
    let (cut, shared, stream) = input;
    let dialect = if shared {
        Dialect::Shared
    } else {
        Dialect::Classic
    };
    let (start, end) = stream.split_at(usize::from(cut).min(stream.len()));
    assert_eq!(
        requests([start, end], dialect),
        requests([stream, b""], dialect)
    );
});
