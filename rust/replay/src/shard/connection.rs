//! Batches of requests ↔ one non-blocking connection to the target: writes what the socket takes, frames the answers.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use membench_event::Protocol;
use membench_protocol::binary::parse_response;
use membench_protocol::{ParseError, Response, Status, response};

use crate::clock::{WallClock, monotonic};
use crate::late::Late;
use crate::make::opaque::OpaqueCounter;
use crate::make::request::RequestWriter;
use crate::measure::{Arrival, Measures};
use crate::operation::{Marks, Operation};
use crate::shard::link::Link;
use crate::shard::outstanding::{Intake, NewRequest, Next, Outstanding};
use crate::target::endpoint::Endpoint;

/// Most memory that an idle connection keeps for outgoing requests, bytes.
const KEPT: usize = 256 * 1024;

/// Most reads from a socket in a row. A target that sends without end keeps nothing else from being done.
const READS: usize = 16;

/// Most bytes read from a socket at once.
const INCOMING: usize = 64 * 1024;

/// State that the connections of a shard share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Writer of requests.
    pub(crate) requests: RequestWriter,
    /// Measures of the shard.
    pub(crate) measures: Measures,
    /// Converter of receive stamps.
    pub(crate) wall_clock: WallClock,
    /// Buffer for reads.
    pub(crate) incoming: Vec<u8>,
    /// Monotonic time of the schedule's start, ns.
    pub(crate) start: u64,
    /// Monotonic time of the last write or read, ns.
    pub(crate) acted_at: u64,
}

impl Shared {
    /// Returns the state that answers change.
    fn intake(&mut self) -> Intake<'_> {
        Intake {
            requests: &mut self.requests,
            measures: &mut self.measures,
            arrival: Arrival {
                received: None,
                parsed: monotonic(),
            },
        }
    }

    /// Counts the requests made of `operations` as not sent, for this cause.
    pub(crate) fn refuse(&mut self, operations: &[Operation], cause: &'static str) {
        let elapsed = monotonic().saturating_sub(self.start);
        self.measures
            .refuse(operations, cause, elapsed, self.requests.templates());
    }

    /// Makes the shared state of a shard; `start` is set when the run starts.
    pub(crate) fn new(requests: RequestWriter, late: Late) -> Self {
        Self {
            requests,
            measures: Measures::new(late),
            wall_clock: WallClock::new(),
            incoming: vec![0; INCOMING],
            start: 0,
            acted_at: 0,
        }
    }
}

/// State of a connection after an action on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum State {
    /// The connection is in use, or being made.
    Open,
    /// The connection is in use, and more has arrived than was read.
    More,
    /// The target closed the connection, or it failed.
    Lost,
}

/// Value of which some bytes are still to come.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Bytes still to come, with the line ending; in the binary protocol, the rest of the body.
    left: u64,
    /// True if the end of the value completes the request.
    completes: bool,
}

/// Connection to the target.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    /// Bytes of requests; the kernel has taken those before `taken`.
    outgoing: Vec<u8>,
    /// Number of bytes at the start of `outgoing` that the kernel has taken.
    taken: usize,
    /// Bytes handed to the kernel over the life of the connection.
    written: u64,
    /// Start of a line or binary header whose end is still to come.
    partial: Vec<u8>,
    /// Value that is arriving.
    value: Option<Value>,
    /// Requests that await their answers.
    pub(crate) outstanding: Outstanding,
    /// Batches that compare with a cas value which an answer still to come may hold, and all later batches.
    deferred: VecDeque<Operation>,
    opaques: OpaqueCounter,
    /// Protocol of the last request, by which answers are framed. A connection speaks the binary protocol or the
    /// others, never both.
    protocol: Protocol,
    /// True if the connection is to be closed once nothing is due on it.
    pub(crate) closing: bool,
}

impl Connection {
    /// Starts to connect to `endpoint`. With `stamped`, asks the kernel to stamp what it receives.
    pub(crate) fn open(endpoint: &Endpoint, stamped: bool) -> io::Result<Self> {
        Ok(Self {
            link: Link::open(endpoint, stamped)?,
            outgoing: Vec::new(),
            taken: 0,
            written: 0,
            partial: Vec::new(),
            value: None,
            outstanding: Outstanding::default(),
            opaques: OpaqueCounter::default(),
            protocol: Protocol::Text,
            deferred: VecDeque::new(),
            closing: false,
        })
    }

