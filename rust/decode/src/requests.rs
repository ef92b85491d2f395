//! A connection's request bytes → open requests: framing, values skipped by length, resynchronization after a loss.

use membench_protocol::binary::{self, HEADER_SIZE, REQUEST_MAGIC};
use membench_protocol::request::{self, Request};
use membench_protocol::{Dialect, Status, may_grow};

use membench_event::{Event, Flow};

use super::open_requests::Open;
use super::resync::{begins_request, begins_whole_message};
use super::turn::Turn;

/// Longest incomplete request line kept, bytes. memcached itself keeps reading only for `get` and `gets`.
const LONGEST_LINE: usize = 4 << 20;

/// A line that memcached answers with `ERROR`.
const BAD_VERB: &[u8] = b"?\r\n";

/// One read by the server, or one send if the source watches the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Return of the call, ns.
    pub(super) time: u64,
    /// Arrival of its bytes, ns; `None` if the source does not know.
    pub(super) arrival: Option<u64>,
    /// Ordinal of the read on its connection.
    pub(super) batch: u32,
    /// Dialect in which the server parses lines; `None` until its version is known.
    pub(super) dialect: Option<Dialect>,
}

/// The part of a request that the next byte belongs to.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a connection; a box would be allocated for every value read"
)]
enum Framing {
    /// A request line, or a binary header with extras and key.
    Line,
    /// The value of `Unfinished`: this many bytes are left, the line end included.
    Value(u64, Unfinished),
    /// Unknown after a loss: searching for the start of a request.
    Lost,
    /// A stream that memcached stops reading: its line is too long.
    Foreign,
    /// memcached closes the connection. The rest of the read with this ordinal is not looked at.
    Closed(u32),
}

/// The encoding of a connection. memcached and the decoder both take it from the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Unknown,
    /// Text and meta.
    Lines,
    Binary,
}

/// A request whose value is being read.
#[derive(Debug)]
struct Unfinished {
    open: Open,
    event: Event,
    /// Bytes of the line, or of header, extras and key.
    line: u64,
    /// Bytes of the value read so far.
    value: u64,
}

/// Frames the requests of one connection.
#[derive(Debug)]
pub(super) struct RequestStream {
    connection: u32,
    server: u32,
    framing: Framing,
    encoding: Encoding,
    /// Start of an incomplete line or message.
    line: Vec<u8>,
    /// The read in which the current request started.
    started: Option<Read>,
    next_request: u32,
    /// True until a stream opened midway frames its first request: bytes before that are boundary, not loss.
    at_start: bool,
}

impl RequestStream {
    pub(super) fn new(connection: u32, mid_stream: bool) -> Self {
        let framing = if mid_stream {
            Framing::Lost
        } else {
            Framing::Line
        };
        Self {
            connection,
            server: 0,
            framing,
            encoding: Encoding::Unknown,
            line: Vec::new(),
            started: None,
            next_request: 0,
            at_start: mid_stream,
        }
    }

    /// Assigns the connection to a server.
    pub(super) fn assign(&mut self, server: u32) {
        self.server = server;
    }

    /// Numbers the next request `request`.
    pub(super) fn count_from(&mut self, request: u32) {
        self.next_request = request;
    }

    /// Ordinal of the next request.
    pub(super) fn next_request(&self) -> u32 {
        self.next_request
    }

    /// True if the next byte belongs to a value: memcached then reads again without having answered.
    pub(super) fn in_value(&self) -> bool {
        matches!(self.framing, Framing::Value(..))
    }

    /// True if the next byte starts a request: none is incomplete.
    pub(super) fn between_requests(&self) -> bool {
        matches!(self.framing, Framing::Line | Framing::Closed(_)) && self.line.is_empty()
    }

    /// True if memcached closes the connection after a request that it has read.
    pub(super) fn closed(&self) -> bool {
        matches!(self.framing, Framing::Closed(_))
    }

    /// True if the stream is framed: the decoder knows what the next byte belongs to.
    pub(super) fn synced(&self) -> bool {
        matches!(self.framing, Framing::Line | Framing::Value(..))
    }

    /// True if the connection uses the binary protocol.
    pub(super) fn is_binary(&self) -> bool {
        self.encoding == Encoding::Binary
    }

