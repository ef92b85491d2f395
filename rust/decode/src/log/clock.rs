//! Times by memcached's wall clock → `CLOCK_MONOTONIC`: lines of one microsecond stay in order, and steps of the clock
//! are taken out.

use membench_event::Anchor;

/// Most by which a line's time may precede that of an earlier gid because threads race for the gid, µs.
const RACE: u64 = 50;
/// Jump back in time by which memcached's clock must have been set, µs.
const STEP: u64 = 1_000_000;

/// A clock that gives each line its time. Lines are taken in order of their gids.
#[derive(Debug)]
pub(super) struct LogClock {
    anchor: Anchor,
    /// Lead of memcached's clock over ours, µs: the lead found at the start, less the steps back since.
    ahead: i64,
    /// Latest time of a line by memcached's clock, µs.
    last_us: u64,
    /// Latest time given to a line, ns.
    last_ns: u64,
    steps: u64,
}

impl LogClock {
    /// Creates the clock of a memcached that is ahead of the anchor by `ahead_s` seconds.
    pub(super) fn new(anchor: Anchor, ahead_s: i64) -> Self {
        Self {
            anchor,
            ahead: ahead_s.saturating_mul(1_000_000),
            last_us: 0,
            last_ns: 0,
            steps: 0,
        }
    }

    /// Returns the time of the next line, `CLOCK_MONOTONIC`, ns.
    pub(super) fn time(&mut self, micros: u64) -> u64 {
        if micros + STEP <= self.last_us {
            self.steps += 1;
            self.ahead = self.ahead.saturating_sub_unsigned(self.last_us - micros);
            self.last_us = micros;
        }
        let behind = self.last_us.saturating_sub(micros);
        if behind <= RACE && micros <= self.last_us && self.last_ns > 0 {
            self.last_ns += 1;
            return self.last_ns;
        }
        let time = self.place(micros);
        self.last_us = self.last_us.max(micros);
        self.last_ns = self.last_ns.max(time);
        time
    }

    /// Returns how often memcached's clock was set back.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the time of a moment on memcached's clock, `CLOCK_MONOTONIC`, ns.
    pub(super) fn place(&self, micros: u64) -> u64 {
        let utc_ns = i128::from(micros) * 1000 - i128::from(self.ahead) * 1000;
        let since = utc_ns - i128::from(self.anchor.utc_ns);
        let time = (i128::from(self.anchor.monotonic_ns) + since).max(0);
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANCHOR: Anchor = Anchor {
        monotonic_ns: 5_000_000_000,
        utc_ns: 1_000_000_000_000,
    };

    #[test]
    fn times_are_those_of_the_log_and_never_equal() {
        let mut clock = LogClock::new(ANCHOR, 0);
        let times = [1_000_000_007, 1_000_000_007, 1_000_000_006, 1_000_000_009];
        let placed = times.map(|micros| clock.time(micros));
        assert_eq!(
            placed,
            [5_000_007_000, 5_000_007_001, 5_000_007_002, 5_000_009_000]
        );
    }

    #[test]
    fn a_thread_that_was_held_up_does_not_hold_up_the_others() {
        let mut clock = LogClock::new(ANCHOR, 0);
        assert_eq!(clock.time(1_000_010_000), 5_010_000_000);
        assert_eq!(clock.time(1_000_001_000), 5_001_000_000);
        assert_eq!(clock.steps(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_bends_nothing() {
        let mut clock = LogClock::new(ANCHOR, 0);
        assert_eq!(clock.time(1_010_000_000), 15_000_000_000);
        assert_eq!(clock.time(1_000_000_000), 15_000_000_001);
        assert_eq!(clock.time(1_000_000_500), 15_000_500_000);
        assert_eq!(clock.steps(), 1);
    }

    #[test]
    fn another_machines_clock_is_brought_to_ours() {
        let mut clock = LogClock::new(ANCHOR, -90);
        assert_eq!(clock.time(910_000_000), 5_000_000_000);
        assert_eq!(LogClock::new(ANCHOR, 0).time(0), 0);
    }
}
