//! One direction's TCP segments in any order → its payload in order, with the position of every gap.

use std::collections::BTreeMap;

use super::headers::Tcp;

/// Largest window that TCP allows, bytes. Sequence numbers farther apart belong to different connections.
const LARGEST_WINDOW: u32 = 1 << 30;
/// Largest window seen in practice, bytes.
pub(super) const USUAL_WINDOW: u32 = 64 << 20;
/// Memory that a waiting segment takes beside its payload, bytes.
pub(super) const OVERHEAD: usize = 96;
/// Number of recent packets that a new one is compared with, to find copies.
const REMEMBERED: usize = 8;

/// Payload of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload<'a> {
    /// Time of passage, ns.
    pub(super) time: u64,
    /// Position of the other direction up to which the sender had received.
    pub(super) needs: u64,
    /// Captured bytes.
    pub(super) bytes: &'a [u8],
    /// Original length, bytes.
    pub(super) length: u32,
}

impl<'a> Payload<'a> {
    #[inline]
    pub(super) fn new(tcp: &Tcp<'a>, needs: u64) -> Self {
        Self {
            time: tcp.time,
            needs,
            bytes: tcp.payload,
            length: tcp.length,
        }
    }
}

/// Payload that cannot be handed on yet.
#[derive(Debug)]
pub(super) struct Waiting {
    time: u64,
    needs: u64,
    bytes: Vec<u8>,
    length: u32,
}

/// Repetition and disorder found in a new segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repeated {
    /// Bytes that had been captured before.
    pub(super) bytes: u64,
    /// Number of segments before which a later one had been captured.
    pub(super) out_of_order: u64,
}

impl Repeated {
    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.out_of_order += other.out_of_order;
    }
}

/// One direction of a connection.
///
/// A position is the 64-bit offset of a byte from the first one that the capture can know of; unlike a sequence number,
/// it does not wrap.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number of the byte at `next`, once known.
    sequence: Option<u32>,
    /// Position of the next byte to hand on.
    next: u64,
    /// Position up to which the other side has received everything.
    acknowledged: Option<u64>,
    /// Position of FIN, once captured.
    end: Option<u64>,
    /// Segments that cannot be handed on yet, by position.
    waiting: BTreeMap<u64, Waiting>,
    /// Memory of waiting segments, bytes.
    held: usize,
    /// Time at which the last byte handed on was complete, ns.
    time: u64,
    /// Hashes of recent packets, a ring buffer.
    recent: [u64; REMEMBERED],
    /// Number of packets put into `recent` so far.
    remembered: usize,
    /// Number of segments handed on.
    pub(super) calls: u32,
    /// True once the end of the direction was emitted.
    pub(super) ended: bool,
    /// True if one acknowledged sequence number after the last byte is taken for that of a FIN which was not captured.
    is_end_supposed: bool,
}

impl Stream {
    /// Sets the sequence number of the next byte, unless it is known already.
    #[inline]
    pub(super) fn start(&mut self, sequence: u32) {
        self.sequence.get_or_insert(sequence);
    }

    /// True if the sequence number of the next byte is known.
    #[inline]
    pub(super) fn started(&self) -> bool {
        self.sequence.is_some()
    }

