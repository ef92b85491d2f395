//! A connection's request bytes → open requests: messages, values, losses and finding the way back.

mod binary;
mod line;

use membench_protocol::binary::REQUEST_MAGIC;
use membench_protocol::{Dialect, Request};

use membench_event::Event;
use membench_event::Flow;

use super::context::Context;
use super::open::Open;
use super::pairing::Pairing;
use super::start::begins_request;

/// One read of the server's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Its return, ns.
    pub(super) time: u64,
    /// When its bytes had arrived, ns, where known.
    pub(super) arrival: Option<u64>,
    /// Its ordinal on the connection.
    pub(super) batch: u32,
    /// How the server reads lines, if that is known.
    pub(super) dialect: Option<Dialect>,
}

/// What the next byte belongs to.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a connection; a box would be allocated for every value read"
)]
enum Framing {
    /// A request line, or header, extras and key.
    Line,
    /// The value of `Unfinished`, this many bytes, a line end included.
    Value(u64, Unfinished),
    /// Nothing known: looking for a request.
    Lost,
    /// A stream that memcached refuses to go on reading.
    Foreign,
    /// memcached closes the connection: what follows in the same read (a batch of this number) is not looked at.
    Closed(u32),
}

/// How a connection's messages are encoded: its first byte tells, as it tells memcached.
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
    line: u64,
    value: u64,
}

/// Frames one connection's requests.
#[derive(Debug)]
pub(super) struct RequestStream {
    connection: u32,
    framing: Framing,
    encoding: Encoding,
    /// Start of a message whose end is not here yet, and the read it began in.
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
            encoding: Encoding::Unknown,
            line: Vec::new(),
            begun: None,
            next_request: 0,
            at_start: mid_stream,
        }
    }

    /// The first request is numbered so.
    pub(super) fn count_from(&mut self, request: u32) {
        self.next_request = request;
    }

    /// The number of the request that would come next.
    pub(super) fn next_request(&self) -> u32 {
        self.next_request
    }

    /// Whether the next byte belongs to a value: memcached then reads without having answered.
    pub(super) fn in_value(&self) -> bool {
        matches!(self.framing, Framing::Value(..))
    }

    /// Whether the next byte begins a request.
    pub(super) fn at_line(&self) -> bool {
        matches!(self.framing, Framing::Line) && self.line.is_empty()
    }

    pub(super) fn synced(&self) -> bool {
        matches!(self.framing, Framing::Line | Framing::Value(..))
    }

    /// Whether the connection uses the binary protocol.
    pub(super) fn is_binary(&self) -> bool {
        self.encoding == Encoding::Binary
    }

    /// Whether no request is unfinished.
    pub(super) fn between_requests(&self) -> bool {
        matches!(self.framing, Framing::Line) && self.line.is_empty()
    }

    /// At the start of a read: memcached mostly reads at the start of a request. True when one stands here.
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

    /// How the request at the start of `bytes`, if one stands there, is encoded.
    fn encoding_at(&self, bytes: &[u8]) -> Option<Encoding> {
        if self.encoding != Encoding::Binary && begins_request(bytes, true) {
            return Some(Encoding::Lines);
        }
        let is_binary = self.encoding != Encoding::Lines && binary::begins(bytes);
        is_binary.then_some(Encoding::Binary)
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
            let taken = match &self.framing {
                Framing::Line => self.feed_message_or_line(context, bytes, read, flow, pairing),
                Framing::Value(left, _) => {
                    let taken = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    self.advance_value(taken as u64, read, context, flow, pairing);
                    taken
                }
                Framing::Lost if self.is_binary() => self.resync_message(bytes, flow, pairing),
                Framing::Lost => self.resync(bytes, flow, pairing),
                Framing::Closed(batch) if *batch == read.batch => {
                    flow.boundary += bytes.len() as u64;
                    bytes.len()
                }
                Framing::Closed(_) => {
                    self.framing = Framing::Lost;
                    0
                }
                Framing::Foreign => {
                    flow.unsynced += bytes.len() as u64;
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    fn feed_message_or_line(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        if self.encoding == Encoding::Unknown {
            self.encoding = match bytes.first() {
                Some(&REQUEST_MAGIC) => Encoding::Binary,
                _ => Encoding::Lines,
            };
        }
        if self.is_binary() {
            self.feed_message(context, bytes, read, flow, pairing)
        } else {
            self.feed_line(context, bytes, read, flow, pairing)
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
            Framing::Lost | Framing::Foreign | Framing::Closed(_) => {
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
            Framing::Lost | Framing::Foreign | Framing::Closed(_) => true,
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
            Framing::Line | Framing::Lost | Framing::Foreign | Framing::Closed(_) => 0,
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
        let block = request.block_size();
        if block > 0 {
            if let Some(key) = request.keys.clone().next() {
                context.set_key(&mut event, &key);
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
        flow.parsed += line as u64;
        pairing.open_keys(context, &open, &mut event, request);
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
        flow.parsed += unfinished.line;
        flow.value_skipped += unfinished.value;
        unfinished.open.completed = read.time;
        pairing.open(context, &unfinished.open, &unfinished.event);
        self.framing = Framing::Line;
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
        let size = line as u64 + request.block_size();
        event.connection = self.connection;
        event.batch = begun.batch;
        event.request = ordinal;
        event.request_size = Some(u32::try_from(size).unwrap_or(u32::MAX));
        event.queue_time = begun.arrival.map(|arrival| {
            u32::try_from(begun.time.saturating_sub(arrival) / 1000).unwrap_or(u32::MAX)
        });
        event
    }
}
