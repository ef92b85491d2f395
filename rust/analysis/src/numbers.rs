//! Counts → ratios.

/// Converts a count to a float, exactly up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 lose nothing a reader could see"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Returns `part / whole`, or `None` if `whole` is 0.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

/// Converts a length to a count.
pub(super) fn count(length: usize) -> u64 {
    length as u64
}
