//! Each look into the ring → how well the recorder keeps up.

use std::time::Duration;

use serde::Serialize;

/// A look that finds the ring this full, or records this old, is late.
const LATE_FILL: f64 = 0.5;
const LATE_LAG: Duration = Duration::from_secs(1);

/// How well a recorder kept up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// The fullest the ring was found, 0…1.
    pub ring_fill: f64,
    /// Age of the oldest record found, s.
    pub lag_s: f64,
    /// Looks that found the ring at least half full, or records a second old.
    pub late: u64,
}

impl Pace {
    /// Notes a look that took so many bytes, of which the oldest record was so old, out of a ring of this size.
    pub(super) fn note(&mut self, taken: u64, ring: u64, lag: Duration) {
        let fill = super::running::ratio(taken.min(ring), ring.max(1));
        self.ring_fill = self.ring_fill.max(fill);
        self.lag_s = self.lag_s.max(lag.as_secs_f64());
        self.late += u64::from(fill >= LATE_FILL || lag >= LATE_LAG);
    }

    /// Adds what a later span came to.
    pub(super) fn add(&mut self, later: Self) {
        let Self {
            ring_fill,
            lag_s,
            late,
        } = later;
        self.ring_fill = self.ring_fill.max(ring_fill);
        self.lag_s = self.lag_s.max(lag_s);
        self.late += late;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_late_when_the_ring_was_half_full_or_a_record_a_second_old() {
        for (taken, lag_ms, late) in [
            (0, 0, 0),
            (49, 999, 0),
            (50, 0, 1),
            (0, 1000, 1),
            (500, 0, 1),
        ] {
            let mut pace = Pace::default();
            pace.note(taken, 100, Duration::from_millis(lag_ms));
            assert_eq!(pace.late, late, "{taken} {lag_ms}");
            assert!(pace.ring_fill <= 1.0);
        }
    }

    #[test]
    fn the_worst_of_several_spans_is_kept() {
        let mut sum = Pace::default();
        for (taken, lag_ms) in [(80, 10), (10, 2000), (1, 1)] {
            let mut span = Pace::default();
            span.note(taken, 100, Duration::from_millis(lag_ms));
            sum.add(span);
        }
        assert_eq!((sum.ring_fill, sum.lag_s, sum.late), (0.8, 2.0, 2));
    }
}
