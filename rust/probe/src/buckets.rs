//! Counts by bucket → a histogram with the bounds of each bucket.

use membench_common::probe::{BUCKETS, Settings};
use membench_event::float;

use crate::interval::{Bucket, Histogram};

/// Counts by bucket.
pub(crate) type Counts = [u64; BUCKETS];

/// Names and bounds of the buckets.
#[derive(Clone)]
pub(crate) struct Scale {
    value: String,
    unit: Option<&'static str>,
    least: i64,
    step: u64,
    steps: u64,
    signed: bool,
}

impl Scale {
    pub(crate) fn new(value: &str, settings: &Settings) -> Self {
        Self {
            value: value.into(),
            unit: (settings.latency != 0).then_some("ns"),
            least: settings.least,
            step: settings.step,
            steps: settings.steps,
            signed: settings.signed != 0,
        }
    }

    /// Makes a histogram of counts and the sum of all values, which wraps.
    pub(crate) fn histogram(&self, counts: &Counts, sum: u64) -> Histogram {
        let count: u64 = counts.iter().sum();
        let is_filled = |count: &u64| *count != 0;
        let first = counts.iter().position(is_filled).unwrap_or(0);
        let last = counts.iter().rposition(is_filled);
        let end = last.map_or(0, |last| last + 1);
        let buckets = counts.iter().enumerate().take(end).skip(first);
        let buckets = buckets.map(|(index, count)| {
            let (low, high) = self.bounds(index);
            Bucket {
                low,
                high,
                count: *count,
            }
        });
        Histogram {
            value: self.value.clone(),
            unit: self.unit,
            count,
            mean: (count > 0).then(|| self.number(sum) / float(count)),
            buckets: buckets.collect(),
        }
    }

    fn number(&self, sum: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        if self.signed {
            sum.cast_signed() as f64
        } else {
            float(sum)
        }
    }

    fn bounds(&self, index: usize) -> (Option<i128>, Option<i128>) {
        let index = index as u64;
        if self.step != 0 {
            let at = |step: u64| i128::from(self.least) + i128::from(step) * i128::from(self.step);
            return match index {
                0 => (None, Some(at(0))),
                _ if index > self.steps => (Some(at(self.steps)), None),
                _ => (Some(at(index - 1)), Some(at(index))),
            };
        }
        match index {
            0 => (None, Some(0)),
            1 => (Some(0), Some(1)),
            _ => (
                Some(1 << (index - 2).min(64)),
                Some(1 << (index - 1).min(64)),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn scale(least: i64, step: u64, steps: u64) -> Scale {
        let settings = Settings {
            least,
            step,
            steps,
            signed: 1,
            ..Settings::new_zeroed()
        };
        Scale::new("ret", &settings)
    }

    fn bounds(scale: &Scale, index: usize) -> (Option<i128>, Option<i128>) {
        scale.bounds(index)
    }

    #[test]
    fn powers_of_two_have_their_bounds() {
        let scale = scale(0, 0, 0);
        for (index, expected) in [
            (0, (None, Some(0))),
            (1, (Some(0), Some(1))),
            (2, (Some(1), Some(2))),
            (3, (Some(2), Some(4))),
            (65, (Some(1 << 63), Some(1 << 64))),
        ] {
            assert_eq!(bounds(&scale, index), expected, "{index}");
        }
    }

    #[test]
    fn steps_have_their_bounds_and_the_rest_has_one() {
        let scale = scale(-10, 5, 4);
        for (index, expected) in [
            (0, (None, Some(-10))),
            (1, (Some(-10), Some(-5))),
            (4, (Some(5), Some(10))),
            (5, (Some(10), None)),
        ] {
            assert_eq!(bounds(&scale, index), expected, "{index}");
        }
    }

    #[test]
    fn empty_buckets_at_the_ends_are_left_out() {
        let mut counts = [0; BUCKETS];
        (counts[3], counts[5]) = (1, 3);
        let histogram = scale(0, 0, 0).histogram(&counts, 40);
        let found: Vec<u64> = histogram.buckets.iter().map(|one| one.count).collect();
        assert_eq!((found, histogram.count), (vec![1, 0, 3], 4));
        assert_eq!(histogram.mean, Some(10.0));
        assert!(
            scale(0, 0, 0)
                .histogram(&[0; BUCKETS], 0)
                .buckets
                .is_empty()
        );
    }

    #[test]
    fn a_mean_of_negative_values_is_negative() {
        let mut counts = [0; BUCKETS];
        counts[0] = 2;
        let histogram = scale(0, 0, 0).histogram(&counts, (-8_i64).cast_unsigned());
        assert_eq!(histogram.mean, Some(-4.0));
    }
}
