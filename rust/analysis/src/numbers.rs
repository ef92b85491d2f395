//! Counts → ratios.

pub(super) use membench_event::{float, share};

/// Converts a length to a count.
pub(super) fn count(length: usize) -> u64 {
    length as u64
}