    /// Position of the next byte: everything before was handed on or given up.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Position up to which the other side has acknowledged everything.
    #[inline]
    pub(super) fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// Memory of waiting segments, bytes.
    #[inline]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// True if everything up to FIN was handed on or given up.
    #[inline]
    pub(super) fn complete(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// True if a sequence number can belong to this connection.
    #[inline]
    pub(super) fn plausible(&self, sequence: u32) -> bool {
        self.sequence.is_none_or(|next| {
            sequence.wrapping_sub(next).cast_signed().unsigned_abs() < LARGEST_WINDOW
        })
    }

    /// True if a sequence number is within a usual window of the next byte.
    #[inline]
    pub(super) fn near(&self, sequence: u32) -> bool {
        self.sequence.is_none_or(|next| {
            sequence.wrapping_sub(next).cast_signed().unsigned_abs() < USUAL_WINDOW
        })
    }

    /// Position of a sequence number; `None` before the first byte.
    #[inline]
    pub(super) fn position(&self, sequence: u32) -> Option<u64> {
        let distance = sequence.wrapping_sub(self.sequence?).cast_signed();
        self.next.checked_add_signed(distance.into())
    }

    /// Takes an acknowledgement: the other side expects this byte next. Returns its position, not counting FIN.
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

    /// True if the same packet was captured a moment ago. Remembers this one.
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

    /// Sets the end of the direction to this position, unless it is known already. What was acknowledged beyond it was
    /// the FIN.
    #[inline]
    pub(super) fn end_at(&mut self, position: u64) {
        let end = *self.end.get_or_insert(position);
        self.acknowledged = self.acknowledged.map(|known| known.min(end));
    }

    /// True if everything before a position was handed on or given up. A FIN counts as handed on with the last byte.
    #[inline]
    pub(super) fn reaches(&self, position: u64) -> bool {
        self.next >= position
            || self.complete()
            || (self.is_end_supposed && position == self.next + 1)
    }

    /// Takes the single sequence number before `position` for that of a FIN, if nothing was captured from there on.
    pub(super) fn suppose_end(&mut self, position: u64) -> bool {
        let is_possible =
            position == self.next + 1 && self.waiting.is_empty() && !self.is_end_supposed;
        self.is_end_supposed |= is_possible;
        is_possible
    }

    /// True if a segment at this position can be handed on at once: no byte is missing before it and no segment waits.
    #[inline]
    pub(super) fn continues(&self, position: u64, length: u32) -> bool {
        self.waiting.is_empty() && position == self.next && length > 0
    }

    /// Advances past a segment that passed at `time`. Returns the time at which it was complete and its ordinal.
    #[inline]
    pub(super) fn hand_on(&mut self, length: u32, time: u64) -> (u64, u32) {
        self.move_to(self.next + u64::from(length));
        self.time = self.time.max(time);
        self.calls = self.calls.wrapping_add(1);
        (self.time, self.calls)
    }

    fn move_to(&mut self, position: u64) {
        let distance = position - self.next;
        self.is_end_supposed &= distance == 0;
        self.next = position;
        // Sequence numbers are positions modulo 2^32.
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        let distance = distance as u32;
        self.sequence = self
            .sequence
            .map(|sequence| sequence.wrapping_add(distance));
    }

    /// Gives up the bytes before a position. Returns how many were given up.
    #[inline]
    pub(super) fn skip_to(&mut self, position: u64) -> u64 {
        let missing = position.saturating_sub(self.next);
        self.move_to(self.next + missing);
        missing
    }

    /// Keeps payload for later.
    pub(super) fn keep(&mut self, position: u64, payload: Payload<'_>) -> Repeated {
        let end = position + u64::from(payload.length);
        if end <= self.next {
            return Repeated {
                bytes: payload.length.into(),
                out_of_order: 0,
            };
        }
        let known = self.waiting.get(&position).map_or(0, |known| known.length);
        if known >= payload.length {
            return Repeated {
                bytes: payload.length.into(),
                out_of_order: 0,
            };
        }
        let later = self
            .waiting
            .last_key_value()
            .is_some_and(|(last, _)| *last > position);
        let kept = Waiting {
            time: payload.time,
            needs: payload.needs,
            bytes: payload.bytes.to_vec(),
            length: payload.length,
        };
        self.held += kept.size();
        if let Some(replaced) = self.waiting.insert(position, kept) {
            self.held -= replaced.size();
        }
        Repeated {
            bytes: self.next.saturating_sub(position).max(known.into()),
            out_of_order: later.into(),
        }
    }

    /// Position that the other direction must reach before the first waiting segment is handed on; `None` if bytes are
    /// missing before that segment.
    pub(super) fn ready(&mut self) -> Option<u64> {
        self.drop_repeated();
        let (position, first) = self.waiting.first_key_value()?;
        (*position <= self.next).then_some(first.needs)
    }

    /// Position of the first waiting segment.
    #[inline]
    pub(super) fn first_waiting(&self) -> Option<u64> {
        self.waiting
            .first_key_value()
            .map(|(position, _)| *position)
    }

    /// Takes the first waiting segment, cut down to the bytes that were not handed on yet.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        let (position, mut first) = self.waiting.pop_first()?;
        self.held -= first.size();
        let repeated = u32::try_from(self.next.saturating_sub(position)).unwrap_or(u32::MAX);
        let captured = first.bytes.len().min(repeated as usize);
        first.bytes.drain(..captured);
        first.length = first.length.saturating_sub(repeated);
        Some(first)
    }

    /// Drops waiting segments whose bytes were all handed on or given up.
    fn drop_repeated(&mut self) {
        while let Some((position, first)) = self.waiting.first_key_value()
            && position + u64::from(first.length) <= self.next
        {
            self.take();
        }
    }
}

impl Waiting {
    #[inline]
    pub(super) fn payload(&self) -> Payload<'_> {
        Payload {
            time: self.time,
            needs: self.needs,
            bytes: &self.bytes,
            length: self.length,
        }
    }

    /// Memory that the payload takes, bytes.
    fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}
