//! Counts → ratios.

/// Divides two counts as floating-point numbers. The result is NaN or infinite if `total` is 0.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]
pub fn ratio(amount: u64, total: u64) -> f64 {
    amount as f64 / total as f64
}
