//! One direction of a connection: segments in any order → its bytes in order, and what is missing of them.

use std::collections::BTreeMap;

use super::headers::Tcp;

/// Sequence numbers farther apart than a window can be belong to another connection.
const LARGEST_WINDOW: u32 = 1 << 30;
/// Windows that occur.
const USUAL_WINDOW: u32 = 64 << 20;
/// What keeping a segment costs beside its bytes.
const OVERHEAD: usize = 96;
/// How many packets back a copy of a packet is looked for.
const REMEMBERED: usize = 8;

/// Bytes that cannot be handed on yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// When they passed, ns.
    pub(super) time: u64,
    /// How far the other direction had come by then.
    pub(super) needs: u64,
    /// What was captured of them.
    pub(super) bytes: Vec<u8>,
    /// How many there were.
    pub(super) length: u32,
}

/// What a new segment brought that had been there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repeated {
    /// Bytes that had been captured already.
    pub(super) bytes: u64,
    /// It came before an earlier one.
    pub(super) out_of_order: bool,
}

/// One direction. Positions count its bytes from the first that can be known of, 64 bits wide.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number of the byte at `next`, once known.
    sequence: Option<u32>,
    next: u64,
    acknowledged: Option<u64>,
    end: Option<u64>,
    waiting: BTreeMap<u64, Waiting>,
    held: usize,
    /// When the last byte handed on was complete, ns.
    time: u64,
    recent: [u64; REMEMBERED],
    remembered: usize,
    /// Segments handed on.
    pub(super) calls: u32,
    /// Its end was told.
    pub(super) ended: bool,
}

impl Stream {
    /// The next byte has this sequence number, unless that is known already.
    pub(super) fn start(&mut self, sequence: u32) {
        self.sequence.get_or_insert(sequence);
    }

    /// Whether it is known where it starts.
    pub(super) fn started(&self) -> bool {
        self.sequence.is_some()
    }

    /// Position up to which everything was handed on or given up.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Position up to which the other side has said that it has everything.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// Bytes of memory that waiting segments take.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Whether everything up to its end was handed on.
    pub(super) fn complete(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Whether a sequence number can be one of this stream.
    pub(super) fn plausible(&self, sequence: u32) -> bool {
        self.sequence.is_none_or(|next| {
            sequence.wrapping_sub(next).cast_signed().unsigned_abs() < LARGEST_WINDOW
        })
    }

    /// Whether a sequence number is within a usual window of the next byte.
    pub(super) fn near(&self, sequence: u32) -> bool {
        self.sequence.is_none_or(|next| {
            sequence.wrapping_sub(next).cast_signed().unsigned_abs() < USUAL_WINDOW
        })
    }

    /// The position of a sequence number; none before the first byte.
    pub(super) fn position(&self, sequence: u32) -> Option<u64> {
        let distance = sequence.wrapping_sub(self.sequence?).cast_signed();
        self.next.checked_add_signed(distance.into())
    }

    /// The other side expects this byte next. Returns the position, the byte of FIN left out.
    pub(super) fn acknowledge(&mut self, sequence: u32) -> u64 {
        self.start(sequence);
        if !self.plausible(sequence) {
            return 0;
        }
        let position = self.position(sequence).unwrap_or(0);
        let position = self.end.map_or(position, |end| position.min(end));
        self.acknowledged = Some(self.acknowledged.unwrap_or(0).max(position));
        position
    }

    /// Whether the same packet was captured a moment ago; remembers this one.
    pub(super) fn is_copy(&mut self, tcp: &Tcp<'_>) -> bool {
        let place = u64::from(tcp.sequence) << 32 | u64::from(tcp.acknowledgement.unwrap_or(0));
        let kind = u64::from(tcp.length) << 3
            | u64::from(tcp.syn) << 2
            | u64::from(tcp.fin) << 1
            | u64::from(tcp.rst);
        let mark = (tcp.identity ^ place)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(kind)
            .max(1);
        if self.recent.contains(&mark) {
            return true;
        }
        self.recent[self.remembered % REMEMBERED] = mark;
        self.remembered = self.remembered.wrapping_add(1);
        false
    }

    /// The direction ends behind this position.
    pub(super) fn end_at(&mut self, position: u64) {
        self.end.get_or_insert(position);
    }

    /// Whether a segment at this position can be handed on as it is: nothing is missing before it, nothing waits.
    pub(super) fn continues(&self, position: u64, length: u32) -> bool {
        self.waiting.is_empty() && position == self.next && length > 0
    }

    /// Moves on by a segment that was handed on at `time`; returns when it was complete and its ordinal.
    pub(super) fn hand_on(&mut self, length: u32, time: u64) -> (u64, u32) {
        self.move_to(self.next + u64::from(length));
        self.time = self.time.max(time);
        self.calls = self.calls.wrapping_add(1);
        (self.time, self.calls)
    }

    fn move_to(&mut self, position: u64) {
        let distance = position - self.next;
        self.next = position;
        // Sequence numbers are positions modulo 2^32.
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        let distance = distance as u32;
        self.sequence = self
            .sequence
            .map(|sequence| sequence.wrapping_add(distance));
    }

    /// Gives up what is missing up to a position; returns how many bytes.
    pub(super) fn skip_to(&mut self, position: u64) -> u64 {
        let missing = position.saturating_sub(self.next);
        self.move_to(self.next + missing);
        missing
    }

    /// Keeps a segment for later. `needs` is how far the other direction had come when it was sent.
    pub(super) fn keep(&mut self, tcp: &Tcp<'_>, position: u64, needs: u64) -> Repeated {
        let end = position + u64::from(tcp.length);
        if end <= self.next {
            return Repeated {
                bytes: tcp.length.into(),
                out_of_order: false,
            };
        }
        let known = self.waiting.get(&position).map_or(0, |known| known.length);
        if known >= tcp.length {
            return Repeated {
                bytes: tcp.length.into(),
                out_of_order: false,
            };
        }
        let later = self
            .waiting
            .last_key_value()
            .is_some_and(|(last, _)| *last > position);
        let kept = Waiting {
            time: tcp.time,
            needs,
            bytes: tcp.payload.to_vec(),
            length: tcp.length,
        };
        self.held += kept.size();
        if let Some(replaced) = self.waiting.insert(position, kept) {
            self.held -= replaced.size();
        }
        Repeated {
            bytes: self.next.saturating_sub(position).max(known.into()),
            out_of_order: later,
        }
    }

    /// What the first waiting segment needs of the other direction, if nothing is missing before it.
    pub(super) fn ready(&mut self) -> Option<u64> {
        self.drop_repeated();
        let (position, first) = self.waiting.first_key_value()?;
        (*position <= self.next).then_some(first.needs)
    }

    /// Where the first waiting segment begins.
    pub(super) fn first_waiting(&self) -> Option<u64> {
        self.waiting
            .first_key_value()
            .map(|(position, _)| *position)
    }

    /// Takes the first waiting segment without what was handed on before it.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        let (position, mut first) = self.waiting.pop_first()?;
        self.held -= first.size();
        let repeated = u32::try_from(self.next.saturating_sub(position)).unwrap_or(u32::MAX);
        let captured = first.bytes.len().min(repeated as usize);
        first.bytes.drain(..captured);
        first.length = first.length.saturating_sub(repeated);
        Some(first)
    }

    fn drop_repeated(&mut self) {
        while let Some((position, first)) = self.waiting.first_key_value()
            && position + u64::from(first.length) <= self.next
        {
            self.take();
        }
    }
}

impl Waiting {
    fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}
