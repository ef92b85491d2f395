//! The machine's clocks → monotonic ns; wall-clock stamps are converted, CPU time is read.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// How often the offset between the clocks is read again, ns: NTP may slew by 500 ppm, 50 ns in this time.
const REFRESH: u64 = 100_000_000;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// `CLOCK_MONOTONIC`, ns.
#[inline]
pub fn monotonic() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Seconds since 1970.
pub fn utc_seconds() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

/// CPU time of this thread, ns.
pub fn thread_cpu() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Converts the kernel's receive stamps, which are wall-clock time, to monotonic time.
#[derive(Debug)]
pub struct WallClock {
    ahead: u64,
    read_at: u64,
}

impl WallClock {
    /// Reads both clocks.
    pub fn new() -> Self {
        let (ahead, read_at) = offset();
        Self { ahead, read_at }
    }

    /// A wall-clock stamp as monotonic time; `now` is the monotonic time.
    #[inline]
    pub fn monotonic(&mut self, stamp: u64, now: u64) -> u64 {
        if now.saturating_sub(self.read_at) > REFRESH {
            (self.ahead, self.read_at) = offset();
        }
        stamp.wrapping_sub(self.ahead)
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

/// By how much the wall clock is ahead, from the tightest of three pairs, and when it was read.
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
