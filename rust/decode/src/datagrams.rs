//! One peer's UDP datagrams → events: a request is one datagram, and its id identifies the datagrams of its response.

use std::collections::VecDeque;

use smallvec::SmallVec;

use membench_event::{Piece, Segment};

use super::Totals;
use super::connection::Connection;
use super::context::Context;

/// Bytes of the frame header at the start of each datagram.
const FRAME: usize = 8;
/// Most requests of one peer that wait for responses. The second number holds for sources that do not see the server's
/// reads, where only an answer ends a request.
const MOST_OPEN: (usize, usize) = (256, 32);

type Pieces<'a> = SmallVec<[Piece<'a>; 8]>;

/// Frame header: <https://github.com/memcached/memcached/blob/1.6.18/doc/protocol.txt> (UDP protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    id: u16,
    /// Index of the datagram in its message.
    sequence: u16,
    /// Number of datagrams in the message.
    total: u16,
}

/// A request and the datagrams of its response so far.
struct Exchange {
    id: u16,
    connection: Box<Connection>,
    /// Bytes of the response so far.
    end: u64,
    /// Sequence number of the response's next datagram.
    next: u16,
    /// Number of datagrams in the response; 0 before its first.
    total: u16,
}

/// Decodes the datagrams of one peer.
pub(super) struct Datagrams {
    ordinal: u32,
    server: u32,
    /// True if the source does not tell when all answers to a request were sent: an answer ends it.
    without_reads: bool,
    /// Ordinal of the next request.
    requests: u32,
    /// Ordinal of the next read.
    batches: u32,
    /// Open requests, oldest first.
    open: VecDeque<Exchange>,
    totals: Totals,
}

impl Datagrams {
    pub(super) fn new(ordinal: u32, server: u32, without_reads: bool) -> Self {
        Self {
            ordinal,
            server,
            without_reads,
            requests: 0,
            batches: 0,
            open: VecDeque::new(),
            totals: Totals::default(),
        }
    }

    /// Totals of all finished requests; open ones are not included.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes a datagram that memcached read and returns its id.
    ///
    /// Returns `None` for a datagram that memcached drops because it holds no request or is one of several; its bytes
    /// are boundary.
    pub(super) fn request(&mut self, context: &mut Context, segment: &Segment<'_>) -> Option<u16> {
        let flow = &mut self.totals.request;
        let Some((frame, rest)) = split(segment).filter(|(frame, _)| frame.total == 1) else {
            flow.seen += segment.length();
            flow.boundary += segment.length();
            return None;
        };
        flow.seen += FRAME as u64;
        flow.parsed += FRAME as u64;
        if self.without_reads {
            self.give_up(context, frame.id);
        } else {
            self.finish(context, frame.id);
        }
        let most = if self.without_reads {
            MOST_OPEN.1
        } else {
            MOST_OPEN.0
        };
        if self.open.len() >= most
            && let Some(oldest) = self.open.pop_front()
        {
            self.totals.add(&oldest.end(context, self.without_reads));
        }
        let mut connection = Connection::for_datagram(self.ordinal, self.requests, self.batches);
        connection.assign(self.server);
        self.batches = self.batches.wrapping_add(1);
        let payload = Segment {
            offset: 0,
            pieces: &rest,
            ..*segment
        };
        connection.request(context, &payload, false);
        self.requests = connection.next_request();
        self.open.push_back(Exchange {
            id: frame.id,
            connection: Box::new(connection),
            end: 0,
            next: 0,
            total: 0,
        });
        Some(frame.id)
    }

    /// Takes a datagram that memcached sent.
    pub(super) fn response(&mut self, context: &mut Context, segment: &Segment<'_>) {
        let found = split(segment).and_then(|(frame, rest)| {
            let place = self.open.iter().rposition(|one| one.id == frame.id)?;
            Some((frame, rest, place, self.open.get_mut(place)?))
        });
        let Some((frame, rest, place, exchange)) = found else {
            return self.unmatched(segment.length());
        };
        self.totals.response.seen += FRAME as u64;
        self.totals.response.parsed += FRAME as u64;
        exchange.take(context, frame, &rest, segment);
        if self.without_reads && exchange.is_answered() {
            self.end_exchange(context, place);
        }
    }

    fn end_exchange(&mut self, context: &mut Context, place: usize) {
        if let Some(exchange) = self.open.remove(place) {
            self.totals.add(&exchange.end(context, self.without_reads));
        }
    }

    /// Ends the request with an id that its client reuses: the client has stopped waiting, so a missing answer is no
    /// loss.
    fn give_up(&mut self, context: &mut Context, id: u16) {
        if let Some(place) = self.open.iter().position(|one| one.id == id) {
            self.end_exchange(context, place);
        }
    }

