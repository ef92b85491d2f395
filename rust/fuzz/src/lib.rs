//! What the packet targets share: what is found in packets → the decoder, nothing unaccounted for.

use std::collections::HashMap;

use membench_decode::packet::{Found, Limits};
use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Direction, Piece, Segment};

/// Small enough to be reached.
pub const LIMITS: Limits = Limits {
    flows: 4,
    flow_bytes: 4096,
    total_bytes: 8192,
};

/// Both directions of all connections, as they are found.
pub struct Streams {
    decoder: Decoder,
    ends: HashMap<(u64, Direction), u64>,
}

impl Streams {
    /// None yet.
    pub fn new(hasher: KeyHasher) -> Self {
        Self {
            decoder: Decoder::new(hasher, Responses::Bytes, 0),
            ends: HashMap::new(),
        }
    }

    /// Decodes what was found; panics if bytes come twice, or a gap was not told.
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
            Found::Closed { flow, .. } => close(&mut self.decoder, *flow as u32),
            Found::Ended { .. } => {}
        }
    }

    /// Ends every connection.
    pub fn end(mut self) {
        for connection in self.decoder.open_connections() {
            close(&mut self.decoder, connection);
        }
    }
}

/// Ends a connection; panics if a byte of it is in no term of the ledger.
pub fn close(decoder: &mut Decoder, connection: u32) {
    if let Some(totals) = decoder.close(connection) {
        assert_eq!(totals.request.seen, totals.request.accounted());
        assert_eq!(totals.response.seen, totals.response.accounted());
    }
}
