//! Any bytes as a capture file → streams without holes that were not told, and nothing unaccounted for.
#![no_main]

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use membench::decode::{Decoder, Responses};
use membench::packet::file::Reader;
use membench::packet::{Flows, Found, Limits};
use membench::privacy::KeyHasher;
use membench::segment::{Direction, Piece, Segment};

/// Small enough to be reached.
const LIMITS: Limits = Limits {
    flows: 4,
    flow_bytes: 4096,
    total_bytes: 8192,
};

struct Streams {
    decoder: Decoder,
    ends: HashMap<(u64, Direction), u64>,
}

impl Streams {
    fn take(&mut self, found: &Found<'_>) {
        match found {
            Found::Opened {
                flow, mid_stream, ..
            } => {
                self.decoder.open_without_reads(*flow as u32, *mid_stream);
            }
            Found::Bytes(bytes) => {
                let length = bytes.bytes.len() as u64 + u64::from(bytes.hole);
                let end = self.ends.entry((bytes.flow, bytes.direction)).or_default();
                assert!(bytes.offset >= *end, "bytes twice");
                assert!(
                    bytes.offset == *end || length == 0,
                    "a gap that was not told"
                );
                *end = bytes.offset + length;
                if bytes.at_rest && !self.decoder.paired(bytes.flow as u32) {
                    self.decoder.expect_barrier(bytes.flow as u32);
                }
                let segment = Segment {
                    connection: bytes.flow as u32,
                    direction: bytes.direction,
                    offset: bytes.offset,
                    time: bytes.time,
                    arrival: None,
                    filled: false,
                    call: bytes.call,
                    pieces: &[Piece::Bytes(bytes.bytes), Piece::Hole(bytes.hole)],
                };
                self.decoder.push(&segment, true);
                self.decoder.clear_events();
            }
            Found::Closed { flow, .. } => self.close(*flow as u32),
            Found::Ended { .. } => {}
        }
    }

    fn close(&mut self, connection: u32) {
        if let Some(totals) = self.decoder.close(connection) {
            assert_eq!(totals.request.seen, totals.request.accounted());
            assert_eq!(totals.response.seen, totals.response.accounted());
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let input = Box::new(Cursor::new(input.to_vec()));
    let Ok(mut reader) = Reader::read(Path::new("fuzz"), input) else {
        return;
    };
    let Ok(hasher) = KeyHasher::random() else {
        return;
    };
    let mut streams = Streams {
        decoder: Decoder::new(hasher, Responses::Bytes, 0),
        ends: HashMap::new(),
    };
    let mut flows = Flows::new(&[11211], LIMITS);
    while let Some(packet) = reader.next_packet() {
        flows.take(&packet, &mut |found| streams.take(&found));
    }
    flows.finish(&mut |found| streams.take(&found));
    for connection in streams.decoder.open_connections() {
        streams.close(connection);
    }
});
