//! One connection: two streams and the requests that are open between them.

use membench_event::{Direction, Piece, Segment};

use super::context::Context;
use super::lengths::Sends;
use super::pairing::Pairing;
use super::requests::{Read, RequestStream};
use super::responses::ResponseStream;
use super::turns::{Turn, Turns};
use super::{Responses, Totals};

/// Where a connection's barriers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barriers {
    /// At each of the server's reads that does not continue another.
    Reads,
    /// Where the source says so: whether it does of the next request segment.
    Told(bool),
}

/// Decodes one connection's segments.
pub(super) struct Connection {
    ordinal: u32,
    server: u32,
    requests: RequestStream,
    responses: ResponseStream,
    pairing: Pairing,
    sends: Sends,
    request_end: u64,
    response_end: u64,
    /// Ordinal of the server's read, once there was one.
    batch: Option<u32>,
    /// The source's call number of that read,
    call: u32,
    /// and whether the server may have read on before it answered.
    reads_on: bool,
    /// At a client: how far its sends tell what was answered.
    turns: Turns,
    /// Where barriers are.
    barriers: Barriers,
    /// A read was left out as the source is being detached: what is sent from there on answers it.
    is_cut: bool,
    totals: Totals,
}

impl Connection {
    pub(super) fn new(ordinal: u32, mid_stream: bool, barriers: Barriers) -> Self {
        Self {
            ordinal,
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
            turns: Turns::new(mid_stream),
            barriers,
            is_cut: false,
            totals: Totals::default(),
        }
    }

    /// One datagram's: its requests and its read go on counting from these.
    pub(super) fn of_datagram(ordinal: u32, requests: u32, batches: u32) -> Self {
        let mut connection = Self::new(ordinal, false, Barriers::Reads);
        connection.requests.count_from(requests);
        connection.batch = Some(batches.wrapping_sub(1));
        connection.call = u32::MAX;
        connection
    }

    /// Ordinal of the request that would come next.
    pub(super) fn next_request(&self) -> u32 {
        self.requests.next_request()
    }

    /// Responses were lost, and how many bytes of them is not known here.
    pub(super) fn lose_responses(&mut self, context: &mut Context) {
        self.sends.clear();
        self.responses.lose(&mut self.totals.response);
        self.pairing.lose(context, &mut self.totals);
    }

    /// The end, after everything due was sent.
    pub(super) fn finish(mut self: Box<Self>, context: &mut Context) -> Totals {
        self.sends.settle(context, &mut self.pairing);
        self.pairing.barrier(context, &mut self.totals);
        self.close(context)
    }

