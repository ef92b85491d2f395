//! Streams found in packets → the decoder, for the targets that read packets. Every byte must be accounted for.

use std::collections::HashMap;

use membench_decode::packet::{Found, Limits};
use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Direction, Piece, Segment};

/// Limits small enough for the fuzzer to reach.
pub const LIMITS: Limits = Limits {
    flows: 4,
    flow_bytes: 4096,
    total_bytes: 8192,
};

/// A decoder, and the end of each stream it was given.
pub struct Streams {
    decoder: Decoder,
    ends: HashMap<(u64, Direction), u64>,
}

impl Streams {
    /// Creates a decoder without streams.
    pub fn new(hasher: KeyHasher) -> Self {
        Self {
            decoder: Decoder::new(hasher, Responses::Bytes, 0),
            ends: HashMap::new(),
        }
    }

    /// Decodes a finding; panics if bytes come twice, or if a gap was not reported.
    pub fn take(&mut self, found: &Found<'_>) {
        match found {
            Found::Opened {
                flow, mid_stream, ..
            } => {
                self.decoder.open_without_reads(*flow as u32, *mid_stream);
            }
            Found::Bytes(bytes) => {
                let length = bytes.bytes.len() as u64 + u64::from(bytes.hole);
                let end = self.ends.entry((bytes.flow, bytes.direction)).or_default();
                assert!(bytes.offset >= *end, "duplicate bytes");
                assert!(bytes.offset == *end || length == 0, "unreported gap");
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
            Found::Closed { flow, .. } => close(&mut self.decoder, *flow as u32),
            Found::Ended { .. } => {}
        }
    }

    /// Closes every open connection.
    pub fn end(mut self) {
        for connection in self.decoder.open_connections() {
            close(&mut self.decoder, connection);
        }
    }
}

/// Closes a connection; panics if one of its bytes is in no term of the ledger.
pub fn close(decoder: &mut Decoder, connection: u32) {
    if let Some(totals) = decoder.close(connection) {
        assert_eq!(totals.request.seen, totals.request.accounted());
        assert_eq!(totals.response.seen, totals.response.accounted());
    }
}
