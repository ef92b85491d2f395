//! Buckets of a histogram → quantiles.

use membench_common::observe::{BUCKETS, DETAIL};

use crate::Quantiles;

/// Numbers of requests by bucket.
pub(crate) type Counts = [u32; BUCKETS];

/// Returns the quantiles of `requests` times, of which those that are not in a bucket are 0.
pub(crate) fn of(counts: &Counts, requests: u64) -> Quantiles {
    let quantile = |per_mille: u64| {
        // The least time that at least that share of the requests do not exceed.
        let wanted = (u128::from(requests) * u128::from(per_mille)).div_ceil(1000);
        let listed: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let mut seen = u128::from(requests.saturating_sub(listed));
        if seen >= wanted {
            return 0;
        }
        let found = counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        });
        found.map_or(0, middle)
    };
    let last = counts.iter().rposition(|count| *count > 0);
    Quantiles {
        p50_ns: quantile(500),
        p90_ns: quantile(900),
        p99_ns: quantile(990),
        p999_ns: quantile(999),
        max_ns: last.map_or(0, middle),
    }
}

/// Returns the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let steps = 1_usize << DETAIL;
    if bucket < steps {
        return bucket as u64;
    }
    let power = (bucket >> DETAIL) - 1;
    let low = ((steps + (bucket & (steps - 1))) as u64) << power;
    low + (1_u64 << power) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own way from a time to its bucket.
    fn bucket(time: u64) -> usize {
        if time < 1 << DETAIL {
            return usize::try_from(time).unwrap();
        }
        let power = time.ilog2() - DETAIL;
        let step = usize::try_from(time >> power).unwrap() & ((1 << DETAIL) - 1);
        ((power as usize + 1) << DETAIL) + step
    }

    #[test]
    fn a_bucket_s_middle_is_within_7_percent_of_each_time_in_it() {
        let mut time = 1_u64;
        while time < 1 << 50 {
            let middle = middle(bucket(time));
            assert!(middle.abs_diff(time) * 100 <= time * 7, "{time}: {middle}");
            time += time / 37 + 1;
        }
    }

    #[test]
    fn requests_without_a_part_count_as_none_of_its_time() {
        let mut counts = [0; BUCKETS];
        counts[bucket(1_000_000)] = 2;
        let of = of(&counts, 100);
        assert_eq!((of.p50_ns, of.p90_ns), (0, 0));
        assert!(of.p99_ns.abs_diff(1_000_000) < 70_000);
        assert_eq!(of.max_ns, of.p999_ns);
    }

    #[test]
    fn nothing_has_quantiles_of_nothing() {
        assert_eq!(of(&[0; BUCKETS], 0), Quantiles::default());
    }
}
