//! Each look into the rings → when to look next, and how well the recorder keeps up.

use std::time::Duration;

use serde::Serialize;

/// The shortest and the longest pause between two looks.
pub(crate) const DRAIN_PERIODS: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_millis(10));
/// A ring that was fuller than this is looked into sooner,
const FULL: f64 = 0.25;
/// and one emptier than this later.
const EMPTY: f64 = 0.05;

/// A look that finds a ring this full, or records this old, is late.
const LATE_FILL: f64 = 0.5;
const LATE_LAG: Duration = Duration::from_secs(1);

/// How well a recorder kept up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// The fullest a ring was found, 0…1.
    pub ring_fill: f64,
    /// Age of the oldest record found, s.
    pub lag_s: f64,
    /// Looks that found a ring at least half full, or records a second old.
    pub late: u64,
}

impl Pace {
    /// Notes a look that found a ring so full, and a record so old.
    pub(crate) fn note(&mut self, fill: f64, lag: Duration) {
        self.ring_fill = self.ring_fill.max(fill);
        self.lag_s = self.lag_s.max(lag.as_secs_f64());
        self.late += u64::from(fill >= LATE_FILL || lag >= LATE_LAG);
    }

    /// Adds what a later span came to.
    pub(crate) fn add(&mut self, later: Self) {
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

/// How many spans are told of together: a person must be able to see that one of them was late.
const SPANS_TOLD: usize = 8;

/// The last few spans.
#[derive(Debug, Default)]
pub(crate) struct Lately([Pace; SPANS_TOLD]);

impl Lately {
    /// Puts another span in the place of the oldest; returns what they all came to.
    pub(crate) fn tell(&mut self, span: Pace) -> Pace {
        self.0.rotate_right(1);
        self.0[0] = span;
        let mut all = Pace::default();
        self.0.iter().for_each(|one| all.add(*one));
        all
    }
}

/// The next pause, after one so long and a look that found the fullest ring so full.
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
    fn a_late_span_is_told_of_for_a_while() {
        let mut lately = Lately::default();
        let late = Pace {
            late: 1,
            ..Pace::default()
        };
        let mut told = vec![lately.tell(late).late];
        told.extend((0..SPANS_TOLD).map(|_| lately.tell(Pace::default()).late));
        assert_eq!(told, [1, 1, 1, 1, 1, 1, 1, 1, 0]);
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
