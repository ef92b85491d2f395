//! A connection's response bytes → responses for pairing: framing, values skipped by length, lists to their end.

use membench_protocol::binary::{Answer, HEADER_SIZE, Opcode, parse_header, parse_response};
use membench_protocol::response::{self, Response};
use membench_protocol::{Follows, Status, refusal};

use membench_event::{Command, Flow, Outcome, Piece, answer};

use super::context::Context;
use super::open_requests::Open;
use super::pairing::Next;
use super::turn::Turn;

/// Longest incomplete response line kept, bytes; memcached's own lines are below 2 KiB.
const LONGEST_LINE: usize = 64 * 1024;
/// Answer to a client that connects beyond the limit of connections.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";
/// Bytes of `END` with its line end.
const END: u64 = 5;

/// The part of a response that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// A response line, or a binary header with extras and key.
    Line,
    /// A value, or the rest of a binary response.
    Value {
        /// Bytes left, the line end included.
        left: u64,
        /// True if the last of them ends the response.
        finishes: bool,
    },
    /// A list (statistics, dumps).
    List {
        /// True inside a line, false at the start of one.
        in_line: bool,
    },
    /// Unknown: responses cannot be told apart until the next barrier.
    Lost,
}

/// Frames the responses of one connection. The calls it works on are sends; a turn's `at` is their time, ns.
#[derive(Debug)]
pub(super) struct ResponseStream {
    framing: Framing,
    /// Start of an incomplete line or message.
    line: Vec<u8>,
    is_binary: bool,
    server: u32,
    /// True until the first barrier of a stream opened midway: bytes before it are boundary, not loss.
    at_start: bool,
    /// True right after a value of a retrieval: another value or `END` comes next.
    after_value: bool,
}

impl ResponseStream {
    pub(super) fn new(mid_stream: bool) -> Self {
        let framing = if mid_stream {
            Framing::Lost
        } else {
            Framing::Line
        };
        Self {
            framing,
            line: Vec::new(),
            is_binary: false,
            server: 0,
            at_start: mid_stream,
            after_value: false,
        }
    }

    pub(super) fn assign(&mut self, server: u32) {
        self.server = server;
    }

    /// Sets the encoding, which is that of the requests.
    pub(super) fn follow(&mut self, is_binary: bool) {
        self.is_binary = is_binary;
    }

    /// True if the stream was opened midway and has not been framed yet.
    pub(super) fn at_start(&self) -> bool {
        self.at_start
    }

    /// True if the stream is framed: the decoder knows what the next byte belongs to.
    pub(super) fn synced(&self) -> bool {
        !matches!(self.framing, Framing::Lost)
    }

    /// True if the next byte starts a response: none is incomplete.
    pub(super) fn between_responses(&self) -> bool {
        matches!(self.framing, Framing::Line) && self.line.is_empty()
    }

    /// Resynchronizes at a barrier: the next byte starts a response.
    pub(super) fn resume(&mut self, flow: &mut Flow) {
        *self.lost_bytes(flow) += self.line.len() as u64;
        self.line.clear();
        self.framing = Framing::Line;
        self.at_start = false;
    }

    /// Gives up the framing until the next barrier.
    pub(super) fn lose(&mut self, flow: &mut Flow) {
        *self.lost_bytes(flow) += self.line.len() as u64;
        self.line.clear();
        self.framing = Framing::Lost;
    }

    /// Counts all bytes passed over, so far and from now on, as lost: they are not the rest of an older answer.
    pub(super) fn end_start(&mut self, flow: &mut Flow) {
        if std::mem::take(&mut self.at_start) {
            flow.unsynced += std::mem::take(&mut flow.boundary);
        }
    }

    /// Counts the incomplete response at the end of the stream as boundary.
    pub(super) fn end(&mut self, flow: &mut Flow) {
        flow.boundary += self.line.len() as u64;
        self.line.clear();
    }