    /// Counts a response without an open request: boundary if no request was read yet, else `unsynced`.
    fn unmatched(&mut self, length: u64) {
        let flow = &mut self.totals.response;
        flow.seen += length;
        if self.batches == 0 {
            flow.boundary += length;
        } else {
            flow.unsynced += length;
            self.totals.unmatched += 1;
        }
    }

    /// Finishes the request with this id: all of its answers were sent.
    pub(super) fn finish(&mut self, context: &mut Context, id: u16) {
        let place = self.open.iter().position(|one| one.id == id);
        if let Some(exchange) = place.and_then(|place| self.open.remove(place)) {
            self.totals.add(&exchange.connection.finish(context));
        }
    }

    /// Closes all: open requests get no outcome.
    pub(super) fn close(mut self, context: &mut Context) -> Totals {
        for exchange in self.open.drain(..) {
            self.totals.add(&exchange.end(context, self.without_reads));
        }
        self.totals
    }
}

impl Exchange {
    /// Ends the exchange. A due answer that did not come leaves no outcome.
    fn end(self, context: &mut Context, without_reads: bool) -> Totals {
        if without_reads && !self.connection.owes() {
            self.connection.finish(context)
        } else {
            self.connection.close(context)
        }
    }

    /// True if every answer has come completely.
    fn is_answered(&self) -> bool {
        self.next == self.total && self.connection.settled()
    }

