//! Slices on tracks → a timeline in Perfetto's format.
//!
//! The format is protobuf; the numbers of its members are those of
//! [track_event.proto](https://github.com/google/perfetto/tree/v49.0/protos/perfetto/trace/track_event).

use std::collections::HashSet;

/// Most tracks. What belongs to later ones is drawn without their name.
const TRACKS: usize = 100_000;
/// Number of this tool among the writers of a trace.
const WRITER: u64 = 1;

const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;

/// Bytes of a timeline that were not handed over yet. Times are of `CLOCK_MONOTONIC`, ns.
#[derive(Debug, Default)]
pub struct Timeline {
    category: &'static str,
    bytes: Vec<u8>,
    tracks: HashSet<u64>,
}

impl Timeline {
    /// Begins a timeline; `category` is that of all its slices.
    pub fn new(category: &'static str) -> Self {
        Self {
            category,
            ..Self::default()
        }
    }

    /// Names a track after a thread, unless it has a name. An empty `name` leaves the thread's to others.
    pub fn thread_track(&mut self, track: u64, process: u32, thread: u32, name: &str) {
        if self.is_new(track) {
            let mut facts = Message::default();
            facts.number(1, process.into());
            facts.number(2, thread.into());
            if !name.is_empty() {
                facts.text(5, name);
            }
            let mut descriptor = Message::default();
            descriptor.number(1, track);
            descriptor.message(4, &facts);
            self.packet(None, 60, &descriptor);
        }
    }

    /// Names a track, unless it has a name. It is drawn below its `parent`, if it has one.
    pub fn named_track(&mut self, track: u64, parent: Option<u64>, name: &str) {
        if self.is_new(track) {
            let mut descriptor = Message::default();
            descriptor.number(1, track);
            descriptor.text(2, name);
            if let Some(parent) = parent {
                descriptor.number(5, parent);
            }
            self.packet(None, 60, &descriptor);
        }
    }

    /// Begins a slice on a track. Slices of a track end in the reverse order of their begins.
    pub fn begin(&mut self, track: u64, time: u64, name: &str, facts: &[(&str, &str)]) {
        self.event(time, SLICE_BEGIN, track, name, facts);
    }

    /// Ends the slice that began last on a track.
    pub fn end(&mut self, track: u64, time: u64) {
        self.event(time, SLICE_END, track, "", &[]);
    }

    /// Draws a moment on a track.
    pub fn instant(&mut self, track: u64, time: u64, name: &str) {
        self.event(time, INSTANT, track, name, &[]);
    }

    /// Hands over the bytes so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn is_new(&mut self, track: u64) -> bool {
        self.tracks.len() < TRACKS && self.tracks.insert(track)
    }

    fn event(&mut self, time: u64, kind: u64, track: u64, name: &str, facts: &[(&str, &str)]) {
        let mut event = Message::default();
        event.number(9, kind);
        event.number(11, track);
        if !name.is_empty() {
            event.text(22, self.category);
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
