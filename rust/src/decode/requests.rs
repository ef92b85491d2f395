//! A connection's request bytes → open requests: lines, values, losses and finding the way back.

use membench_protocol::request::{self, Request};
use membench_protocol::{ParseError, Status, may_grow};

use crate::capture::ledger::Flow;
use crate::event::Event;

use super::context::Context;
use super::open::Open;
use super::pairing::Pairing;
use super::start::{begins_binary, begins_request};

/// Longest request line kept while it is incomplete; memcached itself grows only for `get` and `gets`.
const LONGEST_LINE: usize = 4 << 20;

/// A line that memcached answers with `ERROR`.
const BAD_VERB: &[u8] = b"?\r\n";

/// One read of the server's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Its return, ns.
    pub(super) time: u64,
    /// When its bytes had arrived, ns, where known.
    pub(super) arrival: Option<u64>,
    /// Its ordinal on the connection.
    pub(super) batch: u32,
}

/// What the next byte belongs to.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a connection; a box would be allocated for every value read"
)]
enum Framing {
    /// A request line.
    Line,
    /// The value of `Unfinished`, this many bytes with its line end.
    Value(u64, Unfinished),
    /// Nothing known: looking for a request.
    Lost,
    /// A stream that is not the text protocol, or that memcached refuses to go on reading.
    Foreign,
}

/// A request whose value is being read.
#[derive(Debug)]
struct Unfinished {
    open: Open,
    event: Event,
    line: u64,
    value: u64,
}

