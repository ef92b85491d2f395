//! Clocks that place a recording in time, and measure its cost.

use membench_event::Anchor;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Reads `CLOCK_MONOTONIC` and UTC together.
pub fn anchor() -> Anchor {
    let before = monotonic_ns();
    let utc_ns = nanoseconds(clock_gettime(ClockId::Realtime));
    let after = monotonic_ns();
    Anchor {
        monotonic_ns: before.midpoint(after),
        utc_ns,
    }
}

/// Reads `CLOCK_MONOTONIC`, the clock of the kernel programs, ns.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Returns the length of a jiffy, ns: the kernel's coarse clocks advance once in each.
#[cfg(feature = "ebpf")]
pub(crate) fn jiffy_ns() -> u32 {
    u32::try_from(nanoseconds(rustix::time::clock_getres(
        ClockId::MonotonicCoarse,
    )))
    .unwrap_or(u32::MAX)
}

/// Returns the CPU time of this process, s.
pub(crate) fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of CPU time are far below 2^52"
    )]
    let seconds = time.tv_sec as f64;
    #[expect(clippy::cast_precision_loss, reason = "below 10^9")]
    let fraction = time.tv_nsec as f64 / 1e9;
    seconds + fraction
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
