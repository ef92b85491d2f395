//! The lines of a list (statistics, dumps): skipped to the one that ends it.

use membench_protocol::Status;
use membench_protocol::response::{self, Response};

use membench_event::Outcome;
use membench_event::answer::is_error;

use super::super::Totals;
use super::super::context::Context;
use super::super::pairing::Pairing;
use super::{Framing, LONGEST_LINE, ResponseStream};

impl ResponseStream {
    /// Takes one line of a list, or a part of it.
    pub(super) fn feed_list(
        &mut self,
        context: &mut Context,
        bytes: &[u8],
        in_line: bool,
        time: u64,
        pairing: &mut Pairing,
        totals: &mut Totals,
    ) -> usize {
        let newline = memchr::memchr(b'\n', bytes);
        let taken = newline.map_or(bytes.len(), |newline| newline + 1);
        if in_line {
            totals.response.text_skipped += taken as u64;
            self.framing = Framing::List {
                in_line: newline.is_none(),
            };
            return taken;
        }
        self.line.extend_from_slice(&bytes[..taken]);
        if newline.is_none() {
            self.bound_list_line(totals);
            return taken;
        }
        totals.response.parsed += self.line.len() as u64;
        let ended = self.ends_list(context);
        self.line.clear();
        if ended {
            pairing.finish(context, Some(Outcome::Ok), time);
            self.framing = Framing::Line;
        }
        taken
    }

    /// A line of a list that is longer than any is passed over to its end.
    fn bound_list_line(&mut self, totals: &mut Totals) {
        if self.line.len() > LONGEST_LINE {
            totals.response.text_skipped += self.line.len() as u64;
            self.line = Vec::new();
            self.framing = Framing::List { in_line: true };
        }
    }

    /// Whether the line ends a list: `END`, `EN` (of a meta dump) or an error.
    fn ends_list(&self, context: &mut Context) -> bool {
        match response::parse(&self.line) {
            Ok(Status::Complete { value, .. }) => {
                self.learn(context, &value);
                matches!(value, Response::End) || is_error(&value) || self.line.starts_with(b"EN\r")
            }
            Ok(Status::Partial) | Err(_) => false,
        }
    }
}
