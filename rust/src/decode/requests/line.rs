//! Request lines, and the way back to the next one.

use membench_protocol::request::{self, Request};
use membench_protocol::{Status, may_grow};

use crate::capture::ledger::Flow;

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
            return match parse(bytes) {
                Some((request, consumed)) => {
                    self.begin(context, &request, consumed, read, flow, pairing);
                    consumed
                }
                None => self.keep(bytes, bytes.len(), flow),
            };
        }
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
        if bytes[taken - 1] != b'\n' {
            return self.keep(bytes, taken, flow);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&bytes[..taken]);
        match parse(&line) {
            Some((request, consumed)) => {
                self.begin(context, &request, consumed, read, flow, pairing);
            }
            None => flow.truncated += line.len() as u64,
        }
        line.clear();
        self.line = line;
        taken
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

/// The request of the line at the start of `bytes`, and the line's size; none while its end is not here. What a
/// connection speaks is settled by its first byte: later on, the binary protocol's magic is the start of a bad verb.
fn parse(bytes: &[u8]) -> Option<(Request<'_>, usize)> {
    match request::parse(bytes) {
        Ok(Status::Complete { value, consumed }) => Some((value, consumed)),
        Ok(Status::Partial) => None,
        Err(_) => {
            let newline = memchr::memchr(b'\n', bytes)?;
            match request::parse(BAD_VERB) {
                Ok(Status::Complete { value, .. }) => Some((value, newline + 1)),
                Ok(Status::Partial) | Err(_) => None,
            }
        }
    }
}