    /// Takes a datagram of the response: `rest` without its frame header.
    fn take(
        &mut self,
        context: &mut Context,
        frame: Frame,
        rest: &[Piece<'_>],
        segment: &Segment<'_>,
    ) {
        // memcached answers each command of a request in datagrams of its own, numbered from 0.
        let is_next = if frame.sequence == 0 {
            self.next == self.total
        } else {
            self.next == frame.sequence && self.total == frame.total
        };
        if !is_next {
            self.connection.lose_responses(context);
        }
        self.next = frame.sequence.wrapping_add(1);
        self.total = frame.total;
        let payload = Segment {
            offset: self.end,
            pieces: rest,
            ..*segment
        };
        self.end += payload.length();
        self.connection.response(context, &payload, false);
    }
}

/// Splits a datagram into frame header and payload. Returns `None` if either is missing or the header has a hole.
fn split<'a>(segment: &Segment<'a>) -> Option<(Frame, Pieces<'a>)> {
    let (mut header, mut filled) = ([0; FRAME], 0);
    let mut rest = Pieces::new();
    for piece in segment.pieces {
        match piece {
            Piece::Bytes(bytes) if filled < FRAME => {
                let (begin, after) = bytes.split_at(bytes.len().min(FRAME - filled));
                header[filled..filled + begin.len()].copy_from_slice(begin);
                filled += begin.len();
                if !after.is_empty() {
                    rest.push(Piece::Bytes(after));
                }
            }
            Piece::Hole(_) if filled < FRAME => return None,
            piece => rest.push(*piece),
        }
    }
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let frame = Frame {
        id: number(0),
        sequence: number(2),
        total: number(4),
    };
    let is_whole = filled == FRAME && segment.offset == 0 && !rest.is_empty();
    is_whole.then_some((frame, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::KeyHasher;
    use crate::{Decoder, Responses};
    use membench_event::{Direction, Outcome};

    struct Peer(Decoder);

    impl Peer {
        fn new() -> Self {
            Self::seen_by(false)
        }

        fn seen_by(client: bool) -> Self {
            let hasher = KeyHasher::random().expect("random bytes");
            let mut decoder = Decoder::new(hasher, Responses::Bytes, 0).client_side(client);
            decoder.open_datagrams(0, 0);
            Self(decoder)
        }

        fn without_reads() -> Self {
            let mut peer = Self::seen_by(false);
            peer.0.open_datagrams_without_reads(0, 0);
            peer
        }

        fn datagram(&mut self, direction: Direction, frame: [u16; 3], text: &str) -> Option<u16> {
            let [id, sequence, total] = frame.map(u16::to_be_bytes);
            let bytes = [&id[..], &sequence, &total, &[0; 2], text.as_bytes()].concat();
            // A client may send its frame header from two buffers.
            let (begin, rest) = bytes.split_at(3);
            let pieces = [Piece::Bytes(begin), Piece::Bytes(rest)];
            let segment = Segment {
                connection: 0,
                direction,
                offset: 0,
                time: 1,
                arrival: None,
                filled: false,
                call: 0,
                pieces: &pieces,
            };
            self.0.push_datagram(&segment)
        }

        fn ask(&mut self, id: u16, text: &str) -> Option<u16> {
            self.datagram(Direction::Request, [id, 0, 1], text)
        }

        fn answer(&mut self, frame: [u16; 3], text: &str) {
            self.datagram(Direction::Response, frame, text);
        }

        fn end(mut self) -> (Vec<Option<Outcome>>, Totals) {
            let totals = self.0.close(0).expect("it was open");
            let outcomes = self.0.events().iter().map(|event| event.outcome).collect();
            (outcomes, totals)
        }
    }

    #[test]
    fn responses_are_paired_by_id_in_any_order() {
        let mut peer = Peer::new();
        assert_eq!(peer.ask(1, "get a\r\n"), Some(1));
        assert_eq!(peer.ask(2, "get b\r\n"), Some(2));
        peer.answer([2, 0, 1], "VALUE b 0 1\r\nx\r\nEND\r\n");
        peer.answer([1, 0, 1], "END\r\n");
        let (outcomes, totals) = peer.end();
        assert_eq!(outcomes, [Some(Outcome::Hit), Some(Outcome::Miss)]);
        assert_eq!((totals.unpaired, totals.unmatched), (0, 0));
        assert_eq!(totals.request.seen, totals.request.accounted());
        assert_eq!(totals.response.seen, totals.response.accounted());
    }

    #[test]
    fn a_response_spans_several_datagrams() {
        let mut peer = Peer::new();
        peer.ask(7, "get a\r\n");
        peer.answer([7, 0, 3], "VALUE a 0 6\r\nab");
        peer.answer([7, 1, 3], "cdef");
        peer.answer([7, 2, 3], "\r\nEND\r\n");
        let (outcomes, totals) = peer.end();
        assert_eq!(outcomes, [Some(Outcome::Hit)]);
        assert_eq!(totals.response.boundary + totals.response.unsynced, 0);
    }

    #[test]
    fn a_lost_datagram_of_a_response_leaves_no_outcome() {
        let mut peer = Peer::new();
        peer.ask(7, "get a b\r\n");
        peer.answer([7, 0, 3], "VALUE a 0 6\r\nab");
        peer.answer([7, 2, 3], "\r\nEND\r\n");
        let (outcomes, totals) = peer.end();
        assert_eq!(outcomes, [Some(Outcome::Hit), None]);
        assert_eq!(totals.unpaired, 1);
        assert_eq!(totals.response.seen, totals.response.accounted());
    }

    #[test]
    fn commands_of_one_datagram_are_answered_one_by_one() {
        let mut peer = Peer::new();
        peer.ask(7, "get a\r\nget b\r\n");
        peer.answer([7, 0, 1], "END\r\n");
        peer.answer([7, 0, 1], "END\r\n");
        assert_eq!(peer.end().0, [Some(Outcome::Miss); 2]);
    }

    #[test]
    fn a_datagram_that_memcached_drops_is_boundary_and_no_request() {
        let mut peer = Peer::new();
        assert_eq!(
            peer.datagram(Direction::Request, [1, 0, 2], "get a\r\n"),
            None
        );
        assert_eq!(peer.ask(2, ""), None);
        peer.answer([3, 0, 1], "END\r\n");
        let (outcomes, totals) = peer.end();
        assert_eq!(outcomes, []);
        assert_eq!(totals.request.boundary, 15 + 8);
        assert_eq!(totals.response.boundary, 13);
    }

    #[test]
    fn a_client_may_be_answered_late_or_never_or_need_no_answer() {
        for peer in [Peer::seen_by(true), Peer::without_reads()] {
            answer_late_or_never(peer);
        }
    }

    fn answer_late_or_never(mut peer: Peer) {
        peer.ask(1, "get a\r\n");
        peer.ask(2, "get b\r\n");
        peer.ask(3, "set c 0 0 1 noreply\r\nx\r\n");
        peer.answer([2, 0, 1], "END\r\n");
        peer.answer([1, 0, 2], "VALUE a 0 1\r\nx\r\n");
        peer.answer([1, 1, 2], "END\r\n");
        peer.ask(4, "get lost\r\n");
        peer.ask(4, "get again\r\n");
        peer.answer([4, 0, 1], "END\r\n");
        let (outcomes, totals) = peer.end();
        // In the order in which they are settled.
        let expected = [
            Some(Outcome::Suppressed),
            Some(Outcome::Miss),
            Some(Outcome::Hit),
            None,
            Some(Outcome::Miss),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!((totals.unpaired, totals.unmatched), (0, 0));
        assert_eq!(totals.request.seen, totals.request.accounted());
        assert_eq!(totals.response.seen, totals.response.accounted());
    }

    #[test]
    fn a_finished_request_without_its_due_answer_is_unpaired() {
        let mut peer = Peer::new();
        peer.ask(1, "get a\r\n");
        peer.0.finish_datagram(0, 1);
        peer.ask(2, "set a 0 0 1 noreply\r\nx\r\n");
        peer.0.finish_datagram(0, 2);
        let (outcomes, totals) = peer.end();
        assert_eq!(outcomes, [None, Some(Outcome::Suppressed)]);
        assert_eq!(totals.unpaired, 1);
    }
}
