//! Request lines, and the way back to the next one.

use membench_protocol::request::{self, Request};
use membench_protocol::{Dialect, Status, may_grow};

use membench_event::Flow;

use super::super::context::Context;
use super::super::pairing::Pairing;
use super::super::start::begins_request;
use super::{Framing, Read, RequestStream};

/// Longest request line kept while it is incomplete; memcached itself grows only for `get` and `gets`.
const LONGEST_LINE: usize = 4 << 20;

/// A line that memcached answers with `ERROR`.
const BAD_VERB: &[u8] = b"?\r\n";

impl RequestStream {
    /// Takes one line, or the start of one; returns how many bytes it took.
    pub(super) fn feed_line(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        if self.line.is_empty() {
            self.begun = Some(*read);
            return match &parse(bytes, read.dialect) {
                Status::Complete { value, consumed } => {
                    self.begin_line(context, bytes, (value, *consumed), read, flow, pairing);
                    *consumed
                }
                Status::Partial => self.keep(bytes, bytes.len(), flow),
            };
        }
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
        if bytes[taken - 1] != b'\n' {
            return self.keep(bytes, taken, flow);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&bytes[..taken]);
        match &parse(&line, read.dialect) {
            Status::Complete { value, consumed } => {
                self.begin_line(context, &line, (value, *consumed), read, flow, pairing);
            }
            Status::Partial => flow.truncated += line.len() as u64,
        }
        line.clear();
        self.line = line;
        taken
    }

    /// Opens the request of a line. While the server's version is not known and versions differ on what follows the line,
    /// nothing is known up to the next read.
    fn begin_line(
        &mut self,
        context: &mut Context,
        line: &[u8],
        (request, consumed): (&Request<'_>, usize),
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) {
        if read.dialect.is_some() || !is_disputed(line, request) {
            return self.begin(context, request, consumed, read, flow, pairing);
        }
        log::debug!(
            "connection {}: versions of memcached differ on a refused line, and this one's is not known",
            self.connection
        );
        *self.lost_bytes(flow) += consumed as u64;
        self.begun = None;
        self.framing = Framing::Lost;
        pairing.suspend();
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

    /// Looks for a request behind a line end. Responses to what came before it in this read cannot be told apart, so
    /// pairing stays suspended until the next barrier. Returns how many bytes were passed over.
    pub(super) fn resync(&mut self, bytes: &[u8], flow: &mut Flow, pairing: &mut Pairing) -> usize {
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

/// The request of the line at the start of `bytes`. What a connection speaks is settled by its first byte: later on, the
/// binary protocol's magic is the start of a bad verb.
fn parse(bytes: &[u8], dialect: Option<Dialect>) -> Status<Request<'_>> {
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

/// Whether the other dialect has something else follow a line, or come of it.
fn is_disputed(line: &[u8], classic: &Request<'_>) -> bool {
    if !classic.refused {
        return false;
    }
    match request::parse_as(line, Dialect::Shared) {
        Ok(Status::Complete { value, .. }) => {
            (value.block_size(), value.is_answered(), value.refused)
                != (classic.block_size(), classic.is_answered(), true)
        }
        Ok(Status::Partial) | Err(_) => false,
    }
}
