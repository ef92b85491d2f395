//! The clock of kernel programs.

use rustix::time::{ClockId, clock_gettime};

/// Returns `CLOCK_MONOTONIC`, ns: what `bpf_ktime_get_ns` returns in a program.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