    /// Tries to resynchronize a lost stream at the start of a read, where memcached mostly finds the start of a
    /// request. Returns true if `bytes` start with one.
    pub(super) fn sync_at_start(&mut self, bytes: &[u8]) -> bool {
        if !matches!(self.framing, Framing::Lost | Framing::Closed(_)) {
            return false;
        }
        let Some(encoding) = self.encoding_at(bytes) else {
            return false;
        };
        self.framing = Framing::Line;
        self.encoding = encoding;
        self.at_start = false;
        true
    }

    /// Encoding of the request at the start of `bytes`; `None` if no request starts there.
    fn encoding_at(&self, bytes: &[u8]) -> Option<Encoding> {
        if self.encoding != Encoding::Binary && begins_request(bytes, true) {
            return Some(Encoding::Lines);
        }
        let is_binary = self.encoding != Encoding::Lines && binary::begins_request(bytes, true);
        is_binary.then_some(Encoding::Binary)
    }

    /// Frames bytes and opens every request that they complete.
    pub(super) fn feed(&mut self, turn: &mut Turn<'_, Read>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &self.framing {
                Framing::Line => self.feed_message_or_line(turn, bytes),
                Framing::Value(left, _) => {
                    let taken = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    self.advance_value(turn, taken as u64);
                    taken
                }
                Framing::Lost => self.resync(turn, bytes),
                Framing::Closed(batch) if *batch == turn.at.batch => {
                    turn.totals.request.boundary += bytes.len() as u64;
                    bytes.len()
                }
                Framing::Closed(_) => {
                    self.framing = Framing::Lost;
                    0
                }
                Framing::Foreign => {
                    turn.totals.request.unsynced += bytes.len() as u64;
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    fn feed_message_or_line(&mut self, turn: &mut Turn<'_, Read>, bytes: &[u8]) -> usize {
        if self.encoding == Encoding::Unknown {
            self.encoding = match bytes.first() {
                Some(&REQUEST_MAGIC) => Encoding::Binary,
                _ => Encoding::Lines,
            };
        }
        if self.is_binary() {
            self.feed_message(turn, bytes)
        } else {
            self.feed_line(turn, bytes)
        }
    }

    /// Takes one line or the start of one. Returns the number of bytes taken.
    fn feed_line(&mut self, turn: &mut Turn<'_, Read>, bytes: &[u8]) -> usize {
        if self.line.is_empty() {
            self.started = Some(turn.at);
            return match &parse_line(bytes, turn.at.dialect) {
                Status::Complete { value, consumed } => {
                    self.take_line(turn, bytes, value, *consumed);
                    *consumed
                }
                Status::Partial => self.keep_line(bytes, &mut turn.totals.request),
            };
        }
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
        if bytes[taken - 1] != b'\n' {
            return self.keep_line(&bytes[..taken], &mut turn.totals.request);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&bytes[..taken]);
        match &parse_line(&line, turn.at.dialect) {
            Status::Complete { value, consumed } => self.take_line(turn, &line, value, *consumed),
            Status::Partial => turn.totals.request.truncated += line.len() as u64,
        }
        line.clear();
        self.line = line;
        taken
    }

    /// Takes a complete line. Gives up the stream until the next read if the server's version is unknown and versions
    /// disagree on what follows this line.
    fn take_line(
        &mut self,
        turn: &mut Turn<'_, Read>,
        line: &[u8],
        request: &Request<'_>,
        consumed: usize,
    ) {
        if turn.at.dialect.is_some() || !request::is_disputed(line, request) {
            self.start_request(turn, request, consumed);
            if request.closes {
                self.framing = Framing::Closed(turn.at.batch);
            }
            return;
        }
        log::debug!(
            "connection {}: its memcached's version is unknown, and versions differ on a refused line",
            self.connection
        );
        *self.lost_bytes(&mut turn.totals.request) += consumed as u64;
        self.started = None;
        self.framing = Framing::Lost;
        turn.pairing.suspend();
    }

    /// Keeps the start of a line as long as memcached would. Returns the number of bytes taken.
    fn keep_line(&mut self, bytes: &[u8], flow: &mut Flow) -> usize {
        self.line.extend_from_slice(bytes);
        if self.line.len() > LONGEST_LINE || !may_grow(&self.line) {
            flow.boundary += self.line.len() as u64;
            self.line = Vec::new();
            self.framing = Framing::Foreign;
        }
        bytes.len()
    }

    /// Takes header, extras and key of a binary request, or the start of them. Returns the number of bytes taken.
    fn feed_message(&mut self, turn: &mut Turn<'_, Read>, bytes: &[u8]) -> usize {
        if self.line.is_empty() {
            self.started = Some(turn.at);
            return self.take_message(turn, bytes);
        }
        let held = self.line.len();
        let missing = missing_bytes(&self.line).min(bytes.len());
        let mut message = std::mem::take(&mut self.line);
        message.extend_from_slice(&bytes[..missing]);
        let taken = self.take_message(turn, &message);
        if self.line.is_empty() {
            message.clear();
            self.line = message;
        }
        taken - held
    }

    fn take_message(&mut self, turn: &mut Turn<'_, Read>, bytes: &[u8]) -> usize {
        match binary::parse_request(bytes) {
            Ok(Status::Complete { value, consumed }) => {
                self.start_request(turn, &value, consumed);
                if value.closes {
                    self.framing = Framing::Closed(turn.at.batch);
                }
                consumed
            }
            Ok(Status::Partial) => {
                self.line.extend_from_slice(bytes);
                bytes.len()
            }
            Err(error) => {
                log::debug!("connection {}: {error}", self.connection);
                self.framing = Framing::Closed(turn.at.batch);
                turn.totals.request.boundary += bytes.len() as u64;
                bytes.len()
            }
        }
    }

    /// Searches a lost stream for the next request. Returns the number of bytes passed over.
    ///
    /// A line must follow a line end; a binary message must end `bytes` or be followed by another. Responses to
    /// requests skipped in this read cannot be told from those to the rest of it, so pairing stays suspended until the
    /// next barrier.
    fn resync(&mut self, turn: &mut Turn<'_, Read>, bytes: &[u8]) -> usize {
        let found = if self.is_binary() {
            memchr::memchr_iter(REQUEST_MAGIC, bytes)
                .find(|start| begins_whole_message(&bytes[*start..]))
        } else {
            memchr::memchr_iter(b'\n', bytes)
                .map(|newline| newline + 1)
                .find(|start| begins_request(&bytes[*start..], false))
        };
        let passed = found.unwrap_or(bytes.len());
        *self.lost_bytes(&mut turn.totals.request) += passed as u64;
        if found.is_some() {
            self.framing = Framing::Line;
            self.at_start = false;
            turn.pairing.suspend();
        }
        passed
    }

    /// Skips bytes that the source did not keep. Returns false if framing needed them; the caller then gives up the
    /// stream.
    pub(super) fn skip(&mut self, turn: &mut Turn<'_, Read>, length: u64) -> bool {
        match &self.framing {
            Framing::Value(left, _) if length <= *left => {
                self.advance_value(turn, length);
                true
            }
            Framing::Lost | Framing::Foreign | Framing::Closed(_) => {
                *self.lost_bytes(&mut turn.totals.request) += length;
                true
            }
            Framing::Line | Framing::Value(..) => {
                turn.totals.request.truncated += length;
                false
            }
        }
    }

    /// Steps over bytes that the source lost and has already counted. Returns false if framing needed them; the caller
    /// then gives up the stream.
    pub(super) fn skip_lost(&mut self, length: u64) -> bool {
        match &mut self.framing {
            Framing::Value(left, _) if length < *left => {
                *left -= length;
                true
            }
            Framing::Lost | Framing::Foreign | Framing::Closed(_) => true,
            Framing::Line | Framing::Value(..) => false,
        }
    }

    /// True if the stream was opened midway and has not been framed yet.
    pub(super) fn at_start(&self) -> bool {
        self.at_start
    }

    /// Counts all bytes passed over, so far and from now on, as lost: they are not the rest of an older request.
    pub(super) fn end_start(&mut self, flow: &mut Flow) {
        if std::mem::take(&mut self.at_start) {
            flow.unsynced += std::mem::take(&mut flow.boundary);
        }
    }

    /// Stops looking for requests: these bytes are none of memcached's.
    pub(super) fn refuse(&mut self, flow: &mut Flow) {
        self.end_start(flow);
        self.lose(flow);
        self.framing = Framing::Foreign;
    }

    /// Gives up the framing and counts the incomplete request as lost.
    pub(super) fn lose(&mut self, flow: &mut Flow) {
        *self.lost_bytes(flow) += self.incomplete_bytes();
        self.line.clear();
        if !matches!(self.framing, Framing::Foreign) {
            self.framing = Framing::Lost;
        }
    }

    /// Counts the incomplete request at the end of the stream as boundary.
    pub(super) fn end(&mut self, flow: &mut Flow) {
        flow.boundary += self.incomplete_bytes();
    }

    /// Bytes of the current request read so far.
    fn incomplete_bytes(&self) -> u64 {
        let value = match &self.framing {
            Framing::Value(_, unfinished) => unfinished.line + unfinished.value,
            Framing::Line | Framing::Lost | Framing::Foreign | Framing::Closed(_) => 0,
        };
        value + self.line.len() as u64
    }

    /// The term that counts unframed bytes: boundary before the first request, `unsynced` after it.
    fn lost_bytes<'f>(&self, flow: &'f mut Flow) -> &'f mut u64 {
        if self.at_start {
            &mut flow.boundary
        } else {
            &mut flow.unsynced
        }
    }

