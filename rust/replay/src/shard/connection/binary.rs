//! Answers of the binary protocol, framed as they come.

use membench_protocol::binary::parse_response;
use membench_protocol::{ParseError, Response, Status};

use super::{Connection, Shared};

impl Connection {
    /// Takes header, extras and key of an answer, or the start of them; returns how many bytes it took.
    pub(crate) fn feed_message(
        &mut self,
        bytes: &[u8],
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) -> Result<usize, ParseError> {
        if self.line.is_empty() {
            return self.take_message(bytes, stamps, shared);
        }
        let held = self.line.len();
        let mut message = std::mem::take(&mut self.line);
        message.extend_from_slice(bytes);
        let taken = self.take_message(&message, stamps, shared)?;
        if self.line.is_empty() {
            message.clear();
            self.line = message;
        }
        Ok(taken - held)
    }

    fn take_message(
        &mut self,
        bytes: &[u8],
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) -> Result<usize, ParseError> {
        match parse_response(bytes)? {
            Status::Complete { value, consumed } => {
                self.take_answer(&Response::Binary(value), stamps, shared);
                Ok(consumed)
            }
            Status::Partial => {
                self.line.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}
