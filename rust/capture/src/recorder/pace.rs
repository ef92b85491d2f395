//! Each look into a source's buffer → when to look next, and how well the recorder keeps up.

use std::time::Duration;

use serde::Serialize;

/// The shortest and the longest pause between two looks.
pub(crate) const DRAIN_PERIODS: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_millis(10));
/// Fill above which the next look comes sooner.
const FULL: f64 = 0.25;
/// Fill below which the next look comes later.
const EMPTY: f64 = 0.05;

/// Fill at which a look is late.
const LATE_FILL: f64 = 0.5;
/// Age of a record at which the look that takes it is late.
const LATE_LAG: Duration = Duration::from_secs(1);

/// Measures of how well a recorder keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// Highest fill of a ring, 0…1.
    pub ring_fill: f64,
    /// Age of the oldest record, s.
    pub lag_s: f64,
    /// Number of looks that found a ring at least half full, or a record at least a second old.
    pub late: u64,
}

impl Pace {
    fn note(&mut self, fill: f64, lag: Duration) {
        self.ring_fill = self.ring_fill.max(fill);
        self.lag_s = self.lag_s.max(lag.as_secs_f64());
        self.late += u64::from(fill >= LATE_FILL || lag >= LATE_LAG);
    }

    /// Adds a later span.
    fn add(&mut self, later: Self) {
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

/// Spans that a status sums up: a person must be able to see that one of them was late.
const SPANS_SHOWN: usize = 8;

/// The pace of a recorder since the last status, over the last few spans, and in all.
#[derive(Debug, Default)]
pub(crate) struct PaceLog {
    span: Pace,
    latest: [Pace; SPANS_SHOWN],
    all: Pace,
}

impl PaceLog {
    /// Notes a look that found the fullest ring at `fill`, and the oldest record at an age of `lag`.
    pub(crate) fn note(&mut self, fill: f64, lag: Duration) {
        self.span.note(fill, lag);
    }

    /// Ends a span; returns the sum of the latest ones.
    pub(crate) fn end_span(&mut self) -> Pace {
        let span = std::mem::take(&mut self.span);
        self.all.add(span);
        self.latest.rotate_right(1);
        self.latest[0] = span;
        let mut sum = Pace::default();
        self.latest.iter().for_each(|one| sum.add(*one));
        sum
    }

    /// The sum of everything noted.
    pub(crate) fn total(&self) -> Pace {
        let mut sum = self.all;
        sum.add(self.span);
        sum
    }
}

/// Returns the pause before the next look, given the last pause and how full the fullest ring was.
pub(crate) fn next_period(period: Duration, fill: f64) -> Duration {
    let next = if fill > FULL {
        period / 2
    } else if fill < EMPTY {
        period * 2
    } else {
        period
    };
    next.clamp(DRAIN_PERIODS.0, DRAIN_PERIODS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_late_when_the_ring_was_half_full_or_a_record_a_second_old() {
        for (fill, lag_ms, late) in [
            (0.0, 0, 0),
            (0.49, 999, 0),
            (0.5, 0, 1),
            (0.0, 1000, 1),
            (1.0, 0, 1),
        ] {
            let mut pace = Pace::default();
            pace.note(fill, Duration::from_millis(lag_ms));
            assert_eq!(pace.late, late, "{fill} {lag_ms}");
        }
    }

    #[test]
    fn the_fuller_a_ring_was_the_sooner_is_the_next_look() {
        let ms = Duration::from_millis;
        for (period, fill, next) in [
            (8, 0.26, 4),
            (8, 0.25, 8),
            (4, 0.05, 4),
            (4, 0.04, 8),
            (8, 0.0, 10),
            (1, 0.9, 1),
        ] {
            assert_eq!(next_period(ms(period), fill), ms(next), "{period} {fill}");
        }
    }

    #[test]
    fn a_late_span_is_shown_for_a_while() {
        let mut pace = PaceLog::default();
        pace.note(1.0, Duration::ZERO);
        let shown: Vec<u64> = (0..=SPANS_SHOWN).map(|_| pace.end_span().late).collect();
        assert_eq!(shown, [1, 1, 1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(pace.total().late, 1);
    }

    #[test]
    fn the_worst_of_several_spans_is_kept() {
        let mut sum = Pace::default();
        for (fill, lag_ms) in [(0.8, 10), (0.1, 2000), (0.01, 1)] {
            let mut span = Pace::default();
            span.note(fill, Duration::from_millis(lag_ms));
            sum.add(span);
        }
        assert_eq!((sum.ring_fill, sum.lag_s, sum.late), (0.8, 2.0, 2));
    }
}
