//! A connection's response bytes → messages for pairing; values and lists are skipped by length.

mod binary;
mod list;

use membench_protocol::Status;
use membench_protocol::response::{self, Response};

use membench_event::Flow;
use membench_event::Piece;

use super::Totals;
use super::context::Context;
use super::pairing::{Next, Pairing};

/// Longest response line kept while it is incomplete; memcached's own are below 2 KiB.
const LONGEST_LINE: usize = 64 * 1024;
/// `END` with its line end.
const END: u64 = 5;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// A response line, or a binary header with extras and key.
    Line,
    /// A value: this many bytes, line end included; or the rest of a binary response.
    Value { left: u64, finishes: bool },
    /// A list, at the start of a line (`in_line` false) or inside one.
    List { in_line: bool },
    /// Responses that cannot be told apart, until the next barrier.
    Lost,
}

/// Frames one connection's responses.
#[derive(Debug)]
pub(super) struct ResponseStream {
    framing: Framing,
    line: Vec<u8>,
    is_binary: bool,
    server: u32,
    /// Nothing has been framed yet: what cannot be framed is boundary, not loss.
    at_start: bool,
    /// A retrieval's value has just ended: another follows, or `END`.
    behind_value: bool,
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
            behind_value: false,
        }
    }

    pub(super) fn assign(&mut self, server: u32) {
        self.server = server;
    }

    /// Responses are encoded as their requests.
    pub(super) fn follow(&mut self, is_binary: bool) {
        self.is_binary = is_binary;
    }

    pub(super) fn at_start(&self) -> bool {
        self.at_start
    }

    pub(super) fn synced(&self) -> bool {
        !matches!(self.framing, Framing::Lost)
    }

    /// Whether no response is unfinished.
    pub(super) fn between_responses(&self) -> bool {
        matches!(self.framing, Framing::Line) && self.line.is_empty()
    }

    /// A barrier: the next byte begins a response.
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

    /// The end of the stream: what was begun is boundary.
    pub(super) fn end(&mut self, flow: &mut Flow) {
        flow.boundary += self.line.len() as u64;
        self.line.clear();
    }

    fn lost_bytes<'f>(&self, flow: &'f mut Flow) -> &'f mut u64 {
        if self.at_start {
            &mut flow.boundary
        } else {
            &mut flow.unsynced
        }
    }

    /// Steps over bytes that the source lost (and counted); false when the framing goes with them.
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

    /// Frames one piece of a send.
    pub(super) fn feed(
        &mut self,
        context: &mut Context,
        piece: Piece<'_>,
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        match piece {
            Piece::Bytes(bytes) => self.feed_bytes(context, bytes, time, pairing, totals),
            Piece::Hole(length) => self.skip(context, u64::from(length), time, pairing, totals),
        }
    }

    fn feed_bytes(
        &mut self,
        context: &mut Context,
        mut bytes: &[u8],
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        while !bytes.is_empty() {
            if pairing.suspended() {
                self.lose(&mut totals.response);
            }
            let taken = match self.framing {
                Framing::Line if self.is_binary => {
                    self.feed_message(context, bytes, time, pairing, totals)
                }
                Framing::Line => self.feed_line(context, bytes, time, pairing, totals),
                Framing::Value { left, .. } => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.advance_value(context, taken as u64, time, pairing);
                    totals.response.value_skipped += taken as u64;
                    taken
                }
                Framing::List { .. } if self.is_binary => {
                    self.feed_list_end(context, bytes, time, pairing, totals)
                }
                Framing::List { in_line } => {
                    self.feed_list(context, bytes, in_line, time, pairing, totals)
                }
                Framing::Lost => {
                    *self.lost_bytes(&mut totals.response) += bytes.len() as u64;
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Bytes that were sent but not kept.
    fn skip(
        &mut self,
        context: &mut Context,
        length: u64,
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        match self.framing {
            Framing::Value { left, .. } => {
                let inside = length.min(left);
                totals.response.value_skipped += inside;
                self.advance_value(context, inside, time, pairing);
                if inside < length {
                    self.skip(context, length - inside, time, pairing, totals);
                }
            }
            Framing::List { .. } => {
                totals.response.text_skipped += length + self.line.len() as u64;
                self.line.clear();
                self.framing = Framing::List { in_line: true };
            }
            Framing::Lost => *self.lost_bytes(&mut totals.response) += length,
            Framing::Line if pairing.streaming() => totals.response.text_skipped += length,
            // A line with another value is longer: the kernel program need not read this one.
            Framing::Line if self.behind_value && length == END => {
                self.behind_value = false;
                totals.response.text_skipped += length;
                pairing.answer(context, &Response::End, time);
            }
            Framing::Line => {
                let skipped =
                    self.is_binary && self.skip_in_message(context, length, time, pairing, totals);
                if !skipped {
                    totals.response.truncated += length + self.line.len() as u64;
                    self.line.clear();
                    self.framing = Framing::Lost;
                    pairing.lose(context, totals);
                }
            }
        }
    }

    fn advance_value(
        &mut self,
        context: &mut Context,
        length: u64,
        time: u64,
        pairing: &mut Pairing,
    ) {
        let Framing::Value { left, finishes } = &mut self.framing else {
            return;
        };
        *left -= length;
        if *left > 0 {
            return;
        }
        self.behind_value = !*finishes;
        if *finishes {
            // Its event was settled when its line was read.
            pairing.finish(context, None, time);
        }
        self.framing = Framing::Line;
    }

    /// Takes one line, or the start of one; returns how many bytes it took.
    fn feed_line(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) -> usize {
        if self.line.is_empty()
            && let Ok(Status::Complete { value, consumed }) = response::parse(bytes)
        {
            self.take_line(context, Some(&value), consumed, time, pairing, totals);
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
            self.take_line(context, value.as_ref(), line.len(), time, pairing, totals);
            line.clear();
            self.line = line;
        } else if self.line.len() > LONGEST_LINE {
            self.unmatched(context, self.line.len(), pairing, totals);
        }
        taken
    }

    /// Takes a whole line: what it says, if it is a response at all.
    fn take_line(
        &mut self,
        context: &mut Context,
        response: Option<&Response<'_>>,
        length: usize,
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        self.behind_value = false;
        if pairing.streaming() {
            totals.response.text_skipped += length as u64;
            return;
        }
        // 1.6.45 ends the refusal of a retrieval's long key with an empty line more.
        if matches!(response, Some(Response::Line(b"\r"))) {
            totals.response.parsed += length as u64;
            return;
        }
        let next = response.map_or(Next::Unmatched, |response| {
            self.learn(context, response);
            pairing.answer(context, response, time)
        });
        let list = Framing::List { in_line: false };
        self.follow_with(context, next, list, length, pairing, totals);
    }

    /// Goes on with what follows a message of `length` bytes, which the next ones are if they are a `list`.
    fn follow_with(
        &mut self,
        context: &mut Context,
        next: Next,
        list: Framing,
        length: usize,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        self.framing = match next {
            Next::Line => Framing::Line,
            Next::Value { length, finishes } => Framing::Value {
                left: length,
                finishes,
            },
            Next::List => list,
            Next::Unmatched => return self.unmatched(context, length, pairing, totals),
        };
        totals.response.parsed += length as u64;
    }

    /// A line that fits nothing: nothing fits from here to the next barrier.
    fn unmatched(
        &mut self,
        context: &mut Context,
        length: usize,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        totals.unmatched += 1;
        totals.response.unsynced += length as u64;
        self.line.clear();
        self.framing = Framing::Lost;
        pairing.lose(context, totals);
    }

    /// Servers tell their version when they are asked for it, or for statistics.
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
}
