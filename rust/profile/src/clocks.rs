//! Clock pairs offered while recording → the short list in the manifest that documents their drift.

use membench_event::Anchor;

/// Least distance between two pairs, ns: one minute.
const SPACING_NS: u64 = 60_000_000_000;
/// Most pairs in the list: one day of one pair a minute.
pub(super) const MOST: usize = 1440;

/// Chooses which clock pairs a manifest keeps.
///
/// A pair is kept if the spacing has passed since the last one. Once the list is full, every second pair is removed and
/// the spacing doubles, so that the list covers the whole recording evenly however long it takes.
#[derive(Debug)]
pub(super) struct ClockThinning {
    spacing_ns: u64,
    /// `CLOCK_MONOTONIC` from which on the next pair is kept, ns.
    due_ns: u64,
}

impl ClockThinning {
    /// Starts at the anchor, which is the pair before the first. If its clocks are equal, the source gives times in UTC:
    /// no pair is ever due.
    pub(super) fn new(anchor: Anchor) -> Self {
        let due_ns = if anchor.monotonic_ns == anchor.utc_ns {
            u64::MAX
        } else {
            anchor.monotonic_ns.saturating_add(SPACING_NS)
        };
        Self {
            spacing_ns: SPACING_NS,
            due_ns,
        }
    }

    /// Adds a pair to `kept` if it is due. Costs one comparison if it is not.
    pub(super) fn offer(&mut self, pair: Anchor, kept: &mut Vec<Anchor>) {
        if pair.monotonic_ns < self.due_ns {
            return;
        }
        kept.push(pair);
        if kept.len() == MOST {
            self.thin(kept);
        }
        self.due_ns = pair.monotonic_ns.saturating_add(self.spacing_ns);
    }

    /// Keeps the second of every two pairs, and so the latest.
    fn thin(&mut self, kept: &mut Vec<Anchor>) {
        let mut is_second = true;
        kept.retain(|_| {
            is_second = !is_second;
            is_second
        });
        self.spacing_ns = self.spacing_ns.saturating_mul(2);
    }
}