    /// Opens a request whose line or message is complete, or starts to read its value. `line`: its length, bytes.
    fn start_request(&mut self, turn: &mut Turn<'_, Read>, request: &Request<'_>, line: usize) {
        let started = self.started.take().unwrap_or(turn.at);
        let ordinal = self.next_request;
        self.next_request = ordinal.wrapping_add(1);
        let mut event = turn.context.event(request, started.time);
        let block = request.block_size();
        self.place(&mut event, &started, ordinal, line as u64 + block);
        if request.resets {
            turn.context.resets.insert(self.server);
        }
        let mut open = Open::new(turn.context, request, turn.at.time);
        if turn.at.dialect.is_none() {
            open.asked = open.asked.of_any_release();
        }
        if block > 0 {
            if let Some(key) = request.keys.clone().next() {
                turn.context.set_key(&mut event, &key);
            }
            let unfinished = Unfinished {
                open,
                event,
                line: line as u64,
                value: 0,
            };
            self.framing = Framing::Value(block, unfinished);
            return;
        }
        turn.totals.request.parsed += line as u64;
        turn.pairing
            .open_keys(turn.context, &open, &mut event, request);
    }

    fn advance_value(&mut self, turn: &mut Turn<'_, Read>, length: u64) {
        let Framing::Value(left, unfinished) = &mut self.framing else {
            return;
        };
        *left -= length;
        unfinished.value += length;
        if *left > 0 {
            return;
        }
        turn.totals.request.parsed += unfinished.line;
        turn.totals.request.value_skipped += unfinished.value;
        unfinished.open.completed = turn.at.time;
        turn.pairing
            .open(turn.context, &unfinished.open, &unfinished.event);
        self.framing = Framing::Line;
    }

