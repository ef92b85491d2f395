//! Binary responses: headers with their keys; what follows is skipped by length, a list of statistics to its end.

use membench_protocol::Status;
use membench_protocol::binary::{Answer, HEADER_SIZE, Opcode, parse_header, parse_response};
use membench_protocol::response::Response;

use membench_event::{Command, Outcome};

use super::super::Totals;
use super::super::context::Context;
use super::super::open::Open;
use super::super::pairing::Pairing;
use super::{Framing, ResponseStream};

impl ResponseStream {
    /// Takes header, extras and key, or the start of them; returns how many bytes it took.
    pub(super) fn feed_message(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) -> usize {
        if self.line.is_empty()
            && let Ok(Status::Complete { value, consumed }) = parse_response(bytes)
        {
            self.take_message(context, &value, consumed, time, pairing, totals);
            return consumed;
        }
        let held = self.line.len();
        let mut message = std::mem::take(&mut self.line);
        message.extend_from_slice(bytes);
        let taken = match parse_response(&message) {
            Ok(Status::Complete { value, consumed }) => {
                self.take_message(context, &value, consumed, time, pairing, totals);
                consumed - held
            }
            Ok(Status::Partial) => {
                self.line = message;
                return bytes.len();
            }
            Err(_) => {
                self.unmatched(context, message.len(), pairing, totals);
                bytes.len()
            }
        };
        message.clear();
        self.line = message;
        taken
    }

    /// Bytes that were not kept come while a message is expected: behind a header they are of its body, inside a list of
    /// statistics they are some of it. False if they were needed.
    pub(super) fn skip_in_message(
        &mut self,
        context: &mut Context,
        length: u64,
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) -> bool {
        if let Ok(Status::Complete { value, consumed }) = parse_header(&self.line) {
            let behind = self.line.len() - consumed;
            self.line.clear();
            self.take_message(context, &value, consumed, time, pairing, totals);
            self.advance_value(context, behind as u64, time, pairing);
            totals.response.parsed += behind as u64;
            self.skip(context, length, time, pairing, totals);
            return true;
        }
        if pairing.oldest().is_some_and(is_list) {
            totals.response.text_skipped += length + self.line.len() as u64;
            self.line.clear();
            self.framing = Framing::List { in_line: true };
            return true;
        }
        false
    }

    fn take_message(
        &mut self,
        context: &mut Context,
        answer: &Answer<'_>,
        length: usize,
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) {
        let next = pairing.answer(context, &Response::Binary(*answer), time);
        let list = Framing::Value {
            left: answer.rest_size(),
            finishes: false,
        };
        self.follow_with(context, next, list, length, pairing, totals);
    }

    /// Looks for the response that ends a list of which some was not kept.
    pub(super) fn feed_list_end(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) -> usize {
        let start = pairing
            .oldest()
            .and_then(|oldest| memchr::memmem::find(bytes, &list_end(oldest)));
        let Some(start) = start else {
            totals.response.text_skipped += bytes.len() as u64;
            return bytes.len();
        };
        totals.response.text_skipped += start as u64;
        totals.response.parsed += HEADER_SIZE as u64;
        pairing.finish(context, Some(Outcome::Ok), time);
        self.framing = Framing::Line;
        start + HEADER_SIZE
    }
}

fn is_list(open: &Open) -> bool {
    open.command == Command::Stats
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
