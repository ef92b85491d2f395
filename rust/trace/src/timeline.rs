//! Records → a timeline in Perfetto's format: a track a thread and a track a connection, with a slice a call.
//!
//! The format is protobuf; the numbers of its members are those of
//! [track_event.proto](https://github.com/google/perfetto/tree/v49.0/protos/perfetto/trace/track_event).

use std::collections::HashSet;

use membench_common::trace::{NO_CALL, kind};

use crate::{argument::Naming, connection::Exchange, line, record::Record};

/// Most tracks. Calls of later threads and connections are drawn on the last ones' track.
const TRACKS: usize = 100_000;
/// Number of this tool among the writers of a trace.
const WRITER: u64 = 1;
/// Added to the number of a connection to give that of its track.
const CONNECTION: u64 = 1 << 40;

const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;

/// Bytes of a timeline that were not handed over yet.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    bytes: Vec<u8>,
    tracks: HashSet<u64>,
}

impl Timeline {
    /// Draws a record.
    pub(crate) fn add(
        &mut self,
        record: &Record<'_>,
        naming: &Naming<'_>,
        exchange: Option<&Exchange>,
        note: &str,
    ) {
        let call = &record.call;
        let track = u64::from(call.tid);
        if self.tracks.len() < TRACKS && self.tracks.insert(track) {
            let mut thread = Message::default();
            thread.number(1, call.pid.into());
            thread.number(2, track);
            let mut descriptor = Message::default();
            descriptor.number(1, track);
            descriptor.message(4, &thread);
            self.packet(None, 60, &descriptor);
        }
        if call.number == NO_CALL {
            let name = if call.kind == kind::SIGNAL {
                "signal"
            } else {
                "exit"
            };
            self.event(call.time, INSTANT, track, name, &[]);
            return;
        }
        let name = line::name(call.number);
        let arguments = line::arguments(record, naming, false).join(", ");
        let result = if call.kind == kind::RETURN {
            line::result(record, naming)
        } else {
            "?".into()
        };
        let facts = [
            ("arguments", arguments.as_str()),
            ("result", result.as_str()),
            ("memcached", note),
        ];
        let began = if call.began == 0 {
            call.time
        } else {
            call.began
        };
        self.event(began, SLICE_BEGIN, track, &name, &facts);
        self.event(call.time, SLICE_END, track, "", &[]);
        if let Some(exchange) = exchange.filter(|exchange| !exchange.commands.is_empty()) {
            self.connection(exchange, &name, [began, call.time], &facts);
        }
    }

    /// Hands over the bytes so far.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn connection(
        &mut self,
        exchange: &Exchange,
        name: &str,
        [began, ended]: [u64; 2],
        facts: &[(&str, &str)],
    ) {
        let track = CONNECTION + u64::from(exchange.connection);
        if self.tracks.len() < TRACKS && self.tracks.insert(track) {
            let mut descriptor = Message::default();
            descriptor.number(1, track);
            descriptor.text(2, &format!("conn {}", exchange.connection));
            self.packet(None, 60, &descriptor);
        }
        self.event(began, SLICE_BEGIN, track, name, facts);
        self.event(ended, SLICE_END, track, "", &[]);
    }

    fn event(&mut self, time: u64, kind: u64, track: u64, name: &str, facts: &[(&str, &str)]) {
        let mut event = Message::default();
        event.number(9, kind);
        event.number(11, track);
        if !name.is_empty() {
            event.text(22, "syscall");
            event.text(23, name);
        }
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let mut fact = Message::default();
            fact.text(10, name);
            fact.text(6, value);
            event.message(4, &fact);
        }
        self.packet(Some(time), 11, &event);
    }

    fn packet(&mut self, time: Option<u64>, member: u64, content: &Message) {
        let mut packet = Message::default();
        if let Some(time) = time {
            packet.number(8, time);
        }
        packet.number(10, WRITER);
        packet.message(member, content);
        let mut trace = Message::default();
        trace.message(1, &packet);
        self.bytes.extend_from_slice(&trace.0);
    }
}

/// A protobuf message.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, member: u64, value: u64) {
        self.variable(member << 3);
        self.variable(value);
    }

    fn text(&mut self, member: u64, text: &str) {
        self.bytes(member, text.as_bytes());
    }

    fn message(&mut self, member: u64, message: &Self) {
        self.bytes(member, &message.0);
    }

    fn bytes(&mut self, member: u64, bytes: &[u8]) {
        self.variable(member << 3 | 2);
        self.variable(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn variable(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_encoded_as_protobuf_does() {
        let mut message = Message::default();
        message.number(1, 300);
        message.text(2, "ab");
        assert_eq!(message.0, [0x08, 0xac, 0x02, 0x12, 2, b'a', b'b']);
    }
}
