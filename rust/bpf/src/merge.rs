//! Merges the records of several rings into the order in which they were made.
//!
//! Records of one ring are ordered by when their room was reserved. A program reads the clock before it reserves room,
//! so of two records that were made one after the other (two calls on one connection, say) the earlier has the smaller
//! time and was reserved first, whichever rings they are in. Taking the smallest time among the heads of all rings
//! therefore yields them in order, as long as all heads can be seen. Two cases need care:
//!
//! * While a sweep looks at one ring after the other, new records arrive. A record that begins after the sweep began can
//!   follow only records that were there when it began, so records later than the sweep's start wait for the next sweep.
//! * A record that is reserved but not yet written hides the records after it. It was reserved later than the last
//!   record taken from that ring, so only records with later times wait for it; and they wait no longer than
//!   [`PATIENCE_NS`], because its writer can have been stopped.
//!
//! Waiting records stay in their rings: nothing is copied, and the rings bound what is held back.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Longest wait for a record that is being written, ns: two of the longest pauses between sweeps.
pub(crate) const PATIENCE_NS: u64 = 20_000_000;

/// The head of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A record, with its time, ns.
    Record(u64),
    /// No record; everything that the ring held when the sweep began has been taken.
    Empty,
    /// A record that is being written.
    Busy,
}

/// Decides which ring's head is next. All times are ns of the records' clock.
#[derive(Debug)]
pub(crate) struct Merge {
    /// For each ring a time: no record that is hidden in it was reserved before.
    floors: Vec<u64>,
    /// The records at the heads of rings: time, and the ring's index.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// Start of the current sweep.
    began: u64,
    /// Latest time of a record that may be taken in this sweep.
    watermark: u64,
}

impl Merge {
    /// Creates the merge of `rings` empty rings.
    pub(crate) fn new(rings: usize) -> Self {
        Self {
            floors: vec![0; rings],
            heads: BinaryHeap::with_capacity(rings),
            began: 0,
            watermark: 0,
        }
    }

    /// Begins a sweep; the caller then shows the head of each ring. `now` must be read before any ring is looked at.
    pub(crate) fn begin(&mut self, now: u64) {
        self.heads.clear();
        self.began = now;
        self.watermark = now;
    }

    /// Takes note of a ring's head: at the start of a sweep, and after a record was taken from that ring.
    pub(crate) fn show(&mut self, ring: usize, head: Head) {
        match head {
            Head::Record(time) => self.heads.push(Reverse((time, ring))),
            Head::Empty => self.raise(ring, self.began),
            Head::Busy => {
                let floor = self.floors.get(ring).copied().unwrap_or(0);
                let bound = floor.max(self.began.saturating_sub(PATIENCE_NS));
                self.watermark = self.watermark.min(bound);
            }
        }
    }

    /// Returns the ring whose head is next; `None` if all that is left has to wait.
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