    /// The term that counts unframed bytes: boundary before the first barrier, `unsynced` after it.
    fn lost_bytes<'f>(&self, flow: &'f mut Flow) -> &'f mut u64 {
        if self.at_start {
            &mut flow.boundary
        } else {
            &mut flow.unsynced
        }
    }

    /// Steps over bytes that the source lost and has already counted. Returns false if framing needed them; the caller
    /// then gives up the stream.
    pub(super) fn skip_lost(&mut self, length: u64) -> bool {
        match &mut self.framing {
            Framing::Value { left, .. } if length < *left => {
                *left -= length;
                true
            }
            Framing::Lost => true,
            _ => false,
        }
    }

    /// Frames one piece of a send and settles the requests it answers.
    pub(super) fn feed(&mut self, turn: &mut Turn<'_, u64>, piece: Piece<'_>) {
        match piece {
            Piece::Bytes(bytes) => self.feed_bytes(turn, bytes),
            Piece::Hole(length) => self.skip(turn, u64::from(length)),
        }
    }

    fn feed_bytes(&mut self, turn: &mut Turn<'_, u64>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if turn.pairing.suspended() {
                self.lose(&mut turn.totals.response);
            }
            let taken = match self.framing {
                Framing::Line if self.is_binary => self.feed_message(turn, bytes),
                Framing::Line => self.feed_line(turn, bytes),
                Framing::Value { left, .. } => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.advance_value(turn, taken as u64);
                    turn.totals.response.value_skipped += taken as u64;
                    taken
                }
                Framing::List { .. } if self.is_binary => self.feed_list_end(turn, bytes),
                Framing::List { in_line } => self.feed_list(turn, bytes, in_line),
                Framing::Lost => {
                    *self.lost_bytes(&mut turn.totals.response) += bytes.len() as u64;
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Skips bytes that were sent but not kept.
    fn skip(&mut self, turn: &mut Turn<'_, u64>, length: u64) {
        match self.framing {
            Framing::Value { left, .. } => {
                let inside = length.min(left);
                turn.totals.response.value_skipped += inside;
                self.advance_value(turn, inside);
                if inside < length {
                    self.skip(turn, length - inside);
                }
            }
            Framing::List { .. } => self.skip_in_list(turn, length),
            Framing::Lost => *self.lost_bytes(&mut turn.totals.response) += length,
            Framing::Line if turn.pairing.streaming() => {
                self.count(turn, length);
                turn.totals.response.text_skipped += length;
            }
            // The line of another value is longer, so the kernel program need not copy this one.
            Framing::Line if self.after_value && length == END => {
                self.after_value = false;
                turn.totals.response.text_skipped += length;
                turn.pairing.answer(turn.context, &Response::End, turn.at);
            }
            Framing::Line => {
                let skipped = self.is_binary && self.skip_in_message(turn, length);
                if !skipped {
                    turn.totals.response.truncated += length + self.line.len() as u64;
                    self.line.clear();
                    self.framing = Framing::Lost;
                    turn.pairing.lose(turn.context, turn.totals);
                }
            }
        }
    }

    fn advance_value(&mut self, turn: &mut Turn<'_, u64>, length: u64) {
        let Framing::Value { left, finishes } = &mut self.framing else {
            return;
        };
        *left -= length;
        if *left > 0 {
            return;
        }
        self.after_value = !*finishes;
        if *finishes {
            // The response line has already settled the event.
            turn.pairing.finish(turn.context, None, turn.at);
        }
        self.framing = Framing::Line;
    }

    /// Takes one line or the start of one. Returns the number of bytes taken.
    fn feed_line(&mut self, turn: &mut Turn<'_, u64>, bytes: &[u8]) -> usize {
        if self.line.is_empty()
            && let Ok(Status::Complete { value, consumed }) = response::parse(bytes)
        {
            self.take_line(turn, Some(&value), consumed);
            return consumed;
        }
        let newline = memchr::memchr(b'\n', bytes);
        let taken = newline.map_or(bytes.len(), |newline| newline + 1);
        self.line.extend_from_slice(&bytes[..taken]);
        if newline.is_some() {
            let mut line = std::mem::take(&mut self.line);
            let value = match response::parse(&line) {
                Ok(Status::Complete { value, .. }) => Some(value),
                Ok(Status::Partial) | Err(_) => None,
            };
            self.take_line(turn, value.as_ref(), line.len());
            line.clear();
            self.line = line;
        } else if self.line.len() > LONGEST_LINE {
            self.unmatched(turn, self.line.len());
        }
        taken
    }

    /// Takes a complete line of `length` bytes; `response` is `None` if it is none.
    fn take_line(
        &mut self,
        turn: &mut Turn<'_, u64>,
        response: Option<&Response<'_>>,
        length: usize,
    ) {
        self.after_value = false;
        if turn.pairing.uncounted() && !response.is_some_and(refuses) {
            *turn.context.uncounted.entry(self.server).or_default() += length as u64;
        }
        if turn.pairing.streaming() {
            turn.totals.response.text_skipped += length as u64;
            return;
        }
        // memcached 1.6.45 sends an extra empty line after refusing a retrieval whose key is too long.
        if matches!(response, Some(Response::Line(b"\r"))) {
            turn.totals.response.parsed += length as u64;
            return;
        }
        let next = response.map_or(Next::Unmatched, |response| {
            self.learn(turn.context, response);
            turn.pairing.answer(turn.context, response, turn.at)
        });
        self.follow_with(turn, next, Framing::List { in_line: false }, length);
    }

    /// Counts the answer to a client beyond the limit of connections, which is in none of the server's own counters.
    pub(super) fn note_refusal(&self, context: &mut Context, pieces: &[Piece<'_>]) {
        if let [Piece::Bytes(bytes)] = pieces
            && *bytes == TOO_MANY
        {
            *context.uncounted.entry(self.server).or_default() += TOO_MANY.len() as u64;
        }
    }

    /// Counts bytes of the current answer if the server has no counter for them.
    fn count(&self, turn: &mut Turn<'_, u64>, length: u64) {
        if turn.pairing.uncounted() {
            *turn.context.uncounted.entry(self.server).or_default() += length;
        }
    }

    /// Counts a message of `length` bytes and sets the framing of what follows it: `list` if that is the rest of a
    /// list.
    fn follow_with(&mut self, turn: &mut Turn<'_, u64>, next: Next, list: Framing, length: usize) {
        self.framing = match next {
            Next::Line => Framing::Line,
            Next::Value { length, finishes } => Framing::Value {
                left: length,
                finishes,
            },
            Next::List => list,
            Next::Unmatched => return self.unmatched(turn, length),
        };
        turn.totals.response.parsed += length as u64;
    }

    /// Gives up responses until the next barrier: a message of `length` bytes fits no open request.
    fn unmatched(&mut self, turn: &mut Turn<'_, u64>, length: usize) {
        turn.totals.unmatched += 1;
        turn.totals.response.unsynced += length as u64;
        self.line.clear();
        self.framing = Framing::Lost;
        turn.pairing.lose(turn.context, turn.totals);
    }

    /// Takes the server's version from its answers to `version` and `stats`.
    fn learn(&self, context: &mut Context, response: &Response<'_>) {
        let version = match response {
            Response::Version(version) => Some(*version),
            Response::Stat(named) => named.strip_prefix(b"version "),
            _ => None,
        };
        if let Some(version) = version {
            context.learn_version(self.server, version);
        }
    }

    /// Takes one line of a list, or a part of it. Returns the number of bytes taken.
    fn feed_list(&mut self, turn: &mut Turn<'_, u64>, bytes: &[u8], in_line: bool) -> usize {
        let newline = memchr::memchr(b'\n', bytes);
        let taken = newline.map_or(bytes.len(), |newline| newline + 1);
        if in_line {
            self.count(turn, taken as u64);
            turn.totals.response.text_skipped += taken as u64;
            self.framing = Framing::List {
                in_line: newline.is_none(),
            };
            return taken;
        }
        self.line.extend_from_slice(&bytes[..taken]);
        if newline.is_none() {
            if self.line.len() > LONGEST_LINE {
                self.skip_in_list(turn, 0);
                self.line = Vec::new();
            }
            return taken;
        }
        self.count(turn, self.line.len() as u64);
        turn.totals.response.parsed += self.line.len() as u64;
        let outcome = self.list_outcome(turn);
        self.line.clear();
        if outcome.is_some() {
            turn.pairing.finish(turn.context, outcome, turn.at);
            self.framing = Framing::Line;
        }
        taken
    }

    /// Skips the incomplete line of a list and `length` bytes that were not kept, up to the next line end.
    fn skip_in_list(&mut self, turn: &mut Turn<'_, u64>, length: u64) {
        let skipped = length + self.line.len() as u64;
        self.count(turn, skipped);
        turn.totals.response.text_skipped += skipped;
        self.line.clear();
        self.framing = Framing::List { in_line: true };
    }

    /// Outcome of the request that a list answers, if the complete line ends the list.
    fn list_outcome(&self, turn: &mut Turn<'_, u64>) -> Option<Outcome> {
        let Ok(Status::Complete { value, .. }) = response::parse(&self.line) else {
            return None;
        };
        self.learn(turn.context, &value);
        let asked = turn.pairing.current()?;
        let ends = asked.form().after(&value) == Follows::Nothing;
        ends.then(|| answer::outcome(asked.command, &value))
    }

    /// Takes header, extras and key of a binary response, or the start of them. Returns the number of bytes taken.
    fn feed_message(&mut self, turn: &mut Turn<'_, u64>, bytes: &[u8]) -> usize {
        if self.line.is_empty()
            && let Ok(Status::Complete { value, consumed }) = parse_response(bytes)
        {
            self.take_message(turn, &value, consumed);
            return consumed;
        }
        let held = self.line.len();
        let mut message = std::mem::take(&mut self.line);
        message.extend_from_slice(bytes);
        let taken = match parse_response(&message) {
            Ok(Status::Complete { value, consumed }) => {
                self.take_message(turn, &value, consumed);
                consumed - held
            }
            Ok(Status::Partial) => {
                self.line = message;
                return bytes.len();
            }
            Err(_) => {
                self.unmatched(turn, message.len());
                bytes.len()
            }
        };
        message.clear();
        self.line = message;
        taken
    }

    /// Skips bytes that were not kept where a binary response was expected: after a header they belong to its body,
    /// while statistics are due they belong to the list. Returns false if framing needed them.
    fn skip_in_message(&mut self, turn: &mut Turn<'_, u64>, length: u64) -> bool {
        if let Ok(Status::Complete { value, consumed }) = parse_header(&self.line) {
            let after_header = (self.line.len() - consumed) as u64;
            self.line.clear();
            self.take_message(turn, &value, consumed);
            self.advance_value(turn, after_header);
            turn.totals.response.parsed += after_header;
            self.skip(turn, length);
            return true;
        }
        if turn.pairing.oldest().is_some_and(is_list) {
            self.skip_in_list(turn, length);
            return true;
        }
        false
    }

    fn take_message(&mut self, turn: &mut Turn<'_, u64>, answer: &Answer<'_>, length: usize) {
        let next = turn
            .pairing
            .answer(turn.context, &Response::Binary(*answer), turn.at);
        let list = Framing::Value {
            left: answer.rest_size(),
            finishes: false,
        };
        self.follow_with(turn, next, list, length);
    }

    /// Searches for the response that ends a binary list with a hole. Returns the number of bytes taken.
    fn feed_list_end(&mut self, turn: &mut Turn<'_, u64>, bytes: &[u8]) -> usize {
        let start = turn
            .pairing
            .oldest()
            .and_then(|oldest| memchr::memmem::find(bytes, &list_end(oldest)));
        let Some(start) = start else {
            turn.totals.response.text_skipped += bytes.len() as u64;
            return bytes.len();
        };
        turn.totals.response.text_skipped += start as u64;
        turn.totals.response.parsed += HEADER_SIZE as u64;
        turn.pairing
            .finish(turn.context, Some(Outcome::Ok), turn.at);
        self.framing = Framing::Line;
        start + HEADER_SIZE
    }
}

/// Returns true if a worker of the server refuses the request with this line.
fn refuses(response: &Response<'_>) -> bool {
    answer::is_error(response) || refusal(response).is_some()
}

fn is_list(open: &Open) -> bool {
    open.command() == Command::Stats
}

/// The response that ends the statistics `open` asked for: no name, no value, its opaque value.
fn list_end(open: &Open) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    let [_, _, _, _, opaque @ ..] = open.opaque.unwrap_or_default().to_be_bytes();
    let Opcode(opcode) = Opcode::from_command(Command::Stats, false, false).unwrap_or(Opcode(0));
    (header[0], header[1]) = (0x81, opcode);
    header[12..16].copy_from_slice(&opaque);
    header
}
