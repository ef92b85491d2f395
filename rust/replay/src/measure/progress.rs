//! The shards' intervals → one line of progress a second.

use serde::Serialize;

use crate::clock::{SECOND, monotonic};
use crate::measure::Interval;

/// How a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Since the start of the schedule, s.
    pub elapsed_s: f64,
    /// Requests to send.
    pub planned: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests sent in a second, of late.
    pub rate: f64,
    /// 99th percentile of response times in the last interval, ns.
    pub response_p99_ns: u64,
    /// 99th percentile of lag in the last interval, ns.
    pub lag_p99_ns: u64,
}

/// Collects what shards report.
#[derive(Debug)]
pub(crate) struct Watch {
    planned: u64,
    start: u64,
    /// Each shard's counts, as last reported.
    shards: Vec<[u64; 3]>,
    interval: Interval,
    before: (u64, u64),
}

impl Watch {
    pub(crate) fn new(planned: u64, start: u64, shards: usize) -> Self {
        Self {
            planned,
            start,
            shards: vec![[0; 3]; shards],
            interval: Interval::new(),
            before: (0, start),
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn add(&mut self, shard: usize, interval: &Interval) {
        self.interval.merge(interval);
        if let Some(counts) = self.shards.get_mut(shard) {
            *counts = [interval.sent, interval.answered, interval.errors];
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and times are far below 2^53"
    )]
    pub(crate) fn take(&mut self) -> Progress {
        let interval = std::mem::take(&mut self.interval);
        let sum = |index: usize| self.shards.iter().map(|counts| counts[index]).sum();
        let (sent, now): (u64, u64) = (sum(0), monotonic());
        let (sent_before, before) = std::mem::replace(&mut self.before, (sent, now));
        let seconds = |time: u64| time as f64 / SECOND as f64;
        Progress {
            elapsed_s: seconds(now.saturating_sub(self.start)),
            planned: self.planned,
            sent,
            answered: sum(1),
            errors: sum(2),
            rate: (sent - sent_before) as f64 / seconds(now.saturating_sub(before)).max(1e-9),
            response_p99_ns: interval.response.value_at_quantile(0.99),
            lag_p99_ns: interval.lag.value_at_quantile(0.99),
        }
    }
}
