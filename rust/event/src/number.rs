//! Counts → ratios; numbers → their sizes; maps whose keys are numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Returns a count as a floating-point number.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// Divides two counts as floating-point numbers. The result is NaN or infinite if `total` is 0.
pub fn ratio(amount: u64, total: u64) -> f64 {
    float(amount) / float(total)
}

/// Divides two counts as floating-point numbers; `None` if `whole` is 0.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| ratio(part, whole))
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

/// Writes a size with three digits, in powers of 1024: `812 B`, `1.00 GiB`.
///
/// ```
/// use membench_event::size;
///
/// assert_eq!(size(812), "812 B");
/// assert_eq!(size(1 << 30), "1.00 GiB");
/// assert_eq!(size(22 << 20), "22.0 MiB");
/// assert_eq!(size((1 << 20) - 1), "1.00 MiB");
/// ```
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = ratio(bytes, 1024);
    let mut unit = 0;
    // A value that three digits would round up to the next unit is written in that.
    while scaled >= 1023.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let digits = match scaled {
        small if small < 9.995 => 2,
        medium if medium < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$} {}", UNITS.get(unit).unwrap_or(&"B"))
}

/// A map from ordinals or cookies.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// A fast hasher that spreads numbers. It need not resist attacks: membench counts ordinals itself, and the kernel chooses
/// cookies, by counting or from addresses.
#[derive(Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
