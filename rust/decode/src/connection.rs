//! One connection's segments → events and byte counts: two streams and the requests open between them.

use membench_event::{Direction, Piece, Segment};

use super::context::Context;
use super::pairing::Pairing;
use super::pipelining::{ClientSend, Pipelining};
use super::requests::{Read, RequestStream};
use super::responses::ResponseStream;
use super::send_lengths::Sends;
use super::turn::Turn;
use super::unread::Unread;
use super::{Responses, Totals};

/// Rule that places the barriers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barriers {
    /// At every read by the server that does not continue an earlier one.
    Reads,
    /// At request segments that the source announces; true if the next one is.
    Announced(bool),
}

/// Decodes the segments of one connection.
pub(super) struct Connection {
    server: u32,
    requests: RequestStream,
    responses: ResponseStream,
    pairing: Pairing,
    sends: Sends,
    /// Offset after the last request byte pushed.
    request_end: u64,
    /// Offset after the last response byte pushed.
    response_end: u64,
    /// Ordinal of the server's last read; `None` before the first.
    batch: Option<u32>,
    /// Call number of that read, from its segment.
    call: u32,
    /// True if the server may read again after that read before it answers.
    reads_on: bool,
    /// If the source watches clients: what this client's sends prove about earlier answers.
    pipelining: Pipelining,
    barriers: Barriers,
    /// True once a read was skipped because the source is detaching: later responses may answer it.
    is_cut: bool,
    unread: Unread,
    totals: Totals,
}

impl Connection {
    pub(super) fn new(ordinal: u32, mid_stream: bool, barriers: Barriers) -> Self {
        Self {
            server: 0,
            requests: RequestStream::new(ordinal, mid_stream),
            responses: ResponseStream::new(mid_stream),
            pairing: Pairing::default(),
            sends: Sends::default(),
            request_end: 0,
            response_end: 0,
            batch: None,
            call: 0,
            reads_on: false,
            pipelining: Pipelining::new(mid_stream),
            barriers,
            is_cut: false,
            unread: Unread::default(),
            totals: Totals::default(),
        }
    }

    /// Creates the connection of one datagram, whose first request and first read have these ordinals.
    pub(super) fn for_datagram(ordinal: u32, requests: u32, batches: u32) -> Self {
        let mut connection = Self::new(ordinal, false, Barriers::Reads);
        connection.requests.count_from(requests);
        connection.batch = Some(batches.wrapping_sub(1));
        connection.call = u32::MAX;
        connection
    }

    /// Ordinal of the next request.
    pub(super) fn next_request(&self) -> u32 {
        self.requests.next_request()
    }

    /// Gives up responses until the next barrier after an unknown number of their bytes was lost.
    pub(super) fn lose_responses(&mut self, context: &mut Context) {
        self.sends.clear();
        self.responses.lose(&mut self.totals.response);
        self.pairing.lose(context, &mut self.totals);
    }

    /// Closes the connection after all due responses were sent: quiet requests still open were not answered.
    pub(super) fn finish(mut self: Box<Self>, context: &mut Context) -> Totals {
        self.sends.settle(context, &mut self.pairing);
        self.pairing.barrier(context, &mut self.totals);
        self.close(context)
    }

