//! Decoder tests: hand-written exchanges → events and totals, whole and split anywhere.

use crate::privacy::KeyHasher;
use membench_event::{Command, Direction, Event, Outcome, Piece, Segment};

use super::{Decoder, Responses, Totals};

mod barriers;
mod binary;
mod edges;
mod hostile;
mod losses;
mod outcomes;
mod pairing;
mod splits;
mod unread;
mod versions;

use Direction::{Request, Response};

/// Requests, responses, and the expected outcomes.
type Row<'a> = (&'a [u8], &'a [u8], &'a [Option<Outcome>]);

/// A connection driven step by step: the reads and sends of the server, in order.
struct Exchange {
    decoder: Decoder,
    offsets: [u64; 2],
    call: u32,
    time: u64,
    /// True if reads fill their buffer.
    fills: bool,
    events: Vec<Event>,
}

impl Exchange {
    fn new(responses: Responses, mid_stream: bool) -> Self {
        let hasher = KeyHasher::random().expect("random bytes");
        let mut decoder = Decoder::new(hasher, responses, 1_700_000_000_000_000_000);
        decoder.open(0, mid_stream);
        Self {
            decoder,
            offsets: [0; 2],
            call: 0,
            time: 0,
            fills: false,
            events: Vec::new(),
        }
    }

    fn push(&mut self, direction: Direction, pieces: &[Piece<'_>]) -> &mut Self {
        self.call += 1;
        self.time += 1_000;
        self.push_in_call(direction, pieces)
    }

    fn push_in_call(&mut self, direction: Direction, pieces: &[Piece<'_>]) -> &mut Self {
        let offset = &mut self.offsets[direction as usize];
        let segment = Segment {
            connection: 0,
            direction,
            offset: *offset,
            time: self.time,
            arrival: None,
            filled: self.fills,
            call: self.call,
            pieces,
        };
        *offset += segment.length();
        self.decoder.push(&segment, false);
        self.events.extend_from_slice(self.decoder.events());
        self.decoder.clear_events();
        self
    }

    fn reads(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Request, &[Piece::Bytes(bytes)])
    }

    fn sends(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Response, &[Piece::Bytes(bytes)])
    }

    fn loses(&mut self, direction: Direction, length: u64) -> &mut Self {
        self.offsets[direction as usize] += length;
        self
    }

    fn end(&mut self) -> (Vec<Event>, Totals) {
        let totals = self.decoder.close(0).expect("an open connection");
        self.events.extend_from_slice(self.decoder.events());
        for flow in [totals.request, totals.response] {
            assert_eq!(
                flow.seen,
                flow.accounted(),
                "every byte is accounted for: {flow:?}"
            );
        }
        (std::mem::take(&mut self.events), totals)
    }
}

fn exchange() -> Exchange {
    Exchange::new(Responses::Bytes, false)
}

fn outcomes(events: &[Event]) -> Vec<(Command, Option<Outcome>)> {
    events
        .iter()
        .map(|event| (event.command, event.outcome))
        .collect()
}