/// Frames one connection's requests.
#[derive(Debug)]
pub(super) struct RequestStream {
    connection: u32,
    framing: Framing,
    /// Start of a line whose end is not here yet, and the read it began in.
    line: Vec<u8>,
    begun: Option<Read>,
    next_request: u32,
    /// Nothing has been framed yet: what cannot be framed is boundary, not loss.
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
            framing,
            line: Vec::new(),
            begun: None,
            next_request: 0,
            at_start: mid_stream,
        }
    }

    /// Whether the next byte belongs to a value: memcached then reads without having answered.
    pub(super) fn in_value(&self) -> bool {
        matches!(self.framing, Framing::Value(..))
    }

    pub(super) fn synced(&self) -> bool {
        matches!(self.framing, Framing::Line | Framing::Value(..))
    }

    /// Whether no request is unfinished.
    pub(super) fn between_requests(&self) -> bool {
        matches!(self.framing, Framing::Line) && self.line.is_empty()
    }

    /// At the start of a read: memcached mostly reads at the start of a request. True when one stands here.
    pub(super) fn sync_at_start(&mut self, bytes: &[u8]) -> bool {
        if !matches!(self.framing, Framing::Lost) {
            return false;
        }
        let found = begins_request(bytes, true);
        if found || begins_binary(bytes) {
            self.framing = if found {
                Framing::Line
            } else {
                Framing::Foreign
            };
            self.at_start = false;
        }
        found
    }

    /// Frames bytes; complete requests are opened in `pairing`.
    pub(super) fn feed(
        &mut self,
        context: &mut Context,
        mut bytes: &[u8],
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) {
        while !bytes.is_empty() {
            let taken = match &mut self.framing {
                Framing::Line => self.feed_line(context, bytes, read, flow, pairing),
                Framing::Value(left, _) => {
                    let taken = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    self.advance_value(taken as u64, read, context, flow, pairing);
                    taken
                }
                Framing::Lost => self.resync(bytes, flow, pairing),
                Framing::Foreign => {
                    flow.unsynced += bytes.len() as u64;
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Skips bytes that were not kept; false when they were needed.
    pub(super) fn skip(
        &mut self,
        length: u64,
        read: &Read,
        context: &mut Context,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> bool {
        match &self.framing {
            Framing::Value(left, _) if length <= *left => {
                self.advance_value(length, read, context, flow, pairing);
                true
            }
            Framing::Lost | Framing::Foreign => {
                *self.lost_bytes(flow) += length;
                true
            }
            Framing::Line | Framing::Value(..) => {
                flow.truncated += length;
                false
            }
        }
    }

    /// Steps over bytes that the source lost (and counted); false when the framing goes with them.
    pub(super) fn skip_lost(&mut self, length: u64) -> bool {
        match &mut self.framing {
            Framing::Value(left, _) if length < *left => {
                *left -= length;
                true
            }
            Framing::Lost | Framing::Foreign => true,
            Framing::Line | Framing::Value(..) => false,
        }
    }

    /// Gives up the framing; what was begun is lost.
    pub(super) fn lose(&mut self, flow: &mut Flow) {
        *self.lost_bytes(flow) += self.begun_bytes();
        self.line.clear();
        if !matches!(self.framing, Framing::Foreign) {
            self.framing = Framing::Lost;
        }
    }

    /// The end of the stream: what was begun is boundary.
    pub(super) fn end(&mut self, flow: &mut Flow) {
        flow.boundary += self.begun_bytes();
    }

    fn begun_bytes(&self) -> u64 {
        let value = match &self.framing {
            Framing::Value(_, unfinished) => unfinished.line + unfinished.value,
            Framing::Line | Framing::Lost | Framing::Foreign => 0,
        };
        value + self.line.len() as u64
    }

    fn lost_bytes<'f>(&self, flow: &'f mut Flow) -> &'f mut u64 {
        if self.at_start {
            &mut flow.boundary
        } else {
            &mut flow.unsynced
        }
    }

    /// Takes one line, or the start of one; returns how many bytes it took.
    fn feed_line(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        if self.line.is_empty() {
            self.begun = Some(*read);
            return match self.parse(bytes) {
                Ok(Status::Complete { value, consumed }) => {
                    self.begin(context, &value, consumed, read, flow, pairing);
                    consumed
                }
                Ok(Status::Partial) => self.keep(bytes, bytes.len(), flow),
                Err(error) => self.refuse(error, bytes.len(), flow, pairing),
            };
        }
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
        if bytes[taken - 1] != b'\n' {
            return self.keep(bytes, taken, flow);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&bytes[..taken]);
        match self.parse(&line) {
            Ok(Status::Complete { value, consumed }) => {
                self.begin(context, &value, consumed, read, flow, pairing);
            }
            Ok(Status::Partial) => flow.truncated += line.len() as u64,
            Err(error) => {
                self.refuse(error, line.len(), flow, pairing);
            }
        }
        line.clear();
        self.line = line;
        taken
    }

    /// Parses the line at the start of `bytes`. Which protocol a connection speaks is settled by its first byte: later
    /// on, the binary protocol's magic is the start of a bad verb.
    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Status<Request<'a>>, ParseError> {
        let parsed = request::parse(bytes);
        if parsed != Err(ParseError::Binary) || self.next_request == 0 {
            return parsed;
        }
        let Some(newline) = memchr::memchr(b'\n', bytes) else {
            return Ok(Status::Partial);
        };
        Ok(match request::parse(BAD_VERB)? {
            Status::Complete { value, .. } => Status::Complete {
                value,
                consumed: newline + 1,
            },
            Status::Partial => Status::Partial,
        })
    }

    /// Keeps the start of a line, as long as memcached would.
    fn keep(&mut self, bytes: &[u8], taken: usize, flow: &mut Flow) -> usize {
        self.line.extend_from_slice(&bytes[..taken]);
        if self.line.len() > LONGEST_LINE || !may_grow(&self.line) {
            flow.boundary += self.line.len() as u64;
            self.line = Vec::new();
            self.framing = Framing::Foreign;
        }
        taken
    }

    /// Not the text protocol: the connection is counted, not decoded.
    fn refuse(
        &mut self,
        error: ParseError,
        length: usize,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        log::debug!(
            "connection {}: {error:?}: not decoded from here",
            self.connection
        );
        flow.unsynced += length as u64;
        self.framing = Framing::Foreign;
        pairing.suspend();
        length
    }

    /// Opens a request, or begins to read its value.
    fn begin(
        &mut self,
        context: &mut Context,
        request: &Request<'_>,
        line: usize,
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) {
        let begun = self.begun.take().unwrap_or(*read);
        let ordinal = self.next_request;
        self.next_request = ordinal.wrapping_add(1);
        let mut event = self.event(context, request, line, &begun, ordinal);
        let open = Open::new(context, request, read.time);
        if let Some(size) = request.value_size {
            if let Some(key) = request.keys.clone().next() {
                context.set_key(&mut event, &key);
            }
            let unfinished = Unfinished {
                open,
                event,
                line: line as u64,
                value: 0,
            };
            self.framing = Framing::Value(u64::from(size) + 2, unfinished);
            return;
        }
        flow.parsed += line as u64;
        pairing.open_keys(context, open, event, request);
    }

    fn advance_value(
        &mut self,
        length: u64,
        read: &Read,
        context: &mut Context,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) {
        let Framing::Value(left, unfinished) = &mut self.framing else {
            return;
        };
        *left -= length;
        unfinished.value += length;
        if *left > 0 {
            return;
        }
        let Framing::Value(_, unfinished) = std::mem::replace(&mut self.framing, Framing::Line)
        else {
            return;
        };
        flow.parsed += unfinished.line;
        flow.value_skipped += unfinished.value;
        let open = Open {
            completed: read.time,
            ..unfinished.open
        };
        pairing.open(context, open, unfinished.event);
    }

    /// The event a request begins as, but for its key.
    fn event(
        &self,
        context: &mut Context,
        request: &Request<'_>,
        line: usize,
        begun: &Read,
        ordinal: u32,
    ) -> Event {
        let mut event = context.event_of(request, begun.time);
        let value = request.value_size.map_or(0, |size| u64::from(size) + 2);
        event.connection = self.connection;
        event.batch = begun.batch;
        event.request = ordinal;
        event.request_size = Some(u32::try_from(line as u64 + value).unwrap_or(u32::MAX));
        event.queue_time = begun.arrival.map(|arrival| {
            u32::try_from(begun.time.saturating_sub(arrival) / 1000).unwrap_or(u32::MAX)
        });
        event
    }

    /// Looks for a request behind a line end. Responses to what came before it in this read cannot be told apart, so
    /// pairing stays suspended until the next barrier. Returns how many bytes were passed over.
    fn resync(&mut self, bytes: &[u8], flow: &mut Flow, pairing: &mut Pairing) -> usize {
        let found = memchr::memchr_iter(b'\n', bytes)
            .map(|newline| newline + 1)
            .find(|start| begins_request(&bytes[*start..], false));
        let passed = found.unwrap_or(bytes.len());
        *self.lost_bytes(flow) += passed as u64;
        if found.is_some() {
            self.framing = Framing::Line;
            self.at_start = false;
            pairing.suspend();
        }
        passed
    }
}
