//! Binary requests: headers with their extras and keys, and the way back to the next header.

use membench_protocol::Status;
use membench_protocol::binary::{HEADER_SIZE, begins_request, parse_request};

use membench_event::Flow;

use super::super::context::Context;
use super::super::pairing::Pairing;
use super::{Framing, Read, RequestStream};

impl RequestStream {
    /// Takes header, extras and key, or the start of them; returns how many bytes it took.
    pub(super) fn feed_message(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        if self.line.is_empty() {
            self.begun = Some(*read);
            return self.take_message(context, bytes, read, flow, pairing);
        }
        let held = self.line.len();
        let missing = missing(&self.line).min(bytes.len());
        let mut message = std::mem::take(&mut self.line);
        message.extend_from_slice(&bytes[..missing]);
        let taken = self.take_message(context, &message, read, flow, pairing);
        if self.line.is_empty() {
            message.clear();
            self.line = message;
        }
        taken - held
    }

    fn take_message(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        read: &Read,
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        match parse_request(bytes) {
            Ok(Status::Complete { value, consumed }) => {
                self.begin(context, &value, consumed, read, flow, pairing);
                if value.closes {
                    self.framing = Framing::Closed(read.batch);
                }
                consumed
            }
            Ok(Status::Partial) => {
                self.line.extend_from_slice(bytes);
                bytes.len()
            }
            Err(error) => {
                log::debug!("connection {}: {error}", self.connection);
                self.framing = Framing::Closed(read.batch);
                flow.boundary += bytes.len() as u64;
                bytes.len()
            }
        }
    }

    /// Looks for a request with nothing behind it or another one. Returns how many bytes were passed over.
    pub(super) fn resync_message(
        &mut self,
        bytes: &[u8],
        flow: &mut Flow,
        pairing: &mut Pairing,
    ) -> usize {
        let found = memchr::memchr_iter(0x80, bytes).find(|start| stands_at(&bytes[*start..]));
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

/// Whether the next request begins like this.
pub(super) fn begins(bytes: &[u8]) -> bool {
    begins_request(bytes, true)
}

/// Bytes that the start of a message still lacks of its header, or of its extras and key.
fn missing(start: &[u8]) -> usize {
    let [_, _, key_high, key_low, extras, ..] = *start else {
        return HEADER_SIZE - start.len();
    };
    if start.len() < HEADER_SIZE {
        return HEADER_SIZE - start.len();
    }
    let key = usize::from(u16::from_be_bytes([key_high, key_low]));
    (HEADER_SIZE + usize::from(extras) + key).saturating_sub(start.len())
}

/// Whether a request stands at the start of `bytes`, whole, and nothing or another one follows it.
fn stands_at(bytes: &[u8]) -> bool {
    if !begins_request(bytes, false) {
        return false;
    }
    let Ok(Status::Complete { value, consumed }) = parse_request(bytes) else {
        return false;
    };
    let end = consumed.saturating_add(usize::try_from(value.block_size()).unwrap_or(usize::MAX));
    bytes
        .get(end..)
        .is_some_and(|rest| rest.is_empty() || begins_request(rest, true))
}
