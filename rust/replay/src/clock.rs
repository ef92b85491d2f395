//! Clocks of this machine → monotonic ns; kernel stamps in wall-clock time are converted to it.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Longest use of one measured offset between wall clock and monotonic clock, ns. NTP slews both clocks alike, so only
/// a step of the wall clock changes the offset; stamps are wrong for at most this long after one.
const REFRESH: u64 = 100_000_000;

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Returns `CLOCK_MONOTONIC`, ns.
#[inline]
pub fn monotonic() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Returns wall-clock time as seconds since 1970.
pub(crate) fn utc_seconds() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

/// Returns wall-clock time, ns since 1970.
pub(crate) fn utc() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// Converts a wall-clock time, ns since 1970, to monotonic time as the clocks are now.
pub(crate) fn monotonic_of_utc(time: u64) -> u64 {
    let (ahead, _) = offset();
    time.wrapping_sub(ahead)
}

/// Returns the CPU time of the calling thread, ns.
pub fn thread_cpu() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Converter of the kernel's receive stamps from wall-clock to monotonic time.
#[derive(Debug)]
pub(crate) struct WallClock {
    /// Wall-clock time minus monotonic time, ns.
    ahead: u64,
    /// Monotonic time at which `ahead` was measured, ns.
    read_at: u64,
}

impl WallClock {
    /// Measures the offset between the clocks.
    pub(crate) fn new() -> Self {
        let (ahead, read_at) = offset();
        Self { ahead, read_at }
    }

    /// Converts the wall-clock time `stamp` to monotonic time; `now` is the current monotonic time. Measures the
    /// offset again once it is older than [`REFRESH`].
    #[inline]
    pub(crate) fn monotonic(&mut self, stamp: u64, now: u64) -> u64 {
        if now.saturating_sub(self.read_at) > REFRESH {
            (self.ahead, self.read_at) = offset();
        }
        stamp.wrapping_sub(self.ahead)
    }
}

/// Returns wall-clock minus monotonic time and the monotonic time of the measurement, ns. Takes three measurements and
/// keeps the one whose two readings of the monotonic clock are closest together.
fn offset() -> (u64, u64) {
    let pairs = [0; 3].map(|_| {
        let before = monotonic();
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        let after = monotonic();
        (
            after - before,
            wall.wrapping_sub(before.midpoint(after)),
            after,
        )
    });
    let [first, ..] = pairs;
    let (_, ahead, read_at) = pairs.into_iter().min().unwrap_or(first);
    (ahead, read_at)
}
