//! Values at times → at most [`LIMIT`] buckets of equal width, whatever the duration.

use serde::Serialize;

use super::numbers::float;

/// Most buckets; a longer recording doubles their width.
const LIMIT: usize = 240;
/// Initial width of a bucket, ns.
const NARROWEST: u64 = 100_000_000;

/// Content of a bucket.
pub(super) trait Bucket: Copy + Default {
    /// Joins two adjacent buckets.
    fn join(self, later: Self) -> Self;
}

/// Buckets over time, whose width doubles as often as needed.
pub(super) struct Buckets<B> {
    width: u64,
    buckets: Vec<B>,
}

impl<B> Default for Buckets<B> {
    fn default() -> Self {
        Self {
            width: NARROWEST,
            buckets: Vec::new(),
        }
    }
}

impl<B: Bucket> Buckets<B> {
    /// Returns the bucket that contains `time`, ns since the start.
    pub(super) fn bucket(&mut self, time: u64) -> &mut B {
        while time / self.width >= LIMIT as u64 {
            self.widen();
        }
        let index = usize::try_from(time / self.width).unwrap_or(LIMIT);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, B::default());
        }
        &mut self.buckets[index]
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.buckets = self
            .buckets
            .chunks(2)
            .map(|pair| {
                pair[1..]
                    .iter()
                    .fold(pair[0], |early, &late| early.join(late))
            })
            .collect();
    }

    /// Converts each bucket with `value`, which also gets its width.
    pub(super) fn finish<V>(&self, mut value: impl FnMut(B, Seconds) -> V) -> Series<V> {
        let width = Seconds(float(self.width) / 1e9);
        Series {
            bucket_s: width.0,
            values: self.buckets.iter().map(|&it| value(it, width)).collect(),
        }
    }
}

/// A duration in seconds.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) f64);

/// Values over time, from the start of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series<V> {
    /// Width of a bucket, s.
    pub bucket_s: f64,
    /// One value per bucket. The end of the recording may cut the last bucket short.
    pub values: Vec<V>,
}

impl Bucket for u64 {
    fn join(self, later: Self) -> Self {
        self + later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_recording_widens_its_buckets_and_keeps_the_sum() {
        let mut buckets = Buckets::<u64>::default();
        for second in 0..1000 {
            *buckets.bucket(second * 1_000_000_000) += 1;
        }
        let series = buckets.finish(|count, _| count);
        assert!(series.values.len() <= LIMIT);
        assert_eq!(series.values.iter().sum::<u64>(), 1000);
        assert!((series.bucket_s - 6.4).abs() < 1e-9);
    }

    #[test]
    fn a_gap_of_years_does_not_grow_the_series() {
        let mut buckets = Buckets::<u64>::default();
        *buckets.bucket(0) += 1;
        *buckets.bucket(u64::MAX) += 1;
        assert!(buckets.finish(|count, _| count).values.len() <= LIMIT);
    }
}
