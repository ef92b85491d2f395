//! What is at the head of each ring → whose turn it is: records of several rings, in the order in which they were made.
//!
//! Within a ring records stand in the order in which room was reserved for them. A record's time was taken before that,
//! by the program that made it. So whatever happened before a record was begun, as the calls of one connection do, one
//! after the other, was reserved earlier, and so was all that stands before it in its ring; and the heads' smallest
//! time always leads to it. That holds as long as it can be seen:
//!
//! * what was begun before a sweep can only come after what was there before the sweep, so later records wait for the
//!   next one;
//! * a record that is reserved but not written yet hides those behind it, which were reserved after the last that
//!   was taken from that ring. What is later than that waits, but not longer than [`PATIENCE_NS`]: a writer can have
//!   been stopped.
//!
//! What waits stays in its ring: nothing is copied, and what is held is bounded by the rings.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Two of the longest pauses between sweeps.
pub(crate) const PATIENCE_NS: u64 = 20_000_000;

/// What a look into a ring shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A record, with its time, ns.
    Record(u64),
    /// Nothing, and all that was in it when the sweep began has been taken.
    Empty,
    /// A record that is being written.
    Busy,
}

/// The order of one sweep after the other. Times are those of the records' clock, ns.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Of each ring: nothing is in it, hidden, that was reserved before.
    floors: Vec<u64>,
    /// The records at the heads of rings, with the ring's index.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// When the sweep began,
    began: u64,
    /// and the latest that may be taken in it.
    watermark: u64,
}

impl Merge {
    /// Of so many rings, all empty.
    pub(crate) fn new(rings: usize) -> Self {
        Self {
            floors: vec![0; rings],
            heads: BinaryHeap::with_capacity(rings),
            began: 0,
            watermark: 0,
        }
    }

    /// Begins a sweep: each ring is to be shown then. `now` must be read before any of them is looked into.
    pub(crate) fn begin(&mut self, now: u64) {
        self.heads.clear();
        self.began = now;
        self.watermark = now;
    }

    /// Takes what a look into a ring showed: at the start of a sweep, and after a record was taken from it.
    pub(crate) fn show(&mut self, ring: usize, look: Look) {
        match look {
            Look::Record(time) => self.heads.push(Reverse((time, ring))),
            Look::Empty => self.raise(ring, self.began),
            Look::Busy => {
                let floor = self.floors.get(ring).copied().unwrap_or(0);
                let bound = floor.max(self.began.saturating_sub(PATIENCE_NS));
                self.watermark = self.watermark.min(bound);
            }
        }
    }

    /// The ring whose head is next; none when what is left has to wait.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let Reverse((time, ring)) = *self.heads.peek()?;
        if time > self.watermark {
            return None;
        }
        self.heads.pop();
        self.raise(ring, time);
        Some(ring)
    }

    fn raise(&mut self, ring: usize, time: u64) {
        if let Some(floor) = self.floors.get_mut(ring) {
            *floor = time.max(*floor);
        }
    }
}

#[cfg(test)]
mod tests;
