//! Counts → ratios.

/// Divides two counts as floating-point numbers. The result is NaN or infinite if `total` is 0.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]
pub fn ratio(amount: u64, total: u64) -> f64 {
    amount as f64 / total as f64
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
