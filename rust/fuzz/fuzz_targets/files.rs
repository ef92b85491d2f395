//! Arbitrary bytes as a capture file, compressed or not → streams whose holes are all reported, every byte accounted
//! for.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use membench_decode::packet::Flows;
use membench_decode::packet::file::Reader;
use membench_decode::privacy::KeyHasher;
use membench_fuzz::{LIMITS, Streams};

fuzz_target!(|input: &[u8]| {
    let input = Box::new(Cursor::new(input.to_vec()));
    let Ok(mut reader) = Reader::read(Path::new("fuzz"), input) else {
        return;
    };
    let Ok(hasher) = KeyHasher::random() else {
        return;
    };
    let mut streams = Streams::new(hasher);
    let mut flows = Flows::new(&[11211], LIMITS);
    while let Some(packet) = reader.next_packet() {
        flows.take(&packet, &mut |found| streams.take(&found));
    }
    let _ = (reader.damage(), reader.dropped());
    flows.finish(&mut |found| streams.take(&found));
    streams.end();
});
