//! Counts → ratios; numbers → their sizes.

/// Divides two counts as floating-point numbers. The result is NaN or infinite if `total` is 0.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]
pub fn ratio(amount: u64, total: u64) -> f64 {
    amount as f64 / total as f64
}

/// Returns the number of decimal digits of a number.
pub const fn digits(number: u64) -> u8 {
    let mut digits = 1;
    let mut rest = number / 10;
    while rest > 0 {
        digits += 1;
        rest /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_as_many_digits_as_it_is_written_with() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX / 10, u64::MAX] {
            assert_eq!(usize::from(digits(number)), number.to_string().len());
        }
    }
}