    /// Returns the socket, for polling.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.link.socket()
    }

    /// Returns the number of bytes that wait for room in the socket.
    pub(crate) fn unwritten(&self) -> usize {
        self.outgoing.len() - self.taken
    }

    /// True if the connection takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        self.link.is_ready()
    }

    /// Returns the number of operations that wait for the answer to an earlier one.
    pub(crate) fn deferred(&self) -> usize {
        self.deferred.len()
    }

    /// Sends the requests of one batch. Defers it if it compares with a cas value that an answer still to come may
    /// hold, or if an earlier batch is deferred.
    pub(crate) fn send_batch(&mut self, batch: &[Operation], shared: &mut Shared) -> State {
        if self.deferred.is_empty() {
            if !self.lacks_cas(batch) {
                return self.send_now(batch, shared);
            }
            self.outstanding.settle_certain(&mut shared.intake());
            if !self.lacks_cas(batch) {
                return self.send_now(batch, shared);
            }
        }
        self.deferred.extend(batch);
        State::Open
    }

    /// True if the batch compares with a cas value that an answer still to come may hold.
    fn lacks_cas(&self, batch: &[Operation]) -> bool {
        let mut compared = batch
            .iter()
            .filter(|operation| operation.marks.has(Marks::CAS_SENT));
        compared.any(|operation| self.outstanding.awaits_cas(operation.cas))
    }

    /// Sends deferred batches up to the first that still lacks a cas value.
    fn send_deferred(&mut self, shared: &mut Shared) -> State {
        if !self.deferred.is_empty() {
            self.outstanding.settle_certain(&mut shared.intake());
        }
        let continues = |operation: &&Operation| operation.marks.has(Marks::BATCH_CONTINUES);
        while !self.deferred.is_empty() {
            let others = self.deferred.iter().take_while(continues).count();
            let end = (others + 1).min(self.deferred.len());
            let batch: Vec<Operation> = self.deferred.range(..end).copied().collect();
            if self.lacks_cas(&batch) {
                return State::Open;
            }
            self.deferred.drain(..end);
            if self.send_now(&batch, shared) == State::Lost {
                return State::Lost;
            }
        }
        State::Open
    }

    /// Counts everything still due an answer as unanswered, and everything still to be sent as unsent, for this cause.
    pub(crate) fn abandon(&mut self, cause: &'static str, shared: &mut Shared) {
        let mut intake = shared.intake();
        // Nothing was received up to now, by the kernel neither.
        intake.arrival.received = self.link.is_stamped().then_some(intake.arrival.parsed);
        self.outstanding.abandon(cause, self.written, &mut intake);
        shared.refuse(self.deferred.make_contiguous(), cause);
        self.deferred.clear();
    }

    /// Appends the requests of a batch to the outgoing bytes, and writes those unless earlier ones wait for room.
    fn send_now(&mut self, batch: &[Operation], shared: &mut Shared) -> State {
        let waiting = self.unwritten() > 0;
        for request in batch.chunk_by(|operation, _| operation.marks.has(Marks::REQUEST_CONTINUES))
        {
            let Some(first) = request.first() else {
                continue;
            };
            self.protocol = first.protocol;
            let opaque = self.opaques.next(first.opaque_size);
            shared.requests.append(&mut self.outgoing, request, opaque);
            let end = self.written + self.unwritten() as u64;
            let request = NewRequest {
                operations: request,
                start: shared.start,
                end,
                opaque,
            };
            self.outstanding.push(request, shared.requests.templates());
        }
        if waiting || !self.link.is_ready() {
            return State::Open;
        }
        self.write(shared)
    }

    /// Handles a socket that has room to write, or whose connection was made or failed.
    pub(crate) fn writable(&mut self, shared: &mut Shared) -> State {
        if !self.link.is_ready() {
            match self.link.advance() {
                Ok(true) => shared.measures.counts.signed_in(self.link.sign_in_size()),
                Ok(false) => return State::Open,
                Err(_) => return State::Lost,
            }
        }
        if self.unwritten() == 0 {
            return State::Open;
        }
        self.write(shared)
    }

    /// Writes outgoing bytes until the socket is full, and stamps the requests that are out.
    fn write(&mut self, shared: &mut Shared) -> State {
        while self.taken < self.outgoing.len() {
            let now = monotonic();
            shared.acted_at = now;
            match self.link.send(&self.outgoing[self.taken..]) {
                Ok(sent) => {
                    self.taken += sent;
                    self.written += sent as u64;
                    shared.measures.counts.bytes_written += sent as u64;
                    self.outstanding
                        .stamp_sent(self.written, now, &mut shared.measures);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return State::Lost,
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(KEPT);
        self.taken = 0;
        State::Open
    }

    /// Reads the answers that have arrived, [`READS`] times at most; with `hangup`, reads to the end of the stream.
    pub(crate) fn readable(&mut self, hangup: bool, shared: &mut Shared) -> State {
        if !self.link.is_ready() {
            match self.writable(shared) {
                State::Open if self.link.is_ready() => {}
                other => return other,
            }
        }
        for _ in 0..READS {
            let Shared {
                requests,
                measures,
                wall_clock,
                incoming,
                start: _,
                acted_at,
            } = &mut *shared;
            let (length, stamp) = match self.link.receive(incoming) {
                Ok((0, _)) => return State::Lost,
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return State::Lost,
            };
            let now = monotonic();
            *acted_at = now;
            let arrival = Arrival {
                received: stamp.map(|stamp| wall_clock.monotonic(stamp, now)),
                parsed: now,
            };
            measures.counts.bytes_read += length as u64;
            let more = hangup || length == incoming.len() || self.link.keeps_bytes();
            let mut intake = Intake {
                requests,
                measures,
                arrival,
            };
            if self.feed(&incoming[..length], &mut intake).is_err() {
                return State::Lost;
            }
            if self.send_deferred(shared) == State::Lost {
                return State::Lost;
            }
            if !more {
                return State::Open;
            }
        }
        State::More
    }

    /// Takes the bytes of one read: values, lines and binary headers in turn.
    fn feed(&mut self, mut bytes: &[u8], intake: &mut Intake<'_>) -> Result<(), ParseError> {
        while !bytes.is_empty() {
            let taken = match self.value {
                Some(value) => self.skip_value(value, bytes.len(), intake),
                None if self.protocol == Protocol::Binary => self.feed_message(bytes, intake)?,
                None if self.partial.is_empty() => self.feed_line(bytes, intake)?,
                None => self.join_line(bytes, intake)?,
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Skips a value, or the part of it in the next `length` bytes; returns the number of bytes skipped.
    fn skip_value(&mut self, mut value: Value, length: usize, intake: &mut Intake<'_>) -> usize {
        let taken = usize::try_from(value.left)
            .unwrap_or(usize::MAX)
            .min(length);
        value.left -= taken as u64;
        if value.left > 0 {
            self.value = Some(value);
            return taken;
        }
        self.value = None;
        if value.completes {
            self.outstanding.complete(intake.measures, intake.arrival);
        }
        taken
    }

    /// Takes a line, or keeps its start; returns the number of bytes taken.
    fn feed_line(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, ParseError> {
        let Status::Complete { value, consumed } = response::parse(bytes)? else {
            self.partial.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        self.take_answer(&value, intake);
        Ok(consumed)
    }

    /// Hands a line or header to its request.
    fn take_answer(&mut self, response: &Response<'_>, intake: &mut Intake<'_>) {
        if let Next::Value { left, completes } = self.outstanding.answer(response, intake) {
            self.value = Some(Value { left, completes });
        }
    }

    /// Completes a line whose start came in an earlier read; returns the number of bytes taken.
    fn join_line(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, ParseError> {
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(&bytes[..taken]);
        self.feed_line(&line, intake)?;
        if self.partial.is_empty() {
            line.clear();
            self.partial = line;
        }
        Ok(taken)
    }

    /// Takes header, extras and key of a binary answer, or keeps their start; returns the number of bytes taken.
    fn feed_message(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, ParseError> {
        if self.partial.is_empty() {
            return self.take_message(bytes, intake);
        }
        let held = self.partial.len();
        let mut message = std::mem::take(&mut self.partial);
        message.extend_from_slice(bytes);
        let taken = self.take_message(&message, intake)?;
        if self.partial.is_empty() {
            message.clear();
            self.partial = message;
        }
        Ok(taken - held)
    }

    /// Takes a binary answer that starts with `bytes`, or keeps them if its header, extras or key are incomplete.
    fn take_message(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, ParseError> {
        match parse_response(bytes)? {
            Status::Complete { value, consumed } => {
                self.take_answer(&Response::Binary(value), intake);
                Ok(consumed)
            }
            Status::Partial => {
                self.partial.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}
