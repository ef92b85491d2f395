//! Uses of each key, most used first → Zipf's exponent, estimated in two ways.

use serde::Serialize;

use super::numbers::{count, float};

/// Ranks that are summed one by one; those beyond are summed in groups.
const EXACT: usize = 1000;
/// Range of exponents to search.
const RANGE: (f64, f64) = (0.0, 10.0);

/// Zipf's exponent alpha: the uses of the key of rank r are proportional to r^-alpha. There are two labelled estimates,
/// because methods can differ by 8 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Zipf {
    /// Least-squares estimate over log rank and log frequency of all ranks, as in libCacheSim.
    pub alpha_least_squares: f64,
    /// Coefficient of determination of the least-squares line, 0…1.
    pub r2: f64,
    /// Maximum-likelihood estimate for ranks bounded by the number of distinct keys.
    pub alpha_likelihood: f64,
}

/// Estimates the exponent of `frequencies`, which must be descending and ≥ 1. Returns `None` for fewer than two keys
/// as well as for keys that are all used equally often.
pub(super) fn fit(frequencies: &[u32]) -> Option<Zipf> {
    if frequencies.first() == frequencies.last() {
        return None;
    }
    let (alpha_least_squares, r2) = least_squares(frequencies);
    Some(Zipf {
        alpha_least_squares,
        r2,
        alpha_likelihood: likelihood(frequencies),
    })
}

fn least_squares(frequencies: &[u32]) -> (f64, f64) {
    let points = || {
        let logs = frequencies.iter().map(|&it| f64::from(it).ln());
        logs.enumerate().map(|(rank, y)| (log_rank(rank), y))
    };
    let n = float(count(frequencies.len()));
    let (sum_x, sum_y) = points().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points() {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    (-xy / xx, xy * xy / (xx * yy))
}

/// Finds the exponent whose expected log rank is the observed one, by bisection: the expectation falls as the exponent
/// grows.
fn likelihood(frequencies: &[u32]) -> f64 {
    let total: u64 = frequencies.iter().map(|&it| u64::from(it)).sum();
    let logs = frequencies.iter().enumerate();
    let observed: f64 = logs.map(|(rank, &it)| f64::from(it) * log_rank(rank)).sum();
    let observed = observed / float(total);
    let groups = groups(frequencies.len());
    let (mut low, mut high) = RANGE;
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if expected_log_rank(&groups, middle) > observed {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Returns log ranks, each with the number of ranks it represents. Beyond [`EXACT`], groups 1 % wide are represented by
/// their middle, which changes the sums by less than 1e-5.
fn groups(ranks: usize) -> Vec<(f64, f64)> {
    let mut groups: Vec<_> = (0..ranks.min(EXACT))
        .map(|rank| (log_rank(rank), 1.0))
        .collect();
    let mut first = EXACT;
    while first < ranks {
        let end = (first + first / 100).min(ranks);
        let middle = f64::midpoint(float(count(first)), float(count(end - 1))) + 1.0;
        groups.push((middle.ln(), float(count(end - first))));
        first = end;
    }
    groups
}

fn expected_log_rank(groups: &[(f64, f64)], alpha: f64) -> f64 {
    let (mut weights, mut logs) = (0.0, 0.0);
    for &(log, ranks) in groups {
        let weight = ranks * (-alpha * log).exp();
        weights += weight;
        logs += weight * log;
    }
    logs / weights
}

fn log_rank(rank: usize) -> f64 {
    (float(count(rank)) + 1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_an_exact_power_law_is_recovered_both_ways() {
        for alpha in [0.6, 0.99, 1.4] {
            let frequency = |rank: u32| (1e9 * f64::from(rank).powf(-alpha)).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "1…1e9"
            )]
            let frequencies: Vec<_> = (1..=20_000).map(|rank| frequency(rank) as u32).collect();
            let found = fit(&frequencies).expect("some were given");
            assert!(
                (found.alpha_least_squares - alpha).abs() < 1e-3,
                "{found:?}"
            );
            assert!((found.alpha_likelihood - alpha).abs() < 1e-3, "{found:?}");
            assert!(found.r2 > 0.999);
        }
    }

    #[test]
    fn equal_frequencies_have_no_exponent() {
        for frequencies in [&[][..], &[5], &[3, 3, 3]] {
            assert_eq!(fit(frequencies), None);
        }
    }
}