    pub(super) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Where a direction's stream ends so far.
    pub(super) fn end(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Request => self.request_end,
            Direction::Response => self.response_end,
        }
    }

    pub(super) fn assign(&mut self, server: u32) {
        self.server = server;
        self.responses.assign(server);
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// A read of the server's: frames requests and opens them.
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
        if context.is_ending {
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
        let mut may_be_barrier = first_of_call && self.barrier_is_due();
        if first_of_call {
            self.reads_on = segment.filled && self.gathers_requests(segment);
        }
        for piece in segment.pieces {
            self.request_piece(context, *piece, &read, may_be_barrier);
            may_be_barrier = false;
        }
        // memcached gathers long lines only.
        self.reads_on &= !self.requests.is_binary();
        self.totals.request.seen += length;
        gap
    }

    fn barrier_is_due(&mut self) -> bool {
        match &mut self.barriers {
            Barriers::Reads => !self.reads_on,
            Barriers::Told(due) => std::mem::take(due),
        }
    }

    /// The next request segment is a barrier.
    pub(super) fn expect_barrier(&mut self) {
        self.barriers = Barriers::Told(true);
    }

    /// Whether responses can be told apart.
    pub(super) fn paired(&self) -> bool {
        self.requests.synced() && self.responses.synced() && !self.pairing.suspended()
    }

    /// Whether nothing is unfinished: every request was answered, whole.
    pub(super) fn settled(&self) -> bool {
        self.paired()
            && self.pairing.len() == 0
            && self.requests.between_requests()
            && self.responses.between_responses()
    }

    /// Whether an answer is due.
    pub(super) fn owes(&self) -> bool {
        self.pairing.owes()
    }

    /// Requests that await their response.
    pub(super) fn open_requests(&self) -> usize {
        self.pairing.len()
    }

    /// What is open stays without outcome, and so does what follows up to the next barrier.
    pub(super) fn give_up_responses(&mut self, context: &mut Context) {
        self.responses.lose(&mut self.totals.response);
        self.pairing.lose(context, &mut self.totals);
    }

    /// Whether a read that filled its buffer is followed by another at once, with nothing answered in between: not the
    /// read of a value into its item, which ends where the value ends; but a read that itself followed so continues
    /// memcached's own buffer, whatever it holds. In a stream that is lost, a power of two tells that buffer.
    fn gathers_requests(&self, segment: &Segment<'_>) -> bool {
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
        read: &Read,
        may_be_barrier: bool,
    ) {
        if may_be_barrier && !self.requests.in_value() {
            self.begin_call(context, piece);
        }
        let flow = &mut self.totals.request;
        match piece {
            Piece::Bytes(bytes) => {
                self.requests
                    .feed(context, bytes, read, flow, &mut self.pairing);
            }
            Piece::Hole(length) => {
                if !self
                    .requests
                    .skip(u64::from(length), read, context, flow, &mut self.pairing)
                {
                    self.lose_requests(context);
                }
            }
        }
    }

    /// A call begins where no value is unfinished.
    fn begin_call(&mut self, context: &mut Context, piece: Piece<'_>) {
        if !context.of_clients {
            return self.barrier(context, piece);
        }
        let synced = self.requests.synced() && !self.pairing.suspended();
        let waiting = self.requests.at_line() && self.pairing.owes();
        match self.turns.sent(synced, waiting) {
            Turn::GoesOn => {}
            Turn::Barrier => self.barrier(context, piece),
            Turn::Unpaired => {
                self.responses.lose(&mut self.totals.response);
                self.pairing.lose(context, &mut self.totals);
                if let (false, Piece::Bytes(bytes)) = (self.requests.synced(), piece) {
                    self.requests.sync_at_start(bytes);
                }
            }
        }
    }

    /// The server reads again and no value is unfinished: everything due was sent.
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

    /// The request stream is lost: what is open cannot be told apart from what was lost.
    fn lose_requests(&mut self, context: &mut Context) {
        self.requests.lose(&mut self.totals.request);
        self.responses.lose(&mut self.totals.response);
        self.pairing.lose(context, &mut self.totals);
        self.sends.clear();
    }

    /// A send of the server's: settles open requests.
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
            return gap;
        }
        self.responses.follow(self.requests.is_binary());
        for piece in segment.pieces {
            self.responses.feed(
                context,
                *piece,
                segment.time,
                &mut self.pairing,
                &mut self.totals,
            );
        }
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

    /// Bytes behind the last one pushed were seen by the source, and lost.
    pub(super) fn lose_tail(&mut self, context: &Context, direction: Direction, end: u64) {
        if direction == Direction::Response && context.responses == Responses::None {
            return;
        }
        let (known, flow) = match direction {
            Direction::Request => (&mut self.request_end, &mut self.totals.request),
            Direction::Response => (&mut self.response_end, &mut self.totals.response),
        };
        let lost = end.saturating_sub(*known);
        flow.seen += lost;
        flow.not_decoded += lost;
        *known += lost;
    }

    /// The end: unfinished messages are boundary, open requests keep no outcome.
    pub(super) fn close(mut self: Box<Self>, context: &mut Context) -> Totals {
        self.sends.settle(context, &mut self.pairing);
        self.pairing.end(context);
        self.requests.end(&mut self.totals.request);
        self.responses.end(&mut self.totals.response);
        self.totals
    }
}
