//! A recording's periodic work → when it was done last, and what had been counted by then.

use std::time::{Duration, Instant};

use crate::clock;
use crate::recorder::pace::{DRAIN_PERIODS, PaceLog};
use crate::source::Description;

/// Times at which a recording last did its periodic work, and its counts by then.
pub(crate) struct Progress {
    pub(crate) started: Instant,
    /// CPU time of this process when the recording started, s.
    pub(crate) cpu_at_start: f64,
    pub(crate) drain_period: Duration,
    pub(crate) pace: PaceLog,
    pub(crate) flushed: Instant,
    pub(crate) looked: Instant,
    pub(crate) reported: Reported,
}

/// The counts of the last status.
pub(crate) struct Reported {
    pub(crate) at: Instant,
    /// The time that a stored source covered.
    pub(crate) covered: Duration,
    pub(crate) events: u64,
    pub(crate) cpu_s: f64,
}

impl Progress {
    /// Starts at the moment from which the source captures.
    pub(crate) fn start(description: &Description) -> Self {
        let (now, cpu_s) = (Instant::now(), clock::cpu_s());
        let begun = description.anchor.monotonic_ns;
        let captured = description.now(begun).saturating_sub(begun);
        let started = now.checked_sub(Duration::from_nanos(captured));
        Self {
            started: started.unwrap_or(now),
            cpu_at_start: cpu_s,
            drain_period: DRAIN_PERIODS.0,
            pace: PaceLog::default(),
            flushed: now,
            looked: now,
            reported: Reported {
                at: now,
                covered: Duration::ZERO,
                events: 0,
                cpu_s,
            },
        }
    }
}
