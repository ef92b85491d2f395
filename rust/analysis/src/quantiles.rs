//! Values → quantiles and a histogram in powers of two.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::numbers::float;

/// Largest value that a growing histogram tracks; as a time in ns, 146 years.
pub(crate) const LARGEST: u64 = i64::MAX as u64 / 2;

/// Histogram of three significant digits, at most 0.1 % off. Takes 16 to 430 kB, as its largest value demands.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution {
    histogram: Option<Histogram<u64>>,
    sum: u64,
}

/// Summary of a distribution. Quantiles are exact below 2,048 and within 0.1 % above.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// Number of values.
    pub count: u64,
    /// Smallest value.
    pub min: u64,
    /// Arithmetic mean, exact.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest value.
    pub max: u64,
    /// Histogram in powers of two.
    pub log2: Vec<Bin>,
}

/// Number of values from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Smallest value of the bin: 0 or a power of two.
    pub low: u64,
    /// Largest value of the bin.
    pub high: u64,
    /// Number of values in the bin.
    pub count: u64,
}

impl Distribution {
    pub(super) fn record(&mut self, value: u64) {
        self.sum = self.sum.saturating_add(value);
        let histogram = self.histogram.get_or_insert_with(histogram);
        let recorded = histogram.record(value.min(LARGEST));
        debug_assert!(recorded.is_ok(), "the histogram grows up to `LARGEST`");
    }

    /// Returns the summary; `None` if no value was recorded.
    pub(super) fn finish(&self) -> Option<Quantiles> {
        let histogram = self.histogram.as_ref()?;
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
        Some(Quantiles {
            count: histogram.len(),
            min: histogram.min(),
            mean: float(self.sum) / float(histogram.len()),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            log2: log2(histogram),
        })
    }
}

/// Returns an empty histogram that grows with its values, so that none saturates.
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("constant bounds are valid")
}

fn log2(histogram: &Histogram<u64>) -> Vec<Bin> {
    let mut bins: Vec<Bin> = Vec::new();
    for value in histogram.iter_recorded() {
        let (low, high) = power_of_two(value.value_iterated_to());
        let count = value.count_at_value();
        match bins.last_mut() {
            Some(bin) if bin.low == low => bin.count += count,
            _ => bins.push(Bin { low, high, count }),
        }
    }
    bins
}

/// Bounds of the bin that contains a value: 0 alone, then 1, 2–3, 4–7, …
fn power_of_two(value: u64) -> (u64, u64) {
    match value.checked_ilog2() {
        None => (0, 0),
        Some(exponent) => (1 << exponent, (1 << exponent) * 2 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred_values_are_exact() {
        let mut distribution = Distribution::default();
        (1..=100).for_each(|value| distribution.record(value));
        let found = distribution.finish().expect("some were given");
        assert_eq!((found.count, found.min, found.max), (100, 1, 100));
        assert_eq!((found.p50, found.p90, found.p99), (50, 90, 99));
        assert!((found.mean - 50.5).abs() < 1e-9);
    }

    #[test]
    fn a_value_of_any_size_is_held() {
        let mut distribution = Distribution::default();
        for value in [6_000_000_000, 90_000_000_000, LARGEST] {
            distribution.record(value);
        }
        let found = distribution.finish().expect("some were given");
        assert!(found.min.abs_diff(6_000_000_000) < 6_000_000);
        assert!(found.p50.abs_diff(90_000_000_000) < 90_000_000);
        assert!(found.max > LARGEST / 1000 * 999);
    }

    #[test]
    fn bins_are_powers_of_two_with_zero_apart() {
        let mut distribution = Distribution::default();
        for value in [0, 1, 2, 3, 1_000_000] {
            distribution.record(value);
        }
        let bins: Vec<_> = distribution
            .finish()
            .expect("some were given")
            .log2
            .iter()
            .map(|bin| (bin.low, bin.high, bin.count))
            .collect();
        assert_eq!(
            bins,
            [(0, 0, 1), (1, 1, 1), (2, 3, 2), (524_288, 1_048_575, 1)]
        );
    }

    #[test]
    fn nothing_recorded_has_no_quantiles() {
        assert_eq!(Distribution::default().finish(), None);
    }
}
