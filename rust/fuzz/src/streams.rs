//! Streams found in packets → the decoder, for the targets that read packets. Every byte must be accounted for.

use std::collections::HashMap;
use std::net::SocketAddr;

use membench_decode::packet::{Datagram, Found, Limits};
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
    /// Connections of datagrams, by the server's socket and the client.
    peers: HashMap<(u64, SocketAddr), u32>,
}

/// Number of the first connection of datagrams, above those of all flows.
const FIRST_PEER: u32 = 1 << 31;

impl Streams {
    /// Creates a decoder without streams.
    pub fn new(hasher: KeyHasher) -> Self {
        Self {
            decoder: Decoder::new(hasher, Responses::Bytes, 0),
            ends: HashMap::new(),
            peers: HashMap::new(),
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
            Found::Datagram(datagram) => self.take_datagram(datagram),
            Found::Left { socket, client } => {
                if let Some(connection) = self.peers.get(&(*socket, *client)) {
                    close(&mut self.decoder, *connection);
                }
            }
            Found::Ended { .. } => {}
        }
    }

    fn take_datagram(&mut self, datagram: &Datagram<'_>) {
        let next = FIRST_PEER + self.peers.len() as u32;
        let key = (datagram.socket, datagram.client);
        let connection = *self.peers.entry(key).or_insert(next);
        if connection == next || self.decoder.totals(connection).is_none() {
            self.decoder.open_datagrams_without_reads(connection, 0);
        }
        let segment = Segment {
            connection,
            direction: datagram.direction,
            offset: 0,
            time: datagram.time,
            arrival: None,
            filled: false,
            call: 0,
            pieces: &[Piece::Bytes(datagram.bytes), Piece::Hole(datagram.hole)],
        };
        self.decoder.push_datagram(&segment);
        self.decoder.clear_events();
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
