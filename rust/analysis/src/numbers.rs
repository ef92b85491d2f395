//! Counts → ratios.

/// A count as a float: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 lose nothing a reader could see"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// `part / whole`, or none of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

/// A count of things in memory.
pub(super) fn count(length: usize) -> u64 {
    length as u64
}