    /// Sets the event's place in the capture: connection, read, ordinal, size and queue time.
    fn place(&self, event: &mut Event, started: &Read, ordinal: u32, size: u64) {
        event.connection = self.connection;
        event.batch = started.batch;
        event.request = ordinal;
        event.request_size = Some(u32::try_from(size).unwrap_or(u32::MAX));
        let queued = |arrival| started.time.saturating_sub(arrival) / 1000;
        event.queue_time = started.arrival.map(queued);
    }
}

/// Parses the line at the start of `bytes`. The encoding is settled by a connection's first byte, so the binary magic
/// at the start of a later line is a bad verb.
fn parse_line(bytes: &[u8], dialect: Option<Dialect>) -> Status<Request<'_>> {
    request::parse_as(bytes, dialect.unwrap_or_default()).unwrap_or_else(|_| bad_verb(bytes))
}

fn bad_verb(bytes: &[u8]) -> Status<Request<'_>> {
    match (memchr::memchr(b'\n', bytes), request::parse(BAD_VERB)) {
        (Some(newline), Ok(Status::Complete { value, .. })) => Status::Complete {
            value,
            consumed: newline + 1,
        },
        _ => Status::Partial,
    }
}

/// Bytes that an incomplete binary request lacks of its header or, once that is whole, of its extras and key.
fn missing_bytes(start: &[u8]) -> usize {
    let [_, _, key_high, key_low, extras, ..] = *start else {
        return HEADER_SIZE - start.len();
    };
    if start.len() < HEADER_SIZE {
        return HEADER_SIZE - start.len();
    }
    let key = usize::from(u16::from_be_bytes([key_high, key_low]));
    (HEADER_SIZE + usize::from(extras) + key).saturating_sub(start.len())
}