    /// Offset after the last byte pushed in this direction.
    pub(super) fn end(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Request => self.request_end,
            Direction::Response => self.response_end,
        }
    }

    /// Sets the offset at which a direction begins.
    pub(super) fn begin_at(&mut self, direction: Direction, offset: u64) {
        match direction {
            Direction::Request => self.request_end = offset,
            Direction::Response => self.response_end = offset,
        }
    }

    /// Counts bytes after the last one pushed, for which no call was seen.
    pub(super) fn miss(&mut self, context: &mut Context, direction: Direction, bytes: u64) {
        match direction {
            Direction::Request => {
                self.request_end += bytes;
                self.request_gap(context, bytes, true);
            }
            Direction::Response => {
                self.response_end += bytes;
                self.response_gap(context, bytes, true);
            }
        }
    }

    pub(super) fn assign(&mut self, server: u32) {
        self.server = server;
        self.requests.assign(server);
        self.responses.assign(server);
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes a read by the server: frames its requests and opens them. Returns the size of the gap before it.
    pub(super) fn request(
        &mut self,
        context: &mut Context,
        segment: &Segment<'_>,
        missed: bool,
    ) -> u64 {
        let length = segment.length();
        let gap = segment.offset.saturating_sub(self.request_end);
        self.request_end = segment.offset + length;
        if gap > 0 {
            self.request_gap(context, gap, missed);
        }
        if context.is_detaching {
            self.is_cut = true;
            self.totals.request.seen += length;
            self.totals.request.boundary += length;
            return gap;
        }
        let first_of_call = self.batch.is_none() || self.call != segment.call;
        if first_of_call {
            self.batch = Some(self.batch.map_or(0, |batch| batch.wrapping_add(1)));
            self.call = segment.call;
        }
        let read = Read {
            time: segment.time,
            arrival: segment.arrival,
            batch: self.batch.unwrap_or(0),
            dialect: context.dialect(self.server),
        };
        let is_barrier = first_of_call && self.barrier_is_due();
        let mut may_be_barrier = is_barrier;
        if first_of_call {
            self.reads_on = segment.filled && self.fills_request_buffer(segment);
        }
        for piece in segment.pieces {
            self.request_piece(context, *piece, read, may_be_barrier);
            may_be_barrier = false;
        }
        // memcached reads on only to gather a long line; the binary protocol has none.
        self.reads_on &= !self.requests.is_binary();
        self.totals.request.seen += length;
        self.recognize(context, segment, is_barrier);
        gap
    }

    /// Tells bytes that no connection's start explains from those at a start in the middle: TLS, and other protocols.
    fn recognize(&mut self, context: &mut Context, segment: &Segment<'_>, at_barrier: bool) {
        if self.unread.examine(segment, self.requests.at_start()) {
            self.totals.tls_connections += 1;
            self.requests.refuse(&mut self.totals.request);
            self.responses.end_start(&mut self.totals.response);
            self.give_up_responses(context);
            return;
        }
        let (no_request, no_answer) = (self.requests.at_start(), self.responses.at_start());
        if !no_request && !no_answer {
            return;
        }
        self.unread
            .note(segment.direction, at_barrier && !context.client_side);
        if self.unread.has_lasted() || no_request && self.unread.has_passed_a_request() {
            self.requests.end_start(&mut self.totals.request);
            self.responses.end_start(&mut self.totals.response);
        }
    }

    fn barrier_is_due(&mut self) -> bool {
        match &mut self.barriers {
            Barriers::Reads => !self.reads_on,
            Barriers::Announced(next) => std::mem::take(next),
        }
    }

    /// Makes the next request segment a barrier.
    pub(super) fn expect_barrier(&mut self) {
        self.barriers = Barriers::Announced(true);
    }

    /// True if both streams are framed and responses are being paired.
    pub(super) fn paired(&self) -> bool {
        let framed = self.requests.synced() || self.requests.closed();
        framed && self.responses.synced() && !self.pairing.suspended()
    }

    /// True if every request was answered and no message is incomplete.
    pub(super) fn settled(&self) -> bool {
        self.paired()
            && self.pairing.len() == 0
            && self.requests.between_requests()
            && self.responses.between_responses()
    }

    /// True if a response is due.
    pub(super) fn owes(&self) -> bool {
        self.pairing.owes()
    }

    /// Number of requests that await their response.
    pub(super) fn open_requests(&self) -> usize {
        self.pairing.len()
    }

    /// Gives up responses until the next barrier: open requests and those before the barrier get no outcome.
    pub(super) fn give_up_responses(&mut self, context: &mut Context) {
        self.responses.lose(&mut self.totals.response);
        self.pairing.lose(context, &mut self.totals);
    }

    /// True if a read that filled its buffer filled memcached's request buffer. memcached then reads again before it
    /// answers.
    ///
    /// A read inside a value fills the value's own item instead and ends where the value ends, unless the read before
    /// it already filled the request buffer: this one continues it, whatever it holds. In a stream that is lost, a
    /// length that is a power of two identifies the request buffer.
    fn fills_request_buffer(&self, segment: &Segment<'_>) -> bool {
        if self.requests.synced() {
            self.reads_on || !self.requests.in_value()
        } else {
            segment.length().is_power_of_two()
        }
    }

    fn request_piece(
        &mut self,
        context: &mut Context,
        piece: Piece<'_>,
        read: Read,
        may_be_barrier: bool,
    ) {
        if may_be_barrier && !self.requests.in_value() {
            self.start_call(context, piece);
        }
        let mut turn = Turn {
            context,
            pairing: &mut self.pairing,
            totals: &mut self.totals,
            at: read,
        };
        let framed = match piece {
            Piece::Bytes(bytes) => {
                self.requests.feed(&mut turn, bytes);
                true
            }
            Piece::Hole(length) => self.requests.skip(&mut turn, u64::from(length)),
        };
        if !framed {
            self.lose_requests(context);
        }
    }

    /// Decides at the start of a call, where no value is incomplete, if the call is a barrier.
    fn start_call(&mut self, context: &mut Context, piece: Piece<'_>) {
        if !context.client_side {
            return self.barrier(context, piece);
        }
        let synced = self.requests.synced() && !self.pairing.suspended();
        let waiting = self.requests.between_requests() && self.pairing.owes();
        match self.pipelining.observe(synced, waiting) {
            ClientSend::Ordinary => {}
            ClientSend::Barrier => self.barrier(context, piece),
            ClientSend::Unpairable => {
                self.give_up_responses(context);
                if let (false, Piece::Bytes(bytes)) = (self.requests.synced(), piece) {
                    self.requests.sync_at_start(bytes);
                }
            }
        }
    }

    /// Finishes open requests and restarts pairing: the server reads again outside a value, so it has sent every due
    /// response.
    fn barrier(&mut self, context: &mut Context, piece: Piece<'_>) {
        self.sends.settle(context, &mut self.pairing);
        self.pairing.barrier(context, &mut self.totals);
        if !self.requests.synced() {
            let Piece::Bytes(bytes) = piece else { return };
            if !self.requests.sync_at_start(bytes) {
                return;
            }
            self.totals.resyncs += u32::from(!self.responses.at_start());
        }
        self.pairing.resume();
        self.responses.resume(&mut self.totals.response);
    }

    fn request_gap(&mut self, context: &mut Context, gap: u64, missed: bool) {
        let flow = &mut self.totals.request;
        if missed {
            flow.missed += gap;
        } else {
            flow.seen += gap;
            flow.not_decoded += gap;
        }
        if !self.requests.skip_lost(gap) {
            self.lose_requests(context);
        }
    }

    /// Gives up both streams after request bytes were lost: responses to lost requests cannot be told from responses to
    /// open ones.
    fn lose_requests(&mut self, context: &mut Context) {
        self.requests.lose(&mut self.totals.request);
        self.responses.lose(&mut self.totals.response);
        self.pairing.lose(context, &mut self.totals);
        self.sends.clear();
    }

    /// Takes a send by the server: settles the requests it answers. Returns the size of the gap before it.
    pub(super) fn response(
        &mut self,
        context: &mut Context,
        segment: &Segment<'_>,
        missed: bool,
    ) -> u64 {
        let length = segment.length();
        let gap = segment.offset.saturating_sub(self.response_end);
        self.response_end = segment.offset + length;
        self.totals.response.seen += length;
        if self.is_cut {
            if gap > 0 {
                self.response_gap(context, gap, missed);
            }
            self.totals.response.boundary += length;
            return gap;
        }
        if self.batch.is_none() {
            self.responses.note_refusal(context, segment.pieces);
            self.totals.response.seen += gap;
            self.totals.response.boundary += gap + length;
            return gap;
        }
        if gap > 0 {
            self.response_gap(context, gap, missed);
        }
        if context.responses == Responses::Lengths {
            self.totals.response.parsed += length;
            self.sends.push(context, &mut self.pairing, segment);
            self.recognize(context, segment, false);
            return gap;
        }
        self.responses.follow(self.requests.is_binary());
        let mut turn = Turn {
            context,
            pairing: &mut self.pairing,
            totals: &mut self.totals,
            at: segment.time,
        };
        for piece in segment.pieces {
            self.responses.feed(&mut turn, *piece);
        }
        self.recognize(context, segment, false);
        gap
    }

    fn response_gap(&mut self, context: &mut Context, gap: u64, missed: bool) {
        let flow = &mut self.totals.response;
        if missed {
            flow.missed += gap;
        } else {
            flow.seen += gap;
            flow.not_decoded += gap;
        }
        self.sends.clear();
        if !self.responses.skip_lost(gap) {
            self.responses.lose(&mut self.totals.response);
            self.pairing.lose(context, &mut self.totals);
        }
    }

    /// Counts the bytes from the last one pushed up to `end` as seen by the source and lost.
    pub(super) fn lose_tail(&mut self, context: &Context, direction: Direction, end: u64) -> u64 {
        if direction == Direction::Response && context.responses == Responses::None {
            return 0;
        }
        let (known, flow) = match direction {
            Direction::Request => (&mut self.request_end, &mut self.totals.request),
            Direction::Response => (&mut self.response_end, &mut self.totals.response),
        };
        let lost = end.saturating_sub(*known);
        flow.seen += lost;
        flow.not_decoded += lost;
        *known += lost;
        lost
    }

    /// Settles open requests after the server has read the connection's end. Inside a value it has not sent the answers
    /// to the requests before.
    pub(super) fn settle_rest(&mut self, context: &mut Context) {
        let has_answered = self.barriers == Barriers::Reads
            && !context.client_side
            && !self.reads_on
            && !self.requests.in_value();
        if has_answered && context.responses == Responses::Bytes {
            self.pairing.settle_rest(context);
        }
    }

    /// Closes the connection: incomplete messages are boundary, open requests get no outcome.
    pub(super) fn close(mut self: Box<Self>, context: &mut Context) -> Totals {
        self.sends.settle(context, &mut self.pairing);
        self.pairing.end(context);
        self.requests.end(&mut self.totals.request);
        self.responses.end(&mut self.totals.response);
        self.totals
    }
}
